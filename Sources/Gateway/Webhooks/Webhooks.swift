// Every webhook's runner: made when its subscription is, told of changes, found for routes, drained at the end.
import Engine
import Logging
import NIOCore
import Synchronization
import Wire

public final class Webhooks: Sendable {
  private let services: WebhookServices
  private let desks = Mutex<[UInt64: WebhookDesk]>([:])
  private let random: Mutex<Random>
  private let isStopping = Atomic<Bool>(false)

  /// - Parameter seed: of the jitter; another one for each process.
  public init(
    engine: Engine, client: OutboundClient, clock: any TimeSource, logger: Logger, seed: UInt64
  ) {
    services = WebhookServices(
      engine: engine, client: client, clock: clock, logger: logger, totals: WebhookTotals())
    random = Mutex(Random(seed: seed))
  }

  /// Begins to deliver for every subscription that there is, some at a time, and follows what changes.
  public func start(on executor: any Executor) {
    services.engine.watchSubscriptions { [weak self] in self?.receive($0) }
    executor.execute { [weak self, executor] in self?.start(on: executor, after: nil) }
  }

  private func start(on executor: any Executor, after: String?) {
    let slice = services.engine.subscriptions(prefix: "", after: after, limit: Self.startSlice)
    for subscription in slice { update(subscription) }
    guard slice.count == Self.startSlice, let last = slice.last else { return }
    executor.execute { [weak self, executor] in self?.start(on: executor, after: last.name) }
  }

  /// Subscriptions looked at in one go: beginning with many holds no event loop for long.
  private static let startSlice = 100

  private func receive(_ change: SubscriptionChange) {
    switch change {
    case .created(let subscription), .changed(let subscription): update(subscription)
    case .deleted(let subscription):
      guard let desk = desks.withLock({ $0.removeValue(forKey: subscription.incarnation) }) else {
        return
      }
      desk.executor.execute {
        desk.seat.value.runner?.end()
        desk.seat.value.runner = nil
      }
    }
  }

  private func update(_ subscription: Subscription) {
    guard let desk = desk(for: subscription) else { return }
    let services = services
    desk.executor.execute { [isStopping = isStopping.load(ordering: .acquiring)] in
      let seat = desk.seat.value
      if isStopping { return }
      if let runner = seat.runner {
        // What was read at the start may come after a change.
        guard runner.subscription.revision <= subscription.revision else { return }
        return runner.update(to: subscription)
      }
      let runner = WebhookRunner(
        subscription, services, figures: desk.figures, random: desk.random)
      seat.runner = runner
      runner.update(to: subscription)
    }
  }

  /// The desk of a webhook, made now if there is none; nil for a subscription that never was one.
  private func desk(for subscription: Subscription) -> WebhookDesk? {
    let seed = random.withLock { $0.next() }
    return desks.withLock { desks in
      if let desk = desks[subscription.incarnation] { return desk }
      guard subscription.spec.webhook != nil else { return nil }
      let desk = WebhookDesk(subscription, random: Random(seed: seed))
      desks[subscription.incarnation] = desk
      return desk
    }
  }

  /// Calls `body` with the subscription's runner, on its executor; with nil if it has none.
  func withRunner(
    of subscription: Subscription, _ body: @escaping @Sendable (WebhookRunner?) -> Void
  ) {
    let executor = subscription.journal.executor
    guard let desk = desks.withLock({ $0[subscription.incarnation] }) else {
      return executor.run { body(nil) }
    }
    executor.run { body(desk.seat.value.runner) }
  }

  var metrics: [MetricSample] {
    let webhooks = desks.withLock { Array($0.values) }.sorted { $0.name < $1.name }
    return services.totals.samples(webhooks.map { ($0.name, $0.figures) })
  }

  /// Begins no more requests, and returns once those under way are settled or `grace` is over; what is then still
  /// under way is given up, and delivered again by the next start.
  public func drain(within grace: Duration, on executor: any Executor) async {
    isStopping.store(true, ordering: .releasing)
    let desks = desks.withLock { Array($0.values) }
    let latch = Latch(count: desks.count)
    await withCheckedContinuation { continuation in
      latch.whenOpen { continuation.resume() }
      for desk in desks {
        desk.executor.execute {
          guard let runner = desk.seat.value.runner else { return latch.countDown() }
          runner.drain { latch.countDown() }
        }
      }
      executor.schedule(after: grace) { latch.open() }
    }
    services.client.stop()
  }
}

extension Gateway {
  /// Calls `body` with the subscription's runner, on its executor; with nil if it has none.
  func withRunner(
    of subscription: Subscription, _ body: @escaping @Sendable (WebhookRunner?) -> Void
  ) {
    guard let webhooks = attachedWebhooks else {
      return subscription.journal.executor.run { body(nil) }
    }
    webhooks.withRunner(of: subscription, body)
  }
}

/// A webhook's place, for as long as its subscription lives.
private final class WebhookDesk: Sendable {
  final class Seat {
    var runner: WebhookRunner?
  }
  let name: String
  let figures = WebhookFigures()
  let seat: Confined<Seat>
  let random: Random
  var executor: any Executor { seat.executor }

  init(_ subscription: Subscription, random: Random) {
    name = subscription.name
    self.random = random
    seat = Confined(Seat(), to: subscription.journal.executor)
  }
}

/// Opens once, when its count is down to nothing or it is told to.
private final class Latch: Sendable {
  private struct State {
    var count: Int
    var isOpen = false
    var action: (@Sendable () -> Void)?
  }
  private let state: Mutex<State>

  init(count: Int) { state = Mutex(State(count: count)) }

  func whenOpen(_ action: @escaping @Sendable () -> Void) {
    state.withLock { $0.action = action }
    change { _ in }
  }

  func countDown() { change { $0.count -= 1 } }
  func open() { change { $0.count = 0 } }

  private func change(_ change: (inout State) -> Void) {
    let action: (@Sendable () -> Void)? = state.withLock { state in
      change(&state)
      guard state.count <= 0, !state.isOpen else { return nil }
      state.isOpen = true
      return state.action
    }
    action?()
  }
}
