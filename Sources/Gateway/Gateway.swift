// The gateway: what stands behind every connection, and the handlers of each event loop.
import Engine
import Logging
import NIOCore
import Synchronization
import Wire

/// Shared by all event loops. Makes a `GatewayLoop` for each.
public final class Gateway: Sendable {
  public let engine: Engine
  public let configuration: GatewayConfiguration
  public let clock: any TimeSource
  public let logger: Logger
  let router: Router
  let browserRules: BrowserRules
  /// Counters of each event loop, summed by `/metrics`.
  let metrics: GatewayMetrics
  private let server = Mutex<HTTPServer?>(nil)
  private let webhooks = Mutex<Webhooks?>(nil)
  private let loops = Mutex<[Confined<GatewayLoop>]>([])
  private let isDraining = Atomic<Bool>(false)
  /// Answers given before a body was read: no loop's.
  private let earlyMetrics: LoopMetrics
  /// Lines for `/metrics` from outside: the process's.
  let otherMetrics: @Sendable () -> [MetricSample]

  public init(
    engine: Engine, configuration: GatewayConfiguration, clock: any TimeSource, logger: Logger,
    otherMetrics: @escaping @Sendable () -> [MetricSample]
  ) {
    self.engine = engine
    self.configuration = configuration
    self.clock = clock
    self.logger = logger
    self.otherMetrics = otherMetrics
    router = Router(Routes.all)
    browserRules = BrowserRules(configuration)
    metrics = GatewayMetrics(routes: Routes.all)
    earlyMetrics = metrics.makeLoop()
  }

  /// Takes the server that this gateway stands behind, for its counters.
  public func attach(_ server: HTTPServer) { self.server.withLock { $0 = server } }
  var attachedServer: HTTPServer? { server.withLock { $0 } }

  /// Takes the webhooks that are delivered beside it, for the routes about them.
  public func attach(_ webhooks: Webhooks) { self.webhooks.withLock { $0 = webhooks } }
  var attachedWebhooks: Webhooks? { webhooks.withLock { $0 } }

  /// What answers the exchanges of one event loop; to be called there only. Made once for each loop.
  public func handler(
    on eventLoop: any EventLoop, executor: any Executor
  ) -> (any Exchange) -> Void {
    let loop = GatewayLoop(gateway: self, eventLoop: eventLoop, executor: executor)
    loops.withLock { $0.append(Confined(loop, to: executor)) }
    return { exchange in loop.handle(exchange) }
  }

  /// Sends live readers away with a problem that says when to come back, answers long polls, and refuses what comes
  /// from now on: the server stops. Returns once every event loop has turned.
  public func drain() async {
    isDraining.store(true, ordering: .releasing)
    for loop in loops.withLock({ $0 }) {
      await withCheckedContinuation { continuation in
        loop.executor.execute {
          loop.value.tails.drain()
          loop.value.messages.drain()
          continuation.resume()
        }
      }
    }
  }

  /// Refuses a request whose head alone shows that nothing will come of it, before its body is read: a body that was
  /// announced is then never asked for. nil lets it go on to its handler, which judges again.
  public func admit(
    _ head: RequestHead, contentLength: Int?, requestID: () -> String
  ) -> Answer? {
    // Without a body nothing is saved.
    if contentLength == 0 { return nil }
    do throws(Problem) {
      try browserRules.admit(head)
      if isDraining.load(ordering: .relaxed) { throw Problem.stopping }
      // A small body is sooner read than its route is looked up twice.
      if let contentLength, contentLength <= Self.smallBodyBytes, head.headers["expect"] == nil {
        return nil
      }
      _ = try router.route(of: router.match(method: head.method, path: head.path), head)
      return nil
    } catch {
      earlyMetrics.count(route: nil, status: error.status)
      var answer = error.answer(requestID: requestID())
      answer.headers = browserRules.dress(answer.headers, for: head)
      return answer
    }
  }

  private static let smallBodyBytes = 64 << 10
}

/// The handlers' state on one event loop. Touched there only.
public final class GatewayLoop {
  let gateway: Gateway
  let eventLoop: any EventLoop
  let executor: any Executor
  let metrics: LoopMetrics
  let allocator = ByteBufferAllocator()
  /// Live readers and long polls.
  let tails: TailHub
  /// Consumers of subscriptions.
  let messages: MessageHub
  /// Turns records without keys round the shards.
  var nextShard = 0

  init(gateway: Gateway, eventLoop: any EventLoop, executor: any Executor) {
    self.gateway = gateway
    self.eventLoop = eventLoop
    self.executor = executor
    metrics = gateway.metrics.makeLoop()
    tails = TailHub(
      source: gateway.engine, executor: executor, clock: gateway.clock, metrics: metrics,
      settings: TailSettings(gateway.configuration))
    messages = MessageHub(executor: executor, metrics: metrics, settings: tails.settings)
  }

  var engine: Engine { gateway.engine }
  var configuration: GatewayConfiguration { gateway.configuration }
  var limits: RequestLimits { gateway.configuration.limits }

  /// Answers `exchange`, now or later.
  func handle(_ exchange: any Exchange) {
    let head = exchange.request
    let match = gateway.router.match(method: head.method, path: head.path)
    let request = Request(exchange, match, on: self)
    do throws(Problem) {
      try gateway.browserRules.admit(head)
      guard let route = try gateway.router.route(of: match, head) else {
        if case .preflight(let allow) = match.outcome { request.respondToOptions(allow: allow) }
        return
      }
      if tails.isDraining, !Routes.answeredWhileStopping.contains(route.operation) {
        throw Problem.stopping
      }
      try route.handler(request)
    } catch {
      request.fail(error)
    }
  }
}
