// Who watches whom, and who looks again: chosen from the members alone, so that nobody has to be told.

/// All choose alike as far as they know the same members. Each looks at every member once and keeps the best few.
public enum Successors {
  /// How many hold a lifeline to a member: with three, two are left to see it refused when one goes down with it.
  public static let lifelines = 3

  /// The `count` present members that follow the roster's own on the ring of ids.
  public static func next(_ count: Int, among roster: Roster) -> [Member] {
    let own = roster.own.id.place
    return best(count, of: roster.others(.present)) { $0.id.place &- own }
  }

  /// The `count` present members, perhaps the own, that probe a suspect at once: by rendezvous hash (Thaler,
  /// Ravishankar, 1998) of member and claim, so that each suspicion has others.
  public static func confirmers(
    of suspect: Member, _ count: Int, among roster: Roster
  ) -> [Member] {
    let claim = suspect.claim.with(.suspect)
    let salt = ViewDigest.hash(place: suspect.id.place, claim: claim)
    let others = roster.members.lazy.filter { $0.status.isPresent && $0.id != suspect.id }
    return best(count, of: others) { ViewDigest.mixed($0.id.place, salt) }
  }

  /// The `count` with the least scores, the least first.
  private static func best(
    _ count: Int, of members: some Sequence<Member>, by score: (Member) -> UInt64
  ) -> [Member] {
    guard count > 0 else { return [] }
    var best: [(score: UInt64, member: Member)] = []
    for member in members {
      let entry = (score: score(member), member: member)
      if best.count == count {
        guard precedes(entry, best[count - 1]) else { continue }
        best.removeLast()
      }
      best.insert(entry, at: best.firstIndex { precedes(entry, $0) } ?? best.count)
    }
    return best.map(\.member)
  }

  private static func precedes(
    _ left: (score: UInt64, member: Member), _ right: (score: UInt64, member: Member)
  ) -> Bool {
    left.score != right.score ? left.score < right.score : left.member.id < right.member.id
  }
}
