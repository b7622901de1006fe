// What the core of a webhook decides, a sentence each.
import Testing
import Wire

@testable import Engine
@testable import Gateway

@Suite struct WebhookCoreTests {
  /// A core, a clock that stands still unless told, and chance from a seed.
  private struct Stage {
    var core: WebhookCore
    var now = Duration.seconds(1000)
    var random = Random(seed: 7)

    init(
      retry: [Duration] = [.seconds(5), .seconds(300)], concurrency: Int = 8,
      rateLimit: Int? = nil, disableAfter: Duration? = nil
    ) {
      core = WebhookCore(
        WebhookPolicy(
          concurrency: concurrency, rateLimit: rateLimit, retry: retry, disableAfter: disableAfter),
        now: now)
    }

    var credit: Int { mutating get { core.credit(now: now) } }
    var circuit: Circuit.State { core.circuit.state(now: now) }

    /// One request from beginning to end.
    @discardableResult
    mutating func attempt(
      _ outcome: AttemptOutcome, record: UInt64 = 1, delivery: Int = 1, records: Int = 1,
      latency: Duration = .milliseconds(5), retryAfter: Duration? = nil
    ) -> WebhookCore.Decision {
      let attempt = core.begin(now: now)
      now += latency
      return end(
        attempt, outcome, record: record, delivery: delivery, records: records, latency: latency,
        retryAfter: retryAfter)
    }

    mutating func end(
      _ attempt: WebhookCore.Attempt, _ outcome: AttemptOutcome, record: UInt64 = 1,
      delivery: Int = 1, records: Int = 1, latency: Duration = .milliseconds(5),
      retryAfter: Duration? = nil
    ) -> WebhookCore.Decision {
      core.finish(
        attempt, .init(identity: record, delivery: delivery, records: records),
        .init(outcome: outcome, latency: latency, retryAfter: retryAfter), now: now,
        random: &random)
    }

    /// Requests under way, oldest first.
    var flying: [WebhookCore.Attempt] = []

    /// Successes one after another, with as many requests under way as may be; the limit after each.
    @discardableResult
    mutating func flow(_ count: Int, latency: Duration = .milliseconds(5)) -> [Int] {
      (0..<count).map { _ in
        while credit > 0 { flying.append(core.begin(now: now)) }
        now += latency / core.inFlight
        _ = end(flying.removeFirst(), .delivered, latency: latency)
        let limit = core.concurrency.current
        while credit > 0 { flying.append(core.begin(now: now)) }
        return limit
      }
    }

    /// So many records fail one after another, each over a good while.
    mutating func openCircuit() {
      for record in 0..<UInt64(Circuit.distinctToOpen) {
        attempt(.failed, record: 100 + record, latency: .milliseconds(300))
      }
    }
  }

  /// The wait of a verdict to try again, or nil.
  private func pause(_ decision: WebhookCore.Decision, counted: Bool = true) -> Duration? {
    guard case .retry(let after, counted) = decision.verdict else { return nil }
    return after
  }

  // MARK: Retries

  @Test func `the n-th failure waits for the n-th of the schedule, give or take a fifth`() throws {
    var stage = Stage()
    var seen: Set<Duration> = []
    for _ in 0..<50 {
      let wait = try #require(pause(stage.attempt(.refused, delivery: 2)))
      #expect((Duration.seconds(240)...Duration.seconds(360)).contains(wait))
      seen.insert(wait)
    }
    #expect(seen.count > 20, "what failed together does not come back together")
  }

