// The core of a webhook against endpoints that behave by chance: what holds whatever happens.
import Testing
import Wire

@testable import Engine
@testable import Gateway

/// Plays a runner, its subscription and an endpoint in virtual time.
private struct CorePlay {
  struct Job {
    var record: UInt64
    /// Counted failures so far.
    var failures = 0
    var notBefore = Duration.zero
  }
  struct Flight {
    var job: Job
    var attempt: WebhookCore.Attempt
    var result: WebhookCore.Result
    var endsAt: Duration
    var wasOpen: Bool
  }

  var random: Random
  var policy: WebhookPolicy
  var core: WebhookCore
  var now = Duration.seconds(1)
  var waiting: [Job]
  var flights: [Flight] = []
  var delivered: Set<UInt64> = []
  var buried: Set<UInt64> = []
  var begun: [Duration] = []
  /// Before it the endpoint is away; then it takes everything.
  var healthyFrom: Duration
  let records: Int

  init(seed: UInt64) {
    var random = Random(seed: seed)
    records = 20 + random.below(200)
    var retry: [Duration] = []
    for _ in 0..<random.below(6) { retry.append(.milliseconds(Int64(1 + random.below(5000)))) }
    policy = WebhookPolicy(
      concurrency: 1 + random.below(16),
      rateLimit: random.oneIn(3) ? 1 + random.below(200) : nil, retry: retry, disableAfter: nil)
    core = WebhookCore(policy, now: now)
    waiting = (0..<UInt64(records)).map { Job(record: $0) }
    healthyFrom = now + .seconds(Int64(random.below(40)))
    self.random = random
  }

  mutating func outcome() -> WebhookCore.Result {
    let latency = Duration.milliseconds(Int64(1 + random.below(400)))
    if now >= healthyFrom, !random.oneIn(20) {
      return .init(outcome: .delivered, latency: latency)
    }
    switch random.below(6) {
    case 0: return .init(outcome: .refused, latency: latency)
    case 1:
      let wait = Duration.milliseconds(Int64(random.below(3000)))
      return .init(outcome: .failed, latency: latency, retryAfter: wait)
    case 2: return .init(outcome: .void, latency: latency)
    case 3: return .init(outcome: .delivered, latency: latency)
    default: return .init(outcome: .failed, latency: latency)
    }
  }

  /// Begins what may begin now.
  mutating func begin() throws {
    while core.credit(now: now) > 0 {
      guard let place = waiting.firstIndex(where: { $0.notBefore <= now }) else { return }
      let state = core.circuit.state(now: now)
      try #require(state != .open, "nothing begins while the circuit is open")
      if let held = core.heldUntil { try #require(held <= now, "nothing begins before its time") }
      let job = waiting.remove(at: place)
      let attempt = core.begin(now: now)
      begun.append(now)
      let result = outcome()
      flights.append(
        Flight(
          job: job, attempt: attempt, result: result, endsAt: now + result.latency,
          wasOpen: state != .closed))
      try #require(core.inFlight == flights.count)
      try #require(core.inFlight <= policy.concurrency + 1, "one probe more at most")
      try #require(flights.count { $0.wasOpen } <= 1 || state == .closed, "one probe at a time")
    }
  }

  mutating func end(_ place: Int) throws {
    var flight = flights.remove(at: place)
    let cargo = WebhookCore.Cargo(
      identity: flight.job.record, delivery: flight.job.failures + 1, records: 1)
    let decision = core.finish(flight.attempt, cargo, flight.result, now: now, random: &random)
    try #require(decision.disable == nil)
    switch decision.verdict {
    case .delivered:
      try #require(flight.result.outcome == .delivered)
      delivered.insert(flight.job.record)
    case .retry(let after, let counts):
      try #require(flight.result.outcome != .delivered)
      try #require(after >= flight.result.retryAfter ?? .zero)
      if counts {
        let planned = policy.retry[flight.job.failures]
        try #require(after >= planned * 0.79)
        try #require(after <= max(planned * 1.21, flight.result.retryAfter ?? .zero))
        flight.job.failures += 1
      } else {
        try #require(flight.wasOpen || flight.result.outcome == .void, "an attempt was given away")
      }
      flight.job.notBefore = now + after
      waiting.append(flight.job)
    case .exhausted:
      try #require(flight.job.failures == policy.retry.count, "given up too soon")
      buried.insert(flight.job.record)
    case .split: Issue.record("there is nothing to split")
    }
  }

  /// Goes on to the next thing that happens; false once nothing will.
  mutating func step() throws -> Bool {
    try begin()
    var next = flights.map(\.endsAt)
    if let due = core.nextDue(now: now) { next.append(due) }
    next += waiting.map(\.notBefore).filter { $0 > now }
    guard let time = next.min() else { return false }
    now = max(now, time)
    while let place = flights.indices.first(where: { flights[$0].endsAt <= now }) {
      try end(place)
    }
    return true
  }
}

@Suite struct WebhookCoreRandomTests {
  @Test(arguments: UInt64(1)...60)
  func `every record is delivered or given up after its whole schedule`(seed: UInt64) throws {
    var play = CorePlay(seed: seed)
    var steps = 0
    while play.delivered.count + play.buried.count < play.records {
      steps += 1
      try #require(steps < 100_000, "it does not come to an end")
      guard try play.step() else { break }
    }
    #expect(play.delivered.count + play.buried.count == play.records, "one was forgotten")
    #expect(play.delivered.isDisjoint(with: play.buried))
    if let rate = play.policy.rateLimit {
      // In no window more than the rate and the little that may be made up for.
      let burst = max(Double(rate) / 10, 1)
      for (place, start) in play.begun.enumerated() {
        guard place + 50 < play.begun.count else { break }
        let span = (play.begun[place + 50] - start) / .seconds(1)
        #expect(51 <= span * Double(rate) + burst + 1.01)
      }
    }
  }

  @Test func `the same seed decides the same`() throws {
    func run() throws -> [Duration] {
      var play = CorePlay(seed: 4)
      for _ in 0..<500 { guard try play.step() else { break } }
      return play.begun
    }
    #expect(try run() == run())
  }
}
