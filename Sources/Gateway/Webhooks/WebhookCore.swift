// Decides for one endpoint: how many requests may begin now, what an answer means for its records, when to try again.
import Engine
import Wire

/// What of a webhook's settings the core goes by.
struct WebhookPolicy: Sendable, Equatable {
  var concurrency = 8
  /// Requests a second; nil: no limit.
  var rateLimit: Int?
  /// The n-th failure waits for the n-th of these; after the last the record is given up.
  var retry: [Duration]
  /// Failing for so long without one success disables the subscription; nil: never.
  var disableAfter: Duration?
}

/// A struct without clock or socket. The runner asks for `credit`, says `begin` and `finish` for each request, and
/// looks again at `nextDue`. `now` is monotonic.
struct WebhookCore: Sendable {
  /// A request under way.
  struct Attempt: Sendable {
    fileprivate var startedAt: Duration
    fileprivate var isProbe: Bool
    fileprivate var restarts: Int
  }

  /// What a request carried.
  struct Cargo: Sendable {
    /// The same for every attempt, and another for every other record or batch.
    var identity: UInt64
    /// 1 for the first attempt; attempts that did not count do not count here either.
    var delivery: Int
    var records: Int
  }

  /// What came of it.
  struct Result: Sendable {
    var outcome: AttemptOutcome
    var latency: Duration
    /// Of a 429 or 503.
    var retryAfter: Duration?
  }

  struct Decision: Sendable, Equatable {
    var verdict: UnitVerdict
    /// Why the subscription has to be disabled; nil: it goes on.
    var disable: String?
    /// The circuit opened or closed by this.
    var circuitChanged = false
  }

  private(set) var policy: WebhookPolicy
  private(set) var concurrency: AdaptiveConcurrency
  private(set) var circuit = Circuit()
  private(set) var inFlight = 0
  private var bucket: TokenBucket?
  /// Nothing begins before.
  private(set) var heldUntil: Duration?
  private var failingSince: Duration?
  private var succeededAt: Duration?
  private(set) var isDisabled = false
  private var restarts = 0

  init(_ policy: WebhookPolicy, now: Duration) {
    self.policy = policy
    concurrency = AdaptiveConcurrency(max: policy.concurrency)
    bucket = policy.rateLimit.map { TokenBucket(perSecond: $0, now: now) }
  }

  /// Takes other settings; what is known of the endpoint stays.
  mutating func change(_ policy: WebhookPolicy, now: Duration) {
    if policy.concurrency != self.policy.concurrency {
      concurrency.change(max: policy.concurrency)
    }
    if policy.rateLimit != self.policy.rateLimit {
      bucket = policy.rateLimit.map { TokenBucket(perSecond: $0, now: now) }
    }
    self.policy = policy
  }

  /// Forgets what is known of the endpoint: it is another one, or somebody says that it is well again.
  mutating func restart(_ policy: WebhookPolicy, now: Duration) {
    let old = self
    self = WebhookCore(policy, now: now)
    inFlight = old.inFlight
    restarts = old.restarts + 1
    circuit = Circuit(probesInFlight: old.circuit.probesInFlight)
  }

  // MARK: Beginning

  /// How many requests may begin now beside those under way.
  mutating func credit(now: Duration) -> Int {
    if isDisabled { return 0 }
    if let heldUntil, now < heldUntil { return 0 }
    var room = circuit.room(now: now) ?? max(0, concurrency.current - inFlight)
    if room > 0, let tokens = bucket?.available(now: now) { room = min(room, max(0, tokens)) }
    return room
  }

  /// When `credit` may grow by the mere passing of time; nil if not.
  func nextDue(now: Duration) -> Duration? {
    if isDisabled { return nil }
    var due: [Duration] = []
    if let heldUntil, heldUntil > now { due.append(heldUntil) }
    if let openUntil = circuit.openUntil, openUntil > now { due.append(openUntil) }
    if let token = bucket?.nextToken(now: now), token > now { due.append(token) }
    // All of them must be over.
    return due.max()
  }

  mutating func begin(now: Duration) -> Attempt {
    inFlight += 1
    bucket?.take(now: now)
    return Attempt(startedAt: now, isProbe: circuit.begin(), restarts: restarts)
  }

  // MARK: Ending

