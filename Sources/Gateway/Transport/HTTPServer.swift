// The HTTP server: one listening socket, its connections spread over the event loops, and their graceful end.
import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization

public final class HTTPServer: Sendable {
  /// Makes a loop's handler, on that loop. Every exchange of the loop's connections is given to it once its body is
  /// whole.
  public typealias HandlerFactory = @Sendable (any EventLoop) -> (any Exchange) -> Void

  public struct Configuration: Sendable {
    /// An address or a name; IPv6 without brackets.
    public var host: String
    /// 0 takes any free port.
    public var port: Int
    public var limits = TransportLimits()
    /// Nil speaks in clear.
    public var tls: TLSConfiguration?
    public var logger: Logger
    /// Called with a complete head, the body's length, nil if that is not known, and the request's name. An answer is
    /// given without the body being read; on a request that expects 100-continue its body is then never asked for.
    public var admit:
      @Sendable (RequestHead, _ contentLength: Int?, _ requestID: () -> String) -> Answer? = {
        _, _, _ in nil
      }
    /// Whether an answer may be large, so that the request is refused while too much is unsent.
    public var isBulk: @Sendable (RequestHead) -> Bool = { $0.method == "GET" }
    /// Makes the answer to what never reaches a handler.
    public var render: @Sendable (TransportProblem, _ requestID: String) -> Answer = {
      Problem($0).answer(requestID: $1)
    }
    /// Called after each answer; nil logs nothing.
    public var accessLog: (@Sendable (AccessRecord) -> Void)?

    public init(host: String, port: Int, logger: Logger) {
      self.host = host
      self.port = port
      self.logger = logger
    }
  }

  private let listener: any Channel
  private let loops: [NIOLoopBound<LoopState>]
  private let totals: TransportTotals
  private let certificates: TLSCertificates?
  private let logger: Logger
  /// Where the server listens; the port is the real one.
  public let address: SocketAddress

  private init(
    listener: any Channel, loops: [NIOLoopBound<LoopState>], totals: TransportTotals,
    certificates: TLSCertificates?, logger: Logger
  ) {
    guard let address = listener.localAddress else {
      preconditionFailure("a listening socket has an address")
    }
    self.listener = listener
    self.loops = loops
    self.totals = totals
    self.certificates = certificates
    self.logger = logger
    self.address = address
  }

  public var port: Int { address.port ?? 0 }

  /// Listens, and serves on every loop of `group`.
  /// - Throws: the operating system's refusal to bind, or of the host's name; `TLSError`.
  public static func start(
    _ configuration: Configuration, on group: any EventLoopGroup,
    handlers: @escaping HandlerFactory
  ) async throws -> HTTPServer {
    let certificates = try configuration.tls.map { try TLSCertificates($0) }
    let hooks = TransportHooks(
      admit: configuration.admit, isBulk: configuration.isBulk, render: configuration.render,
      accessLog: configuration.accessLog)
    let eventLoops = Array(group.makeIterator())
    let totals = TransportTotals(loops: eventLoops.count)
    let limits = affordable(configuration.limits, configuration.logger)
    var states: [NIOLoopBound<LoopState>] = []
    for (index, eventLoop) in eventLoops.enumerated() {
      let state = try await eventLoop.submit {
        let state = LoopState(
          eventLoop: eventLoop, index: index, totals: totals, limits: limits, hooks: hooks,
          certificates: certificates, logger: configuration.logger,
          heldBodyBytesMax: max(limits.heldBodyBytesMax / eventLoops.count, limits.bodyBytesMax),
          heldAnswerBytesMax: limits.heldAnswerBytesMax / eventLoops.count,
          requestIDSeed: randomSeed(), handle: handlers(eventLoop))
        state.startTicking()
        return NIOLoopBound(state, eventLoop: eventLoop)
      }.get()
      states.append(state)
    }
    let byLoop = Dictionary(
      uniqueKeysWithValues: zip(eventLoops.map { ObjectIdentifier($0) }, states))
    let server = HTTPServer(
      listener: try await bind(configuration, group, byLoop), loops: states, totals: totals,
      certificates: certificates, logger: configuration.logger)
    if certificates != nil { server.watchCertificates() }
    return server
  }