  @Test func `after the last of the schedule the record is given up`() {
    var stage = Stage()
    #expect(pause(stage.attempt(.failed, delivery: 2)) != nil)
    #expect(
      stage.attempt(.failed, delivery: 3).verdict == .exhausted(reason: WebhookCore.exhausted))
  }

  @Test func `without a schedule the first failure is the last`() {
    var stage = Stage(retry: [])
    #expect(stage.attempt(.failed).verdict == .exhausted(reason: WebhookCore.exhausted))
  }

  @Test func `a batch is tried record by record before any of it is given up`() {
    var stage = Stage()
    #expect(stage.attempt(.failed, delivery: 3, records: 10).verdict == .split)
    #expect(
      stage.attempt(.failed, delivery: 4, records: 1).verdict
        == .exhausted(reason: WebhookCore.exhausted))
  }

  @Test func `a batch that the endpoint refuses is tried record by record at once`() {
    var stage = Stage()
    #expect(stage.attempt(.refused, records: 10).verdict == .split)
  }

  @Test func `a batch that fails again while others get through is tried record by record`() {
    var stage = Stage(retry: [.seconds(5), .seconds(300), .seconds(300)])
    #expect(pause(stage.attempt(.failed, records: 10)) != nil)
    stage.now += .seconds(5)
    #expect(pause(stage.attempt(.failed, delivery: 2, records: 10)) != nil, "nobody got through")
    stage.now += .seconds(200)
    stage.attempt(.delivered, record: 2)
    stage.now += .seconds(50)
    #expect(stage.attempt(.failed, delivery: 3, records: 10).verdict == .split)
  }

  @Test func `Retry-After holds everything back, and its record at least as long`() throws {
    var stage = Stage(retry: [.seconds(1)])
    let decision = stage.attempt(.failed, retryAfter: .seconds(30))
    #expect(try #require(pause(decision)) == .seconds(30))
    #expect(stage.credit == 0)
    #expect(stage.core.nextDue(now: stage.now) == stage.now + .seconds(30))
    stage.now += .seconds(30)
    #expect(stage.credit == 1)
  }

  @Test func `a Retry-After shorter than the schedule does not shorten it`() throws {
    var stage = Stage()
    let decision = stage.attempt(.failed, retryAfter: .seconds(1))
    #expect(try #require(pause(decision)) >= .seconds(4))
  }

  @Test func `an attempt that nothing is known of counts for nothing`() {
    var stage = Stage(retry: [])
    #expect(pause(stage.attempt(.void), counted: false) == WebhookCore.pauseAfterVoid)
    #expect(stage.core.circuit.consecutiveFailures == 0)
  }

  // MARK: The end

  @Test func `410 disables, and the record is kept`() {
    var stage = Stage(retry: [])
    let decision = stage.attempt(.gone)
    #expect(decision.disable != nil)
    #expect(pause(decision, counted: false) == .zero)
    #expect(stage.credit == 0)
  }

  @Test func `nothing but failures for long disables once`() {
    var stage = Stage(retry: [.seconds(1)], disableAfter: .seconds(3600))
    #expect(stage.attempt(.failed).disable == nil)
    stage.now += .seconds(3599)
    #expect(stage.attempt(.failed).disable == nil)
    stage.now += .seconds(2)
    #expect(stage.attempt(.failed).disable == "nothing but failures for 1h")
    #expect(stage.credit == 0)
  }

  @Test func `one success between is enough to stay`() {
    var stage = Stage(retry: [.seconds(1)], disableAfter: .seconds(3600))
    stage.attempt(.failed)
    stage.now += .seconds(3000)
    stage.attempt(.delivered, record: 2)
    stage.now += .seconds(3000)
    #expect(stage.attempt(.failed).disable == nil)
  }

  // MARK: Concurrency and rate

  @Test func `one request at first, one more for each success, up to the limit`() {
    var stage = Stage(concurrency: 8)
    #expect(stage.credit == 1)
    #expect(stage.flow(10) == [2, 3, 4, 5, 6, 7, 8, 8, 8, 8])
    #expect(stage.credit == 0)
  }

  @Test func `requests that fail together halve it once`() {
    var stage = Stage(concurrency: 8)
    stage.flow(10)
    stage.now += .milliseconds(1)
    for record in UInt64(0)..<4 {
      _ = stage.end(stage.flying.removeFirst(), .failed, record: record % 2)
    }
    #expect(stage.core.concurrency.current == 4)
  }

  @Test func `a limit that nobody reaches does not grow`() {
    var stage = Stage(concurrency: 100)
    for _ in 0..<1000 { stage.attempt(.delivered) }
    #expect(stage.core.concurrency.current <= 3)
  }

  @Test func `answers that grow slow make it smaller`() {
    var stage = Stage(concurrency: 64)
    #expect(stage.flow(500, latency: .milliseconds(20)).last == 64)
    #expect(stage.flow(500, latency: .seconds(2)).last! < 50)
  }

  @Test func `no more requests a second than the rate allows`() {
    var stage = Stage(concurrency: 8, rateLimit: 5)
    #expect(stage.credit == 1)
    stage.attempt(.delivered, latency: .milliseconds(1))
    #expect(stage.credit == 0)
    let due = stage.core.nextDue(now: stage.now)!
    #expect((Duration.milliseconds(198)...Duration.milliseconds(201)).contains(due - stage.now))
    stage.now = due
    #expect(stage.credit == 1)
  }

  // MARK: The circuit

  @Test func `many records failing one after another open the circuit`() {
    var stage = Stage()
    stage.openCircuit()
    #expect(stage.circuit == .open)
    #expect(stage.credit == 0)
  }

  @Test func `one record failing again and again does not`() {
    var stage = Stage()
    for _ in 0..<200 {
      stage.attempt(.failed, latency: .milliseconds(300))
    }
    #expect(stage.circuit == .closed)
  }

  @Test func `what an endpoint says about records does not open it`() {
    var stage = Stage()
    for record in 0..<200 {
      stage.attempt(.refused, record: UInt64(record), latency: .milliseconds(300))
    }
    #expect(stage.circuit == .closed)
  }

  @Test func `a moment of failures does not open it, so that a short schedule has its way`() {
    var stage = Stage()
    for record in 0..<UInt64(20) {
      stage.attempt(.failed, record: record, latency: .milliseconds(10))
    }
    #expect(stage.circuit == .closed)
  }

  @Test func `once its time is over one probe goes, and its success closes it`() {
    var stage = Stage()
    stage.openCircuit()
    stage.now = stage.core.nextDue(now: stage.now)!
    #expect(stage.circuit == .halfOpen)
    #expect(stage.credit == 1)
    let probe = stage.core.begin(now: stage.now)
    #expect(stage.credit == 0)
    let decision = stage.end(probe, .delivered)
    #expect(decision.circuitChanged)
    #expect(stage.circuit == .closed)
    #expect(stage.credit == 1, "it begins slowly again")
  }

  @Test func `a probe that fails uses up no attempt, and the next comes later`() throws {
    var stage = Stage(retry: [])
    stage.openCircuit()
    var before = Duration.zero
    for _ in 0..<8 {
      stage.now = stage.core.nextDue(now: stage.now)!
      #expect(pause(stage.attempt(.failed), counted: false) != nil)
      let gap = stage.core.nextDue(now: stage.now)! - stage.now
      #expect(gap > before || gap >= Circuit.probeIntervalMax * 0.8)
      #expect(gap <= Circuit.probeIntervalMax * 1.2)
      before = gap
    }
  }

  @Test func `a record that fails as probe again and again gives way to others`() throws {
    var stage = Stage()
    stage.openCircuit()
    for _ in 0..<6 {
      stage.now = stage.core.nextDue(now: stage.now)!
      stage.attempt(.failed, record: 1)
    }
    stage.now = stage.core.nextDue(now: stage.now)!
    let worn = try #require(pause(stage.attempt(.failed, record: 1), counted: false))
    stage.now = stage.core.nextDue(now: stage.now)!
    let fresh = try #require(pause(stage.attempt(.failed, record: 2), counted: false))
    #expect(worn > fresh * 8)
  }

  @Test func `a refusal is a sign of life`() {
    var stage = Stage()
    stage.openCircuit()
    stage.now = stage.core.nextDue(now: stage.now)!
    #expect(pause(stage.attempt(.refused)) != nil, "it counts")
    #expect(stage.circuit == .closed)
  }

  @Test func `what was under way when it opened counts, and its success closes it`() {
    var stage = Stage(concurrency: 4)
    stage.flow(10)
    let slow = stage.flying.removeFirst()
    let slower = stage.flying.removeFirst()
    stage.openCircuit()
    #expect(pause(stage.end(slow, .failed, record: 50)) != nil)
    #expect(stage.circuit == .open)
    #expect(stage.end(slower, .delivered, record: 51).circuitChanged)
    #expect(stage.circuit == .closed)
  }

  @Test func `an endpoint that nearly always fails opens it, too`() {
    var stage = Stage()
    var opened = false
    for round in 0..<70 {
      let decision = stage.attempt(
        round % 16 == 0 ? .delivered : .failed, record: UInt64(round), latency: .milliseconds(1))
      opened = opened || decision.circuitChanged
    }
    #expect(opened)
  }

  @Test func `another endpoint is not judged by the one before`() {
    var stage = Stage()
    let old = stage.core.begin(now: stage.now)
    stage.openCircuit()
    stage.core.restart(WebhookPolicy(concurrency: 2, retry: []), now: stage.now)
    #expect(stage.circuit == .closed)
    #expect(stage.credit == 0, "one is still under way")
    _ = stage.end(old, .delivered)
    #expect(stage.credit >= 1)
  }

  @Test(arguments: [AttemptOutcome.gone, .failed, .refused, .void])
  func `what an endpoint says that is not asked any more is not held against the next`(
    outcome: AttemptOutcome
  ) {
    var stage = Stage()
    let old = stage.core.begin(now: stage.now)
    stage.core.restart(WebhookPolicy(concurrency: 2, retry: []), now: stage.now)
    let decision = stage.end(old, outcome)
    #expect(decision == .init(verdict: .retry(after: .zero, countsAsFailure: false)))
    #expect(!stage.core.isDisabled && stage.circuit == .closed && stage.credit >= 1)
  }
}