  mutating func finish(
    _ attempt: Attempt, _ cargo: Cargo, _ result: Result, now: Duration, random: inout Random
  ) -> Decision {
    precondition(inFlight > 0 && cargo.delivery > 0 && cargo.records > 0)
    defer { inFlight -= 1 }
    if attempt.restarts != restarts, result.outcome != .delivered {
      // It speaks of an endpoint that is not asked any more, or that was looked after since.
      circuit.void(wasProbe: attempt.isProbe)
      return Decision(verdict: .retry(after: .zero, countsAsFailure: false))
    }
    switch result.outcome {
    case .delivered:
      failingSince = nil
      succeededAt = now
      let closed = circuit.lives(wasProbe: attempt.isProbe)
      if closed {
        concurrency.restart()
      } else {
        concurrency.succeeded(
          latency: result.latency, startedAt: attempt.startedAt, inFlight: inFlight, now: now)
      }
      return Decision(verdict: .delivered, circuitChanged: closed)
    case .gone:
      circuit.void(wasProbe: attempt.isProbe)
      isDisabled = true
      return Decision(
        verdict: .retry(after: .zero, countsAsFailure: false),
        disable: "the endpoint answered 410 Gone")
    case .void:
      circuit.void(wasProbe: attempt.isProbe)
      // Whatever it was, it is not over in no time.
      hold(until: now + Self.pauseAfterVoid)
      return Decision(verdict: .retry(after: Self.pauseAfterVoid, countsAsFailure: false))
    case .refused:
      let closed = circuit.lives(wasProbe: attempt.isProbe)
      if closed { concurrency.restart() }
      // A batch is no record: whichever of it was meant, the others need not wait.
      let verdict =
        cargo.records > 1 ? UnitVerdict.split : next(cargo, result, random: &random)
      return Decision(verdict: verdict, disable: disabling(now), circuitChanged: closed)
    case .failed: return failed(attempt, cargo, result, now: now, random: &random)
    }
  }

  private mutating func failed(
    _ attempt: Attempt, _ cargo: Cargo, _ result: Result, now: Duration, random: inout Random
  ) -> Decision {
    if let retryAfter = result.retryAfter { hold(until: now + retryAfter) }
    concurrency.failed(startedAt: attempt.startedAt, now: now)
    if attempt.isProbe {
      let wait = circuit.probeFailed(cargo.identity, now: now, random: &random)
      return Decision(
        verdict: .retry(after: max(wait, result.retryAfter ?? .zero), countsAsFailure: false),
        disable: disabling(now))
    }
    let opened = circuit.failed(cargo.identity, now: now, random: &random)
    if opened { concurrency.restart() }
    if circuit.consecutiveFailures > 1 { hold(until: now + Self.pauseAfterFailure) }
    return Decision(
      verdict: isAtFault(cargo, now: now) ? .split : next(cargo, result, random: &random),
      disable: disabling(now), circuitChanged: opened)
  }

  /// True for a batch that failed twice while the endpoint took others in between.
  private func isAtFault(_ cargo: Cargo, now: Duration) -> Bool {
    guard cargo.records > 1, cargo.delivery > 1, let succeededAt,
      let waited = policy.retry.indices.contains(cargo.delivery - 2)
        ? policy.retry[cargo.delivery - 2] : nil
    else { return false }
    return now - succeededAt < waited * 0.8
  }

  private func next(_ cargo: Cargo, _ result: Result, random: inout Random) -> UnitVerdict {
    let failures = cargo.delivery
    guard failures <= policy.retry.count else {
      return cargo.records > 1 ? .split : .exhausted(reason: Self.exhausted)
    }
    let wait = policy.retry[failures - 1].jittered(&random)
    return .retry(after: max(wait, result.retryAfter ?? .zero), countsAsFailure: true)
  }

  private mutating func disabling(_ now: Duration) -> String? {
    let since = failingSince ?? now
    failingSince = since
    guard let disableAfter = policy.disableAfter, now - since >= disableAfter, !isDisabled else {
      return nil
    }
    isDisabled = true
    return "nothing but failures for \(DurationText.format(disableAfter))"
  }

  private mutating func hold(until time: Duration) {
    heldUntil = max(heldUntil ?? time, time)
  }

  static let exhausted = "every attempt failed"
  /// After a failure that follows another one: a dead endpoint is not hammered until its circuit opens.
  static let pauseAfterFailure = Duration.milliseconds(20)
  static let pauseAfterVoid = Duration.milliseconds(100)
}
