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
  private let loops = Mutex<[Confined<GatewayLoop>]>([])
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
  }

  /// Takes the server that this gateway stands behind, for its counters.
  public func attach(_ server: HTTPServer) { self.server.withLock { $0 = server } }
  var attachedServer: HTTPServer? { server.withLock { $0 } }

  /// What answers the exchanges of one event loop; to be called there only. Made once for each loop.
  public func handler(
    on eventLoop: any EventLoop, executor: any Executor
  ) -> (any Exchange) -> Void {
    let loop = GatewayLoop(gateway: self, eventLoop: eventLoop, executor: executor)
    loops.withLock { $0.append(Confined(loop, to: executor)) }
    return { exchange in loop.handle(exchange) }
  }

  /// Sends live readers away with a problem that says when to come back, and answers long polls: the server stops.
  public func drain() {
    for loop in loops.withLock({ $0 }) {
      loop.executor.execute { loop.value.tails.drain() }
    }
  }
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
  /// Turns records without keys round the shards.
  var nextShard = 0
  private var checkedHost = ""

  init(gateway: Gateway, eventLoop: any EventLoop, executor: any Executor) {
    self.gateway = gateway
    self.eventLoop = eventLoop
    self.executor = executor
    metrics = gateway.metrics.makeLoop()
    tails = TailHub(
      source: gateway.engine, executor: executor, clock: gateway.clock, metrics: metrics,
      settings: TailSettings(gateway.configuration))
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
      try gateway.browserRules.admit(head, checkedHost: &checkedHost)
      switch match.outcome {
      case .route(let index): try gateway.router.routes[index].handler(request)
      case .preflight(let allow): request.respondToOptions(allow: allow)
      case .method(let allow):
        var problem = Problem(
          .methodNotAllowed, "\(head.method) is not taken here; these are: \(allow).")
        problem.headers = [("allow", allow)]
        throw problem
      case .none:
        throw Problem(.notFound, "There is no route for this path; GET /openapi.yaml lists them.")
      }
    } catch {
      request.fail(error)
    }
  }
}