@Suite struct AttemptOutcomeTests {
  @Test(arguments: [
    (200, AttemptOutcome.delivered), (204, .delivered), (299, .delivered), (301, .failed),
    (304, .failed), (400, .refused), (401, .failed), (404, .failed), (408, .failed), (410, .gone),
    (413, .refused), (422, .refused), (429, .failed), (500, .failed), (503, .failed),
    (999, .failed),
  ])
  func `a status says what became of the record`(status: Int, outcome: AttemptOutcome) {
    #expect(AttemptOutcome(status: status) == outcome)
  }

  /// Sun, 06 Nov 1994 08:49:37 GMT.
  private let now = Timestamp(milliseconds: 784_111_777_000)

  @Test(arguments: [
    ("0", 0), ("7", 7), (" 120 ", 120), ("3600", 3600), ("999999999999999999999", 3600),
    ("Sun, 06 Nov 1994 08:50:07 GMT", 30), ("Sunday, 06-Nov-94 08:50:07 GMT", 30),
    ("Sun Nov  6 08:50:07 1994", 30), ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
  ])
  func `Retry-After is seconds or a date, within an hour`(text: String, seconds: Int) {
    #expect(RetryAfter.parse(text, now: now) == .seconds(seconds))
  }

  @Test(arguments: [
    "", "soon", "-1", "1.5", "1s", "Sun, 06 Nov 1994", "Sun, 06 Xxx 1994 08:50:07 GMT",
    "Sun, 32 Nov 1994 08:50:07 GMT", "Sun, 06 Nov 1994 08:50:07 CET",
  ])
  func `anything else is no Retry-After`(text: String) {
    #expect(RetryAfter.parse(text, now: now) == nil)
  }
}
