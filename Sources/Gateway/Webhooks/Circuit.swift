// Whether an endpoint is worth asking: closed while it answers, open while it does not, with a probe now and then.
import Wire

/// Closed, everything goes. Open, nothing goes until its time is over; then (half-open) one request at a time is the
/// probe: any sign of life closes the circuit, a failure opens it for longer. Times are monotonic.
struct Circuit: Sendable {
  enum State: String, Sendable { case closed, open, halfOpen = "half_open" }

  /// Failures of so many different records in a row, without one success between them. One record that fails alone
  /// says nothing about the endpoint.
  static let distinctToOpen = 5
  /// And these over at least so long, or so many: a schedule of milliseconds has its way first.
  static let failingToOpen = Duration.seconds(1)
  static let consecutiveToOpen = 50
  /// Or so many of the last 64 answers, if so many different records are among them.
  static let failuresOf64ToOpen = 58
  static let probeInterval = Duration.seconds(1)
  static let probeIntervalMax = Duration.seconds(60)
  /// Records that failed as probes and are remembered as such.
  static let probedMax = 64
  /// A record that fails as probe again and again waits for at most so many intervals, so that others are tried, too.
  static let waitIntervalsMax = 64

  private(set) var consecutiveFailures = 0
  private var failingSince: Duration?
  /// Different records among the consecutive failures, up to `distinctToOpen`.
  private var distinct: [UInt64] = []
  /// The last 64 outcomes while closed, newest lowest; 1 is a failure.
  private var history: UInt64 = 0
  private var historyCount = 0
  /// Different records among the failures since it closed, up to `distinctToOpen`.
  private var failing: [UInt64] = []
  /// Set while open or half-open.
  private(set) var openUntil: Duration?
  private var interval = Duration.zero
  private(set) var probesInFlight = 0
  /// How often each record failed as a probe since the circuit opened.
  private var probed: [(record: UInt64, times: Int)] = []

  /// - Parameter probesInFlight: of a circuit that this one takes the place of.
  init(probesInFlight: Int = 0) { self.probesInFlight = probesInFlight }

  func state(now: Duration) -> State {
    guard let openUntil else { return .closed }
    return now < openUntil ? .open : .halfOpen
  }

  /// Requests that may begin now; nil: no limit of the circuit's.
  func room(now: Duration) -> Int? {
    switch state(now: now) {
    case .closed: nil
    case .open: 0
    case .halfOpen: max(0, 1 - probesInFlight)
    }
  }

  /// A request begins; true if it is a probe.
  mutating func begin() -> Bool {
    guard openUntil != nil else { return false }
    probesInFlight += 1
    return true
  }

  /// A sign of life.
  /// - Returns: true if that closed the circuit.
  @discardableResult
  mutating func lives(wasProbe: Bool) -> Bool {
    if wasProbe { probesInFlight -= 1 }
    consecutiveFailures = 0
    failingSince = nil
    distinct.removeAll(keepingCapacity: true)
    if openUntil == nil {
      note(failure: false)
      return false
    }
    openUntil = nil
    probed = []
    history = 0
    historyCount = 0
    failing = []
    return true
  }

  /// It says nothing of the endpoint.
  mutating func void(wasProbe: Bool) {
    if wasProbe { probesInFlight -= 1 }
  }

  /// A request that began while the circuit was closed failed.
  /// - Returns: true if that opened the circuit.
  mutating func failed(_ record: UInt64, now: Duration, random: inout Random) -> Bool {
    consecutiveFailures += 1
    guard openUntil == nil else { return false }
    note(failure: true)
    let since = failingSince ?? now
    failingSince = since
    Self.insert(record, into: &distinct)
    Self.insert(record, into: &failing)
    let isRun =
      distinct.count >= Self.distinctToOpen
      && (now - since >= Self.failingToOpen || consecutiveFailures >= Self.consecutiveToOpen)
    let isMostly =
      failing.count >= Self.distinctToOpen && historyCount == 64
      && history.nonzeroBitCount >= Self.failuresOf64ToOpen
    guard isRun || isMostly else { return false }
    interval = Self.probeInterval
    openUntil = now + interval.jittered(&random)
    return true
  }

  /// A probe failed. Returns how long its record waits: longer each time, so that no record is all that is tried.
  mutating func probeFailed(
    _ record: UInt64, now: Duration, random: inout Random
  ) -> Duration {
    probesInFlight -= 1
    consecutiveFailures += 1
    guard openUntil != nil else { return .zero }
    interval = min(interval * 2, Self.probeIntervalMax)
    openUntil = now + interval.jittered(&random)
    var times = 0
    if let place = probed.firstIndex(where: { $0.record == record }) {
      times = probed[place].times + 1
      probed[place].times = times
    } else {
      if probed.count == Self.probedMax { probed.removeFirst() }
      probed.append((record, 0))
    }
    let intervals = min(1 << min(times, 16), Self.waitIntervalsMax)
    return (interval * intervals).jittered(&random)
  }

  private static func insert(_ record: UInt64, into list: inout [UInt64]) {
    if list.count < distinctToOpen, !list.contains(record) { list.append(record) }
  }

  private mutating func note(failure: Bool) {
    history = history << 1 | (failure ? 1 : 0)
    historyCount = min(historyCount + 1, 64)
  }
}

extension Duration {
  /// Give or take a fifth, so that what failed together does not come back together.
  func jittered(_ random: inout Random) -> Duration {
    let milli = Double(random.below(401)) / 1000
    return self * (0.8 + milli)
  }
}
