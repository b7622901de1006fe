// A running member: one event loop on the main thread, with everything that it needs and nothing that it does not.
import Engine
import Gateway
import Glibc
import Logging
import Membership
import NIOCore
import NIOPosix
import Wire

/// Lives on its event loop.
final class MemberProcess {
  static let superseded: CInt = 3

  private let start: MemberStart
  private let loop: any EventLoop
  private var driver: MemberDriver!
  private var output: LineOutput!
  private var keeper: SnapshotKeeper?
  private var keyMark: KeyFile.Mark?
  private var pages: StatusPages?
  private var isLeaving = false
  private var memory = ProcessMemory()
  /// Since the start or the last event.
  private var secondsQuiet = 0

  /// Runs the member on this thread until the process ends.
  static func run(_ start: MemberStart) -> Never {
    fillStandardDescriptors()
    let wishes = Signals.pipe()
    ProcessMemory.useOneArena()
    MultiThreadedEventLoopGroup.withCurrentThreadAsEventLoop { loop in
      let process = MemberProcess(start, on: loop)
      process.listen(to: wishes)
      process.begin()
    }
    preconditionFailure("a member's loop ends with its process")
  }

  /// A socket must not come by a number that lines are written to.
  private static func fillStandardDescriptors() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
      _ = open("/dev/null", O_RDWR)
    }
  }

  private init(_ start: MemberStart, on loop: any EventLoop) {
    self.start = start
    self.loop = loop
    output = LineOutput(
      STDOUT_FILENO, on: loop, lost: { EventLines.lost($0, at: SystemTime().now) },
      closed: { [unowned self] in
        leave(because: "nobody reads standard output any more")
      })
  }

  private func begin() {
    guard let http = start.settings.http else { return beginMember(http: nil) }
    let process = NIOLoopBound(self, eventLoop: loop)
    let loop = loop
    var configuration = HTTPServer.Configuration(
      host: http.host, port: http.port, logger: start.logger)
    configuration.limits.connectionsMax = 64
    configuration.limits.bodyBytesMax = 4096
    configuration.isBulk = { _ in false }
    Task {
      do {
        let server = try await HTTPServer.start(configuration, on: loop) { _ in
          { exchange in process.value.answer(exchange) }
        }
        loop.execute { process.value.beginMember(http: server.address) }
      } catch {
        Console.error("millrace: \(StartFailure.listening(flag: "--http", on: http, error))\n")
        _exit(EXIT_FAILURE)
      }
    }
  }

  private func beginMember(http: SocketAddress?) {
    let logger = start.logger
    if let file = start.snapshotFile {
      keeper = SnapshotKeeper(file, written: start.setup.firstSnapshot, on: loop, logger: logger)
    }
    keyMark = start.keyFile?.mark
    do throws(SocketFailure) {
      let sockets = try BoundSockets(start.bind)
      let address = sockets.address
      tellWhere(address, http)
      driver = MemberDriver(
        start.setup, sockets: sockets, on: loop, logger: logger,
        hooks: MemberHooks(
          event: { [unowned self] in tell($0) }, persist: { [unowned self] in keeper?.keep($0) },
          stopped: { [unowned self] in stopped($0) }))
    } catch {
      Console.error("millrace: \(StartFailure(error, bind: start.settings.bind))\n")
      _exit(EXIT_FAILURE)
    }
    if let http {
      pages = MemberPages.make(for: driver, loopbackHostsOnly: http.isLoopback)
      if !http.isLoopback {
        logger.warning(
          "everyone who reaches this address may read about the members of the cluster",
          metadata: ["http": "\(http.description)"])
      }
    }
    tick()
  }

  private func tellWhere(_ address: SocketAddress, _ http: SocketAddress?) {
    let host = ListenAddress(host: address.ipAddress ?? "", port: address.port ?? 0)
    var facts: Logger.Metadata = [
      "id": "\(start.setup.id)", "address": "\(host)", "generation": "\(start.setup.generation)",
      "keys": "\(start.setup.keyring.map { $0.ids.map(\.description) } ?? [])",
    ]
    if let http {
      let host = ListenAddress(host: http.ipAddress ?? "", port: http.port ?? 0)
      facts["http"] = "http://\(host)"
    }
    start.logger.notice("listening", metadata: facts)
    if start.setup.keyring == nil, !address.isLoopback {
      start.logger.warning(
        "there is no key: whoever can send here can change what the cluster believes (--key-file)")
    }
  }

  private func answer(_ exchange: any Exchange) {
    if let pages { pages.handle(exchange) } else { exchange.abort() }
  }

  // MARK: Events

  private func tell(_ event: Event) {
    secondsQuiet = 0
    output.write(EventLines.line(event, own: start.setup.id, at: SystemTime().now))
    if case .superseded(let claim, let endpoint) = event {
      start.logger.error(
        """
        another process has this member's name, and came later: this one ends. \
        Give each member a name of its own (--id); if it was moved, this is the old one
        """,
        metadata: [
          "id": "\(start.setup.id)", "other": "\(endpoint)",
          "other_generation": "\(claim.generation)",
        ])
    }
  }

  private func stopped(_ reason: StopReason) {
    keeper?.flush()
    // What was said last is still on its way through the loop. Then `_exit`: the destructors that `exit` runs would
    // meet Swift's other threads at work, which ended one process in twenty-five by a segmentation fault.
    loop.assumeIsolated().scheduleTask(in: .milliseconds(50)) {
      _exit(reason == .superseded ? Self.superseded : EXIT_SUCCESS)
    }
  }

  private func leave(because reason: String) {
    guard !isLeaving else { return }
    isLeaving = true
    start.logger.notice("leaving", metadata: ["reason": "\(reason)"])
    guard let driver else { _exit(EXIT_SUCCESS) }
    driver.perform(.leave)
  }

  // MARK: Signals and files

  private func listen(to wishes: CInt) {
    let reader = NIOLoopBound(
      WishReader { [unowned self] wish in
        switch wish {
        case .stop: leave(because: "asked to by a signal")
        case .reload: reload()
        }
      }, eventLoop: loop)
    NIOPipeBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(reader.value)
        }
      }
      .takingOwnershipOfDescriptor(input: wishes)
      .whenFailure { preconditionFailure("signals cannot be listened to: \($0)") }
  }

  /// Once a second: what nobody else would tell.
  private func tick() {
    output.check()
    secondsQuiet += 1
    if secondsQuiet == ProcessMemory.quietSeconds { memory.giveBack() }
    if let file = start.keyFile, let mark = file.mark, mark != keyMark { readKeys(file) }
    loop.assumeIsolated().scheduleTask(in: .seconds(1)) { self.tick() }
  }

  private func reload() {
    // Until the sockets are bound nothing has been read that could be old.
    guard driver != nil else { return }
    if let file = start.keyFile { readKeys(file) }
    do throws(FlagFault) {
      driver.perform(
        .setMetadata(
          try MemberSettings.metadata(
            start.settings.metadata, file: start.options.metadataFile)))
    } catch {
      start.logger.error("the metadata stays as it was", metadata: ["reason": "\(error)"])
    }
  }

  private func readKeys(_ file: KeyFile) {
    keyMark = file.mark
    let logger = start.logger
    do throws(KeyFileFault) {
      let keyring = try file.read()
      let old = driver.core.member(start.setup.id)?.profile.keys ?? []
      guard keyring.ids != old else { return }
      logger.notice("keys read again", metadata: ["keys": "\(keyring.ids.map(\.description))"])
      let check = KeyCheck(
        driver.core.members.filter { $0.status.isPresent && $0.id != start.setup.id })
      for trouble in check.troubles(from: old, to: keyring.ids) {
        logger.warning("\(trouble)")
      }
      driver.perform(.setKeyring(keyring))
    } catch {
      logger.error(
        "the key file cannot be used; the keys stay as they were",
        metadata: ["file": "\(file.path)", "reason": "\(error)"])
    }
  }
}

/// Signals, as bytes of a pipe.
private final class WishReader: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let heard: (Signals.Wish) -> Void
  private var counter = Signals.Counter()

  init(heard: @escaping (Signals.Wish) -> Void) { self.heard = heard }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    for byte in unwrapInboundIn(data).readableBytesView {
      if let wish = counter.wish(byte) { heard(wish) }
    }
  }
}
