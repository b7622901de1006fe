// Whom to probe next: everyone once a round, in an order that is new each round.
import Wire

/// SWIM §4.3: round robin bounds the time until a crash is noticed, 2N − 1 periods, where drawing bounds it only on
/// average; the shuffle keeps members from probing in step.
public struct ProbeSchedule: Sendable {
  /// The slots that are still to be probed in this round, the next one last.
  private var rest: [Int32] = []

  public init() {}

  /// The next one that is present; nil if there is none but the node itself.
  public mutating func next(in roster: Roster, random: inout Random) -> Member? {
    if rest.isEmpty {
      rest = roster.slots(.present)
      rest.shuffle(using: &random)
    }
    guard let slot = rest.popLast() else { return nil }
    guard let member = roster.member(inSlot: Int(slot)), member.status.isPresent else {
      preconditionFailure("whoever is gone is taken out by `remove`")
    }
    return member
  }

  /// Puts one that came at a random place among those to be probed in this round. Call it when it comes to the
  /// roster or comes back to life.
  public mutating func insert(_ id: MemberID, in roster: Roster, random: inout Random) {
    guard let slot = roster.slot(of: id) else { preconditionFailure("\(id) is not in the roster") }
    rest.append(Int32(slot))
    rest.swapAt(rest.count - 1, random.below(rest.count))
  }

  /// Takes one out that is gone. Call it before the roster forgets it.
  public mutating func remove(_ id: MemberID, in roster: Roster) {
    guard let slot = roster.slot(of: id), let index = rest.firstIndex(of: Int32(slot))
    else { return }
    rest.remove(at: index)
  }
}