  /// No more connections than there are descriptors, but for those that files and clients of our own need.
  private static func affordable(_ limits: TransportLimits, _ logger: Logger) -> TransportLimits {
    var limits = limits
    var files = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) == 0 else { return limits }
    let spare = min(1024, Int(clamping: files.rlim_cur) / 4)
    let most = Int(clamping: files.rlim_cur) - spare
    if limits.connectionsMax > most {
      logger.notice(
        "fewer connections than asked for: the limit of open files is too low",
        metadata: ["connections_max": "\(most)", "open_files": "\(files.rlim_cur)"])
      limits.connectionsMax = most
    }
    return limits
  }

  private static func bind(
    _ configuration: Configuration, _ group: any EventLoopGroup,
    _ states: [ObjectIdentifier: NIOLoopBound<LoopState>]
  ) async throws -> any Channel {
    let unsentBytes = configuration.limits.unsentBytesMax / 4
    return try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 4096)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.maxMessagesPerRead, value: 64)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // Out of descriptors: accept again a little later, instead of spinning on a socket that stays readable.
          try channel.pipeline.syncOperations.addHandler(
            AcceptBackoffHandler(
              shouldForwardIOErrorCaught: false, backoffProvider: { _ in .milliseconds(50) }))
        }
      }
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelOption(
        .recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 2048, maximum: 65536)
      )
      .childChannelOption(
        .writeBufferWaterMark, value: .init(low: unsentBytes, high: unsentBytes + 1)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard let state = states[ObjectIdentifier(channel.eventLoop)] else {
            preconditionFailure("a connection on a foreign loop")
          }
          try channel.pipeline.syncOperations.addHandler(Connection(loop: state.value))
        }
      }
      .bind(host: configuration.host, port: configuration.port).get()
  }

  private static func randomSeed() -> UInt64 {
    var seed: UInt64 = 0
    let count = getentropy(&seed, MemoryLayout<UInt64>.size)
    precondition(count == 0, "the system gives no random bytes")
    return seed
  }

  // MARK: Certificates

  /// Reads certificate, key and authorities again, as on SIGHUP. What cannot be used is logged, and the old ones stay.
  public func reloadCertificates() { reloadCertificates(isForced: true) }

  private func reloadCertificates(isForced: Bool) {
    guard let certificates else { return }
    do {
      if try certificates.reload(isForced: isForced) { logger.notice("certificates loaded anew") }
    } catch {
      logger.error("the old certificates stay in force", metadata: ["reason": "\(error)"])
    }
  }

  /// Looks at the files every ten seconds, on a thread that may block.
  private func watchCertificates() {
    let eventLoop = loops[0].eventLoop
    eventLoop.scheduleRepeatedAsyncTask(
      initialDelay: .seconds(10), delay: .seconds(10)
    ) { [weak self] task in
      guard let self else {
        task.cancel()
        return eventLoop.makeSucceededVoidFuture()
      }
      return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) {
        self.reloadCertificates(isForced: false)
      }
    }
  }

  // MARK: Counters

  /// What all loops had counted at most a tick ago; from any thread.
  public var recentCounters: TransportCounters { totals.counters }

  /// What all loops have counted so far.
  public func counters() async throws -> TransportCounters {
    var sum = TransportCounters()
    for loop in loops { sum += try await loop.eventLoop.submit { loop.value.counters }.get() }
    return sum
  }

  /// As `counters()`, for those who cannot wait; replies on any loop.
  func counters(reply: @escaping @Sendable (TransportCounters) -> Void) {
    count(loops[...], TransportCounters(), reply)
  }

  private func count(
    _ rest: ArraySlice<NIOLoopBound<LoopState>>, _ sum: TransportCounters,
    _ reply: @escaping @Sendable (TransportCounters) -> Void
  ) {
    guard let loop = rest.first else { return reply(sum) }
    loop.eventLoop.execute { [self] in
      var sum = sum
      sum += loop.value.counters
      count(rest.dropFirst(), sum, reply)
    }
  }

  /// Accepts no more, lets what is in flight finish within `deadline`, then closes every connection.
  public func drain(within deadline: Duration) async throws {
    try? await listener.close()
    let waits = loops.map { loop in
      let done = loop.eventLoop.makePromise(of: Void.self)
      loop.eventLoop.execute { loop.value.drain { done.succeed() } }
      let timer = loop.eventLoop.scheduleTask(in: .nanoseconds(deadline.nanoseconds)) {
        loop.value.closeAll()
      }
      return done.futureResult.always { _ in timer.cancel() }
    }
    for wait in waits { try await wait.get() }
    for loop in loops { try await loop.eventLoop.submit { loop.value.stopTicking() }.get() }
  }

  /// Raises the soft limit of open files to the hard one. Returns the limit now in force.
  @discardableResult
  public static func raiseOpenFilesLimit() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_cur)
  }
}
