// How a simulation ended, and what is printed of it: a line when all went well, all one needs to look into it when not.

public struct Outcome: Sendable {
  public var seed: UInt64
  public var bug: PlantedBug?
  public var violation: Violation?
  public var turns: Int
  public var traceHash: UInt64
  public var traceLines: Int
  /// The last lines of the trace, for whoever looks into a violation.
  public var lastLines: [String]
  public var counts: Counts

  public var report: String {
    let trace = "trace \(String(traceHash, radix: 16)) of \(traceLines) lines"
    guard let violation else { return "seed \(seed): ok, \(turns) turns, \(trace), \(counts)" }
    return """
      \(lastLines.joined(separator: "\n"))
      seed \(seed): VIOLATION at turn \(violation.turn): \(violation.invariant)
        \(violation.detail)
        \(trace), \(counts)
        again: make sim SEED=\(seed)\(bug.map { " BUG=\($0)" } ?? "")
      """
  }
}

/// What simulations went through: so that a run that tested nothing is seen.
public struct Counts: Sendable, CustomStringConvertible {
  public var acknowledged = 0
  public var duplicates = 0
  public var refused = 0
  /// Answered with nobody knowing whether it took effect, or cut off by a crash.
  public var undecided = 0
  public var recordsRead = 0
  public var recordsFollowed = 0
  public var handovers = 0
  public var trims = 0
  public var finds = 0
  public var crashes = 0
  public var opensRefused = 0
  public var streamsDeleted = 0
  public var subscriptions = 0
  /// Records that consumers were given, and those of them that were not given for the first time.
  public var delivered = 0
  public var redelivered = 0
  public var settled = 0
  public var stale = 0
  /// Pulls whose client went away, answers that did not reach theirs, connections closed.
  public var cancelled = 0
  public var givenBack = 0
  public var closed = 0
  /// A webhook's.
  public var attempts = 0
  public var deadLetters = 0
  public var seeks = 0
  public var replays = 0
  public var looks = 0
  public var damagedOpened = 0
  public var damagedRefused = 0
  public init() {}

  public var description: String {
    var text =
      "\(acknowledged) appends acknowledged, \(duplicates) repeated, \(refused) refused, "
      + "\(undecided) undecided; \(recordsRead) records read, \(recordsFollowed) followed after "
      + "\(handovers) hand-overs; \(trims) trims, \(finds) searches, "
      + "\(streamsDeleted) streams deleted; \(crashes) crashes, \(opensRefused) opens refused"
    if subscriptions > 0 {
      text +=
        "; \(subscriptions) subscriptions, \(delivered) records delivered, \(redelivered) again, "
        + "\(attempts) attempts, \(settled) settled, \(stale) stale, \(cancelled) pulls cancelled, "
        + "\(givenBack) given back, \(closed) closed, \(deadLetters) dead letters, "
        + "\(seeks) seeks, \(replays) replays, \(looks) looks"
    }
    if damagedOpened + damagedRefused > 0 {
      text += "; damaged stores: \(damagedOpened) opened, \(damagedRefused) refused"
    }
    return text
  }

  public static func += (sum: inout Counts, other: Counts) {
    for part: WritableKeyPath<Counts, Int> in [
      \.acknowledged, \.duplicates, \.refused, \.undecided, \.recordsRead, \.recordsFollowed,
      \.handovers, \.trims, \.finds, \.crashes, \.opensRefused, \.streamsDeleted,
      \.subscriptions, \.delivered, \.redelivered, \.settled, \.stale, \.cancelled, \.givenBack,
      \.closed, \.attempts, \.deadLetters, \.seeks, \.replays, \.looks,
      \.damagedOpened, \.damagedRefused,
    ] { sum[keyPath: part] += other[keyPath: part] }
  }
}
