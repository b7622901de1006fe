// The running server: every part made and joined in order, and taken apart again. The only place where parts meet.
import Engine
import Gateway
import Glibc
import Logging
import NIOCore
import NIOPosix
import Wire

final class Server: Sendable {
  private let configuration: Configuration
  private let logger: Logger
  private let group: MultiThreadedEventLoopGroup
  private let lanes: [EventLoopExecutor]
  private let engine: Engine
  private let gateway: Gateway
  private let webhooks: Webhooks
  private let http: HTTPServer
  /// Threads that may block; the store uses them until it is closed.
  private let threads: [ThreadExecutor]

  /// Where it listens, as a client would write it; the port is the real one.
  var url: String {
    let address = ListenAddress(host: configuration.listen.host, port: http.port)
    return (configuration.tlsCert == nil ? "http://" : "https://") + address.description
  }

  /// Opens the store, recovers what it holds, and listens.
  init(_ configuration: Configuration, logger: Logger) async throws(StartFailure) {
    self.configuration = configuration
    self.logger = logger
    Self.checkOpenFiles(configuration, logger)
    group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.loops ?? Cores.allowed)
    let lanes = group.makeIterator().map(EventLoopExecutor.init)
    self.lanes = lanes
    let clock = SystemTime()
    let store = try OpenedStore(configuration, lanes: lanes, clock: clock, logger: logger)
    threads = store.threads
    Self.tell(store.log.report, store.catalog.shardNames, logger)
    engine = try await Self.openEngine(store, configuration, lanes: lanes, clock: clock)

    let gateway = Gateway(
      engine: engine, configuration: configuration.gateway, clock: clock, logger: logger,
      otherMetrics: { ProcessMetrics.samples })
    self.gateway = gateway
    webhooks = try Self.makeWebhooks(engine, configuration, clock: clock, logger: logger)
    gateway.attach(webhooks)
    let executors = Dictionary(
      uniqueKeysWithValues: lanes.map { (ObjectIdentifier($0.eventLoop), $0) })
    do {
      var transport = configuration.transport(logger)
      transport.admit = { gateway.admit($0, contentLength: $1, requestID: $2) }
      http = try await HTTPServer.start(transport, on: group) { loop in
        guard let executor = executors[ObjectIdentifier(loop)] else {
          preconditionFailure("a connection on a foreign loop")
        }
        return gateway.handler(on: loop, executor: executor)
      }
      gateway.attach(http)
    } catch let error as TLSError {
      throw StartFailure(error)
    } catch {
      throw .listening(on: configuration.listen, error)
    }
    webhooks.start(on: lanes[0])
  }

  private static func makeWebhooks(
    _ engine: Engine, _ configuration: Configuration, clock: any TimeSource, logger: Logger
  ) throws(StartFailure) -> Webhooks {
    let trust: TrustStore
    do {
      trust = try TrustStore(adding: configuration.webhookCA)
    } catch {
      throw StartFailure(error)
    }
    var random = SystemRandomNumberGenerator()
    return Webhooks(
      engine: engine, client: OutboundClient(configuration.outbound, trust: trust), clock: clock,
      logger: logger, seed: random.next())
  }

  private static func openEngine(
    _ store: OpenedStore, _ configuration: Configuration, lanes: [EventLoopExecutor],
    clock: any TimeSource
  ) async throws(StartFailure) -> Engine {
    let opened = await withCheckedContinuation { continuation in
      Engine.open(
        store.catalog, meta: store.meta, log: store.log, time: clock, lanes: lanes,
        settings: configuration.engine, on: lanes[0]
      ) { continuation.resume(returning: $0) }
    }
    do {
      return try opened.get()
    } catch {
      throw StartFailure(error, data: configuration.data)
    }
  }

  /// Reads the certificate and its key again, for new connections.
  func reload() {
    http.reloadCertificates()
  }

  /// Refuses new work, finishes what is in flight within the configured time, syncs, and lets go of everything.
  ///
  /// Connections end before the engine does: what they still owe (answers, history that is being read) needs it.
  func stop() async {
    let logger = logger
    let watchdog = lanes[0].schedule(after: configuration.stopTimeout + Self.closingTime) {
      // Everything acknowledged is on disk; the next start recovers what was not tidied up.
      logger.error("the store could not be closed in time: ending all the same")
      _exit(EXIT_FAILURE)
    }
    defer { watchdog.cancel() }
    await gateway.drain()
    async let delivered: Void = webhooks.drain(
      within: min(configuration.stopTimeout, Self.deliveryTime), on: lanes[0])
    await drain()
    await delivered
    await withCheckedContinuation { continuation in
      engine.stop(on: lanes[0]) { continuation.resume() }
    }
    for thread in threads { thread.stop() }
  }

  /// What the engine may take to sync and close behind the last connection.
  private static let closingTime = Duration.seconds(10)

  /// What webhook requests under way may take to be answered: what is not is delivered again after the next start.
  private static let deliveryTime = Duration.seconds(5)

  private func drain() async {
    do {
      try await http.drain(within: configuration.stopTimeout)
    } catch {
      logger.warning("connections were not closed in order", metadata: ["error": "\(error)"])
    }
  }

  private static func checkOpenFiles(_ configuration: Configuration, _ logger: Logger) {
    let openFilesMax = HTTPServer.raiseOpenFilesLimit()
    guard openFilesMax < configuration.connectionsMax + 1024 else { return }
    logger.warning(
      "fewer files may be open than connections are allowed: raise ulimit -n or LimitNOFILE=",
      metadata: [
        "open_files_max": "\(openFilesMax)", "connections_max": "\(configuration.connectionsMax)",
      ])
  }

  /// Says what recovery found, for it is nobody's daily reading.
  private static func tell(
    _ report: RecoveryReport, _ names: [ShardID: ShardName], _ logger: Logger
  ) {
    for damage in report.dropped {
      for line in damage.words(names) { logger.error("dropped: \(line)") }
    }
    if report.replayedFrames > 0 {
      logger.notice(
        "recovered from the write-ahead log",
        metadata: ["frames": "\(report.replayedFrames)", "bytes": "\(report.replayedBytes)"])
    }
    if let before = report.lanesBefore {
      logger.notice("the number of lanes changed", metadata: ["before": "\(before)"])
    }
    if !report.removedShards.isEmpty {
      logger.notice(
        "removed what deleted streams had left",
        metadata: ["shards": "\(report.removedShards.count)"])
    }
  }
}

