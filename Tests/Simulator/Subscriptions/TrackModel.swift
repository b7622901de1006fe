// One way of a subscription through a shard, and what is known of the fate of each of its records.
import Engine
import Wire

final class TrackModel {
  let shard: ShardModel
  let isReplay: Bool
  /// Nothing below is delivered.
  var start: Offset
  /// Everything from here on is delivered until somebody settles it.
  private(set) var owedFrom: Offset
  /// Nobody knows that place but that it is at most the shard's tail.
  var owedFromTail = false {
    didSet { learnTail() }
  }
  /// Everything below was settled for certain: looked at, and not to be looked at again.
  private(set) var explainedBelow: Offset
  private(set) var fates: [Offset: Fate] = [:]
  /// Who was given what of each line.
  private(set) var lines: [String: [Span]] = [:]

  /// The records of one line that one lease holds, in order.
  struct Span {
    var lease: LeaseID
    var offsets: [Offset]
  }

  init(_ shard: ShardModel, isReplay: Bool, start: Offset) {
    self.shard = shard
    self.isReplay = isReplay
    self.start = start
    owedFrom = start
    explainedBelow = start
  }

  func learnTail() {
    guard owedFromTail else { return }
    owedFrom = max(owedFrom, shard.durableTail)
    explainedBelow = max(explainedBelow, owedFrom)
  }

  func explained(below offset: Offset) { explainedBelow = max(explainedBelow, offset) }

  func fate(of offset: Offset) -> Fate {
    if let known = fates[offset] { return known }
    let made = Fate(offset)
    fates[offset] = made
    return made
  }

  func add(_ offset: Offset, to line: String, _ lease: LeaseID) {
    if let last = lines[line]?.last, last.lease == lease {
      lines[line]![lines[line]!.count - 1].offsets.append(offset)
    } else {
      lines[line, default: []].append(Span(lease: lease, offsets: [offset]))
    }
  }

  func crashed() {
    for fate in fates.values where fate.settlesInFlight > 0 {
      fate.settlesInFlight = 0
      fate.mayBeSettled = true
    }
  }

  func loosen() {
    lines = [:]
    for fate in fates.values {
      if fate.ok != nil { fate.mayBeSettled = true }
      fate.ok = nil
      fate.isGivenUp = false
      fate.newest = nil
      fate.unit = nil
    }
  }
}

/// What is known of one record on one track.
final class Fate {
  struct Heard {
    var lease: LeaseID
    var number: UInt32
  }
  let offset: Offset
  /// Of the deliveries that reached somebody, the one of the latest lease.
  var newest: Heard?
  /// An ok was heard for this lease.
  var ok: LeaseID?
  /// Attempts to settle it that nobody answered yet.
  var settlesInFlight = 0
  /// One ended without anybody knowing, or was overtaken by a seek.
  var mayBeSettled = false
  /// An ok was heard for giving it up.
  var isGivenUp = false
  /// Why it was given up, of all who asked for it.
  var reasons: Set<String> = []
  /// How often it was found among the dead letters.
  var deadLetters = 0
  /// The members of the unit that it belongs to.
  var unit: String?

  init(_ offset: Offset) { self.offset = offset }

  var isInUnit: Bool { unit != nil }
  var isExplained: Bool { ok != nil || mayBeSettled || settlesInFlight > 0 || deadLetters > 0 }

  func heard(_ lease: LeaseID, number: UInt32) {
    if let newest, lease.isBefore(newest.lease) { return }
    newest = Heard(lease: lease, number: number)
  }
}

/// What one consumer was given together.
final class LeaseModel {
  struct Member {
    var track: UInt32
    var offset: Offset
    var line: String?
    var aliveUntil: Duration
    /// What was asked for last.
    var extendedUntil: Duration?
  }
  let id: LeaseID
  let asked: SubscriptionModel.Asked
  private let aliveUntil: Duration
  private(set) var members: [Member] = []
  /// It may be over, or parts of it, for another reason than its deadline.
  var isLoose = false

  init(_ id: LeaseID, aliveUntil: Duration, asked: SubscriptionModel.Asked) {
    self.id = id
    self.asked = asked
    self.aliveUntil = aliveUntil
  }

  func add(_ offset: Offset, on track: UInt32, line: String?) {
    members.append(Member(track: track, offset: offset, line: line, aliveUntil: aliveUntil))
  }

  func member(_ offset: Offset, on track: UInt32) -> Member? {
    members.first { $0.offset == offset && $0.track == track }
  }

  func holds(_ offset: Offset, on track: UInt32) -> Bool { member(offset, on: track) != nil }

  /// Until when it is certainly not lost at a deadline, its own or that of one before it in its line.
  func aliveUntil(_ offset: Offset, on track: UInt32) -> Duration? {
    guard let own = member(offset, on: track) else { return nil }
    guard let line = own.line else { return own.aliveUntil }
    return members.filter { $0.line == line && $0.offset <= offset }.map(\.aliveUntil).min()
  }

  func extend(_ offset: Offset, on track: UInt32, until: Duration) {
    guard let index = index(offset, on: track) else { return }
    members[index].aliveUntil = min(members[index].aliveUntil, until)
    members[index].extendedUntil = until
  }

  func extended(_ offset: Offset, on track: UInt32, until: Duration) {
    // Of several at once nobody knows which came last.
    guard let index = index(offset, on: track), members[index].extendedUntil == until else {
      return
    }
    members[index].aliveUntil = until
  }

  private func index(_ offset: Offset, on track: UInt32) -> Int? {
    members.firstIndex { $0.offset == offset && $0.track == track }
  }

  /// Its members, as a unit is known by.
  var text: String { members.map { "\($0.track):\($0.offset)" }.joined(separator: " ") }
}
