// One webhook at work: takes deliveries as fast as its endpoint can take them, posts them, and settles what came of it.
import Engine
import Logging
import NIOCore
import Wire

/// What every runner works with.
struct WebhookServices: Sendable {
  let engine: Engine
  let client: OutboundClient
  let clock: any TimeSource
  let logger: Logger
  let totals: WebhookTotals
}

/// Lives on the executor of its subscription's owner. The core decides, this obeys.
final class WebhookRunner {
  private let services: WebhookServices
  private let executor: any Executor
  private let figures: WebhookFigures
  private var random: Random
  private(set) var subscription: Subscription
  private var setup: WebhookSetup?
  private var core: WebhookCore
  private(set) var log = AttemptLog()
  /// Requests under way that settle a delivery.
  private var inFlight = 0
  private var link = Link.none
  private var attachFailures = 0
  /// Deliveries that the owner may still hand over.
  private var granted = 0
  private var timer: (due: Duration, job: ScheduledJob)?
  private var isStopping = false
  private var whenIdle: (() -> Void)?
  private(set) var lastSuccessAt: Timestamp?

  private enum Link {
    case none
    case joining
    case joined(Attachment)
    /// The link is to be made anew once nothing is in flight: batches come by another one than records.
    case leaving(Attachment)
  }

  init(
    _ subscription: Subscription, _ services: WebhookServices, figures: WebhookFigures,
    random: Random
  ) {
    self.subscription = subscription
    self.services = services
    self.figures = figures
    self.random = random
    executor = subscription.journal.executor
    core = WebhookCore(WebhookPolicy(retry: []), now: services.clock.monotonic)
  }

  // MARK: What it is meant to be

  /// Takes the subscription as it is now. To be called once at the beginning, too.
  func update(to subscription: Subscription) {
    let now = services.clock.monotonic
    let old = setup
    let wasActive = self.subscription.spec.state == .active
    self.subscription = subscription
    guard let webhook = subscription.spec.webhook,
      let stream = services.engine.source(of: subscription)
    else { return retire() }
    let setup: WebhookSetup
    do throws(OutboundURLFault) {
      setup = try WebhookSetup(webhook, subscription, stream)
    } catch {
      // It was checked when it was taken; a later version may be stricter.
      retire()
      return disable("its URL cannot be called: \(error)")
    }
    self.setup = setup
    // Another endpoint, or one that somebody says is well again, is not judged by what was.
    if old?.webhook.url != webhook.url || !wasActive {
      core.restart(WebhookPolicy(webhook), now: now)
    } else {
      core.change(WebhookPolicy(webhook), now: now)
    }
    if old?.units != setup.units { leave() }
    pump()
  }

  /// It is no webhook, or has no stream any more.
  private func retire() {
    setup = nil
    leave()
    pump()
  }

  /// Takes no more over this link: it was made for other settings.
  private func leave() {
    guard case .joined(let attachment) = link else { return }
    link = .leaving(attachment)
    granted = 0
    attachment.credit(0)
  }

  /// The subscription is no more.
  func end() {
    isStopping = true
    retire()
  }

  /// Begins no more requests and calls `whenIdle` once those under way are settled.
  func drain(_ whenIdle: @escaping () -> Void) {
    isStopping = true
    self.whenIdle = whenIdle
    pump()
  }

  private var isActive: Bool {
    !isStopping && setup != nil && subscription.spec.state == .active
  }

  // MARK: The link to the owner

  private func join(_ setup: WebhookSetup) {
    link = .joining
    var options = ConsumerOptions(name: "webhook", kind: .webhook)
    options.recordsMax = setup.units?.recordsMax ?? 1
    options.units = setup.units
    options.credit = 0
    let runner = Confined(self, to: executor)
    services.engine.attach(
      subscription, options, on: executor, deliver: { runner.value.receive($0) },
      reply: { runner.value.joined($0, units: setup.units) })
  }

  /// - Parameter units: what was asked for; the settings may have changed since.
  private func joined(
    _ result: Result<Attachment, SubscriptionError>, units: ConsumerOptions.Units?
  ) {
    switch result {
    case .success(let attachment):
      attachFailures = 0
      granted = 0
      let fits = setup.map { $0.units == units } ?? false
      link = fits && !isStopping ? .joined(attachment) : .leaving(attachment)
      pump()
    case .failure(let error):
      link = .none
      switch error {
      case .notFound, .streamReplaced, .wrongDelivery, .stopping: return
      default: joinLater(error)
      }
    }
  }

  /// The owner cannot serve now: its disk is full, say. It is asked again, ever less often.
  private func joinLater(_ error: SubscriptionError) {
    attachFailures += 1
    let wait = min(Duration.seconds(1 << min(attachFailures - 1, 5)), .seconds(30))
    services.logger.warning(
      "a webhook cannot begin",
      metadata: ["subscription": "\(subscription.name)", "error": "\(error)"])
    link = .joining
    let runner = Confined(self, to: executor)
    executor.schedule(after: wait.jittered(&random)) {
      guard case .joining = runner.value.link else { return }
      runner.value.link = .none
      runner.value.pump()
    }
  }

  private func receive(_ event: ConsumerEvent) {
    switch event {
    case .delivery(let delivery):
      granted = max(0, granted - 1)
      post(delivery)
    case .ended(let reason):
      link = .none
      granted = 0
      if case .failed(let text) = reason { joinLater(.storage(text, applied: .maybe)) }
    }
  }