extension Configuration {
  var store: StoreOptions {
    var random = SystemRandomNumberGenerator()
    var store = StoreOptions(salt: random.next())
    // A body goes into one frame as a rule, and with keys taken out of values hardly into twice its size.
    let mebibytes = (2 * bodyBytesMax + (1 << 20) - 1) >> 20
    store.walFileBytes = max(store.walFileBytes, mebibytes << 20)
    store.reserveBytes = store.walFileBytes * store.walFilesPerLane
    return store
  }

  var engine: EngineSettings { EngineSettings() }

  var outbound: OutboundSettings {
    var outbound = OutboundSettings(userAgent: "millrace/\(Version.number)")
    outbound.policy = egressPolicy
    return outbound
  }

  var gateway: GatewayConfiguration {
    var gateway = GatewayConfiguration()
    gateway.limits.recordBytesMax = recordBytesMax
    gateway.limits.bodyBytesMax = bodyBytesMax
    gateway.limits.batchRecordsMax = batchRecordsMax
    gateway.limits.headerBytesMax = headerBytesMax
    gateway.allowedOrigins = corsOrigins
    gateway.heartbeatInterval = heartbeat
    // Said to be insecure, the server may be called by any name; the network decides who gets here.
    gateway.loopbackHostsOnly = !insecure
    gateway.egressPolicy = egressPolicy
    return gateway
  }

  var egressPolicy: EgressPolicy {
    EgressPolicy(allowing: webhookAllow.compactMap { AddressRange($0) })
  }

  func transport(_ logger: Logger) -> HTTPServer.Configuration {
    var transport = HTTPServer.Configuration(
      host: listen.host, port: listen.port, logger: logger)
    transport.limits.connectionsMax = connectionsMax
    transport.limits.bodyBytesMax = bodyBytesMax
    transport.limits.headBytesMax = headerBytesMax
    transport.limits.headTime = headTimeout
    transport.limits.bodyStallTime = bodyTimeout
    transport.limits.writeStallTime = writeTimeout
    transport.limits.idleTime = idleTimeout
    // What operators look at is answered whatever readers leave untaken.
    transport.isBulk = {
      $0.method == "GET" ? $0.path.hasSuffix("/records") : $0.path.hasSuffix(":pull")
    }
    if let tlsCert, let tlsKey {
      transport.tls = TLSConfiguration(
        certificateFile: tlsCert, keyFile: tlsKey, clientAuthorityFile: tlsClientCA)
    }
    return transport
  }
}
