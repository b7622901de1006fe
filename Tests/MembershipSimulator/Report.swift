// How a simulation ended, and what is printed of it: a line when all went well, all one needs to look into it when not.

public struct Outcome: Sendable {
  public var seed: UInt64
  public var members: Int
  public var bug: PlantedBug?
  public var violation: Violation?
  /// Virtual.
  public var seconds: Double
  public var traceHash: UInt64
  public var traceLines: Int
  public var lastLines: [String]
  public var counts: Counts

  public var report: String {
    let trace = "trace \(String(traceHash, radix: 16)) of \(traceLines) lines"
    guard let violation else {
      return "seed \(seed): ok, \(members) members, \(seconds) s, \(trace), \(counts)"
    }
    return """
      \(lastLines.joined(separator: "\n"))
      seed \(seed): VIOLATION after \(violation.seconds) s: \(violation.invariant)
        \(violation.detail)
        \(trace), \(counts)
        again: make member-sim SEED=\(seed) VERBOSE=1\(bug.map { " BUG=\($0)" } ?? "")
      """
  }
}

/// What simulations went through: so that a run that tested nothing is seen.
public struct Counts: Sendable, CustomStringConvertible {
  public var starts = 0
  public var crashes = 0
  public var leaves = 0
  public var suspicions = 0
  /// Told by members that were neither paused nor slow, of such.
  public var suspicionsAmongHealthy = 0
  /// Told of who really was gone, by each process that told it.
  public var deaths = 0
  /// Told of processes that ran; of them of such as were neither paused nor slow; and told by such, too.
  public var falseDeaths = 0
  public var falseDeathsOfHealthy = 0
  public var falseDeathsAmongHealthy = 0
  public var leavesSeenAsDeaths = 0
  public var superseded = 0
  public var views = 0
  public var attacks = 0
  public var streamsOpened = 0
  public var datagrams = 0
  public var bytes = 0
  /// The most that one process sent within a second.
  public var datagramsInSecondMost = 0
  /// Bytes a second a process sends when all is quiet, at most.
  public var idleBytes = 0
  /// From the last fault to equal views.
  public var healing = Spans()
  /// By kind of news: until the first knew, until the last knew.
  public var firsts = [Spans](repeating: Spans(), count: News.Kind.allCases.count)
  public var spans = [Spans](repeating: Spans(), count: News.Kind.allCases.count)

  public init() {}

  mutating func traffic(of processes: [Process]) {
    for process in processes {
      datagrams += process.traffic.datagrams
      bytes += process.traffic.bytes
      datagramsInSecondMost = max(datagramsInSecondMost, process.traffic.datagramsInSecondMost)
    }
  }

  public var description: String {
    var text =
      "\(starts) starts, \(crashes) crashes, \(leaves) leaves, \(suspicions) suspicions, "
      + "\(deaths) deaths told, \(falseDeaths) false, \(superseded) superseded, \(views) views, "
      + "\(attacks) attacks, \(datagrams) datagrams, at most \(datagramsInSecondMost) a second, "
      + "\(streamsOpened) streams, \(bytes / 1000) KB, idle \(idleBytes) B/s"
    for kind in News.Kind.allCases where spans[kind.rawValue].count > 0 {
      text += "; \(kind) \(Self.text(spans[kind.rawValue]))"
    }
    if healing.count > 0 { text += "; equal \(Self.text(healing))" }
    return text
  }

  private static func text(_ spans: Spans) -> String {
    "\(spans.count)×, median \(spans.quantile(0.5) / 1_000_000) ms, "
      + "at most \(spans.most / 1_000_000) ms"
  }

  public static func += (sum: inout Counts, other: Counts) {
    for part: WritableKeyPath<Counts, Int> in [
      \.starts, \.crashes, \.leaves, \.suspicions, \.suspicionsAmongHealthy,
      \.deaths, \.falseDeaths, \.falseDeathsOfHealthy,
      \.falseDeathsAmongHealthy, \.leavesSeenAsDeaths, \.superseded, \.views, \.attacks,
      \.streamsOpened, \.datagrams, \.bytes,
    ] { sum[keyPath: part] += other[keyPath: part] }
    sum.datagramsInSecondMost = max(sum.datagramsInSecondMost, other.datagramsInSecondMost)
    sum.idleBytes = max(sum.idleBytes, other.idleBytes)
    sum.healing += other.healing
    for index in sum.spans.indices {
      sum.spans[index] += other.spans[index]
      sum.firsts[index] += other.firsts[index]
    }
  }
}