  /// Says how many deliveries may come, and looks again when the core wants it. After everything that happens.
  private func pump() {
    if inFlight == 0 {
      if case .leaving(let attachment) = link {
        attachment.close()
        link = .none
      }
      if isStopping, let whenIdle {
        self.whenIdle = nil
        whenIdle()
      }
    }
    if case .none = link, isActive, let setup { return join(setup) }
    let now = services.clock.monotonic
    var credit = 0
    if case .joined(let attachment) = link {
      credit = isActive ? core.credit(now: now) : 0
      if credit != granted {
        granted = credit
        attachment.credit(credit)
      }
    }
    figures.set(core, isActive: isActive, now: now)
    arm(now)
  }

  private func arm(_ now: Duration) {
    let due = isActive ? core.nextDue(now: now) : nil
    guard due != timer?.due else { return }
    timer?.job.cancel()
    timer = nil
    guard let due else { return }
    let runner = Confined(self, to: executor)
    timer = (
      due,
      executor.schedule(after: due - now) {
        runner.value.timer = nil
        runner.value.pump()
      }
    )
  }

  // MARK: A delivery

  /// A request under way, and what it settles.
  private struct Flight: Sendable {
    var lease: LeaseID
    var attempt: WebhookCore.Attempt
    var message: WebhookMessage
    var startedAt: Timestamp
  }

  private func post(_ delivery: Delivery) {
    // Over a link that is being left, several records may come where one request carries one.
    guard let setup, isActive, case .joined = link else {
      return settle(delivery.lease, .retry(after: .zero, countsAsFailure: false))
    }
    let message = setup.envelope.message(delivery.pieces)
    let attempt = core.begin(now: services.clock.monotonic)
    let flight = Flight(
      lease: delivery.lease, attempt: attempt, message: message, startedAt: services.clock.now)
    inFlight += 1
    let runner = Confined(self, to: executor)
    services.client.send(
      setup.request(message, at: flight.startedAt), on: executor
    ) { runner.value.finish(flight, $0) }
  }

  private func finish(
    _ flight: Flight, _ result: Result<OutboundAnswer, OutboundFailure>
  ) {
    inFlight -= 1
    let now = services.clock.monotonic
    let wall = services.clock.now
    let came = AttemptAnswer(result, now: wall)
    let message = flight.message
    let decision = core.finish(
      flight.attempt,
      WebhookCore.Cargo(
        identity: message.identity, delivery: message.delivery, records: message.recordCount),
      came.result, now: now, random: &random)
    settle(flight.lease, came.explained(decision.verdict))
    var attempt = came.attempt(.delivery, message, startedAt: flight.startedAt)
    if case .retry(let after, _) = decision.verdict { attempt.nextAttemptAt = wall + after }
    if attempt.status == .succeeded {
      lastSuccessAt = wall
      services.totals.delivered(after: wall - message.appendedAt)
    }
    figures.count(came.httpClass)
    log.add(attempt)
    if decision.circuitChanged { tellCircuit(came) }
    if let reason = decision.disable { disable(reason) }
    pump()
  }

  private func settle(_ lease: LeaseID, _ verdict: UnitVerdict) {
    switch link {
    // An answer that is stale, or cannot be stored, means that the owner has begun anew: it delivers again.
    case .joined(let attachment), .leaving(let attachment): attachment.settle(lease, verdict)
    case .none, .joining: break
    }
  }

  private func tellCircuit(_ came: AttemptAnswer) {
    let state = core.circuit.state(now: services.clock.monotonic)
    services.logger.notice(
      state == .closed ? "a webhook's endpoint answers again" : "a webhook's endpoint is down",
      metadata: ["subscription": "\(subscription.name)", "error": "\(came.error ?? "none")"])
  }

  private func disable(_ reason: String) {
    // Said once: the change comes back to `update`.
    if case .disabled = subscription.spec.state { return }
    services.logger.warning(
      "a webhook is disabled",
      metadata: ["subscription": "\(subscription.name)", "reason": "\(reason)"])
    let logger = services.logger
    let name = subscription.name
    services.engine.setState(
      of: subscription, to: .disabled(reason: reason, at: services.clock.now), on: executor
    ) {
      // Until a restart the core holds everything back all the same.
      if case .failure(let error) = $0 {
        logger.error(
          "a webhook could not be disabled",
          metadata: ["subscription": "\(name)", "error": "\(error)"])
      }
    }
  }

  // MARK: By hand

  /// Posts a message that settles nothing, whatever the state; `reply` runs on this executor.
  func postAside(
    _ cause: WebhookAttempt.Cause, _ message: WebhookMessage,
    reply: @escaping (WebhookAttempt) -> Void
  ) {
    guard let setup else { preconditionFailure("the route has seen that it is a webhook") }
    let startedAt = services.clock.now
    let runner = Confined(self, to: executor)
    let answer = Confined(reply, to: executor)
    services.client.send(setup.request(message, at: startedAt), on: executor) { result in
      let runner = runner.value
      let came = AttemptAnswer(result, now: runner.services.clock.now)
      runner.figures.count(came.httpClass)
      answer.value(runner.log.add(came.attempt(cause, message, startedAt: startedAt)))
    }
  }

  /// How messages are written now; nil: it is no webhook, or its stream is gone.
  var envelope: Envelope? { setup?.envelope }

  /// A message for `:test`; nil as `envelope`.
  func testMessage() -> WebhookMessage? {
    envelope?.test(at: services.clock.now, id: random.next())
  }

  var status: WebhookStatus {
    let now = services.clock.monotonic
    let wall = services.clock.now
    var status = WebhookStatus(
      circuit: core.circuit.state(now: now), concurrency: core.concurrency.current,
      inFlight: inFlight, consecutiveFailures: core.circuit.consecutiveFailures)
    if isActive, let due = core.nextDue(now: now) { status.heldUntil = wall + (due - now) }
    status.lastSuccessAt = lastSuccessAt
    status.lastFailure = log.lastFailed
    return status
  }
}
