// The shell of one member: sockets, timers and files for the core, on one event loop.
import Logging
import NIOCore
import Wire

/// What a member is started with.
public struct MemberSetup: Sendable {
  public var id: MemberID
  /// Where others reach it. Nil: where its sockets are bound.
  public var advertised: Endpoint?
  public var metadata = Metadata()
  public var label = ""
  /// Nil speaks in clear.
  public var keyring: Keyring?
  public var join: [JoinTarget] = []
  /// Of the life before, if it is known.
  public var remembered: Snapshot?
  /// The wall clock's milliseconds.
  public var startedAt: UInt64
  /// Of all chance.
  public var seed: UInt64
  /// Of the seals; never the same twice with one key.
  public var session: UInt64
  public var swim = SwimConfiguration()
  public var streams = StreamLimits()
  /// A bad network, for tests and measurements.
  public var impairment: Impairment?

  public init(id: MemberID, startedAt: UInt64, seed: UInt64, session: UInt64) {
    self.id = id
    self.startedAt = startedAt
    self.seed = seed
    self.session = session
  }

  /// This life's: greater than all before, whichever of clock and memory is lost.
  public var generation: UInt64 { max((remembered?.generation ?? 0) + 1, startedAt) }
}

/// What a driver does not know how to do.
public struct MemberHooks {
  public var event: (Event) -> Void
  /// Keeps what the next life needs, a new generation before it returns.
  public var persist: (Snapshot) -> Void
  /// Called once, when all sockets are being closed.
  public var stopped: (StopReason) -> Void

  public init(
    event: @escaping (Event) -> Void, persist: @escaping (Snapshot) -> Void,
    stopped: @escaping (StopReason) -> Void
  ) {
    self.event = event
    self.persist = persist
    self.stopped = stopped
  }
}

/// What the driver counts beside the core.
public struct DriverCounters: Sendable {
  /// Datagrams that the system did not take: no route, a firewall, a full buffer.
  public var sendsFailed: UInt64 = 0
  /// Datagrams that nothing listened for.
  public var refusals: UInt64 = 0
  /// By the impairment.
  public var impaired: UInt64 = 0
  public var streamsAccepted: UInt64 = 0
  public var streamsOpened: UInt64 = 0
  /// By a limit on frames, time or number.
  public var streamsCutOff: UInt64 = 0
  public var streamsOpen = 0
  public var streamBytesReceived: UInt64 = 0
  public var streamBytesSent: UInt64 = 0
  public var timersLate: UInt64 = 0
}

/// Lives on its event loop, from `init` to `stopped`.
public final class MemberDriver: NIOScheduledCallbackHandler {
  public let setup: MemberSetup
  public let endpoint: Endpoint
  private let loop: any EventLoop
  private let logger: Logger
  private let hooks: MemberHooks
  private var swim: Swim
  private let startedAt: Instant
  private var datagrams: DatagramPort!
  private var asking: AskingPorts!
  private var streams: StreamPort!
  private var impairment: Impairment?
  private var ownCounters = DriverCounters()

  private var actions: [Action] = []
  /// What came while actions were carried out: the core hears of it afterwards, so that events keep their order.
  private var waiting: [(inout Swim, Instant, inout [Action]) -> Void] = []
  private var isPerforming = false
  private var timer: (at: Instant, callback: NIOScheduledCallback)?
  private var isSecondLook = false
  private var names: SeedNames!
  private var isStopped = false

  /// Takes the sockets over and starts: on `loop`, and before anything else there can be late.
  public init(
    _ setup: MemberSetup, sockets: consuming BoundSockets, on loop: any EventLoop, logger: Logger,
    hooks: MemberHooks
  ) {
    loop.preconditionInEventLoop()
    let address = sockets.address
    guard let endpoint = setup.advertised ?? Endpoint(address), endpoint.isUnicast else {
      preconditionFailure("\(address) is no address to tell others; advertise another")
    }
    self.setup = setup
    self.loop = loop
    self.logger = logger
    self.hooks = hooks
    self.endpoint = endpoint
    impairment = setup.impairment
    startedAt = Self.now
    let targets = setup.join.filter { $0.endpoint != endpoint }
    let peers =
      targets.compactMap(\.endpoint) + (setup.remembered?.peers.map(\.endpoint) ?? [])
    var configuration = setup.swim
    // One whose only seed is itself is the first of its cluster.
    configuration.awaitsPeers = !targets.isEmpty
    swim = Swim(
      configuration, id: setup.id,
      profile: Profile(
        endpoint: endpoint, metadata: setup.metadata, keys: setup.keyring?.ids ?? []),
      generation: setup.generation, keyring: setup.keyring, label: setup.label, peers: peers,
      seed: setup.seed, session: setup.session, at: startedAt, into: &actions)
    open(sockets.take(), address)
    names = SeedNames(setup.join.filter { $0.endpoint == nil }, on: loop, logger: logger) {
      [unowned self] in
      isFound($0)
    } found: { [unowned self] endpoints in
      perform(.join(endpoints))
    }
    isPerforming = true
    carryOut()
    names.look()
  }

  private func open(_ sockets: (datagrams: CInt, listener: CInt), _ address: SocketAddress) {
    let isIPv6 = address.protocol == .inet6
    datagrams = DatagramPort(
      sockets.datagrams, isIPv6: isIPv6, on: loop,
      received: { [unowned self] in received($0, from: $1) }, refused: {})
    asking = AskingPorts(
      from: address, on: loop, received: { [unowned self] in received($0, from: $1) },
      refused: { [unowned self] in refused(by: $0) })
    streams = StreamPort(
      sockets.listener, address: address, limits: setup.streams, on: loop
    ) { [unowned self] id, event in
      feed { $0.stream(event, id, at: $1, into: &$2) }
    }
  }

  /// Beyond this a timer is not late by chance.
  private static let lateness = Duration.milliseconds(100)

  public static var now: Instant {
    Instant(nanoseconds: Int64(NIODeadline.now().uptimeNanoseconds))
  }

  // MARK: What is asked of it

  /// Nothing happens once it stopped.
  public func perform(_ command: Command) {
    feed { $0.perform(command, at: $1, into: &$2) }
  }

  public func hint(_ evidence: Evidence, about member: MemberID) {
    feed { $0.hint(evidence, about: member, at: $1, into: &$2) }
  }

  /// A look at the core; not to be kept.
  public var core: Swim { swim }

  public var counters: DriverCounters {
    var counters = ownCounters
    counters.streamsAccepted = streams.counters.accepted
    counters.streamsOpened = streams.counters.opened
    counters.streamsCutOff = streams.counters.cutOff
    counters.streamsOpen = streams.openCount
    counters.streamBytesReceived = streams.counters.bytesIn
    counters.streamBytesSent = streams.counters.bytesOut
    return counters
  }

  // MARK: What comes in

  private func received(_ bytes: ByteBuffer, from address: SocketAddress) {
    guard let endpoint = Endpoint(address) else { return }
    feed { $0.receive(bytes.readableBytesView, from: endpoint, at: $1, into: &$2) }
  }

  private func refused(by endpoint: Endpoint) {
    ownCounters.refusals += 1
    feed { $0.refused(by: endpoint, at: $1, into: &$2) }
  }

  private func feed(_ input: @escaping (inout Swim, Instant, inout [Action]) -> Void) {
    guard !isStopped else { return }
    if isPerforming {
      waiting.append(input)
      return
    }
    isPerforming = true
    input(&swim, Self.now, &actions)
    carryOut()
  }

  private func carryOut() {
    var done = 0
    while true {
      // Actions may be appended by what waits, never by what is carried out.
      while done < actions.count {
        perform(actions[done])
        done += 1
      }
      actions.removeAll(keepingCapacity: actions.capacity <= 256)
      done = 0
      if waiting.isEmpty || isStopped { break }
      let inputs = waiting
      waiting = []
      for input in inputs { input(&swim, Self.now, &actions) }
    }
    isPerforming = false
    setTimer()
  }

  // MARK: What the core asks for

  private func perform(_ action: Action) {
    switch action {
    case .send(let bytes, let endpoint): send(bytes) { [self] in datagrams.send($0, to: endpoint) }
    case .sendAsking(let bytes, let endpoint):
      send(bytes) { [self] in
        // Too many of them, or none to be had: the question itself still goes out.
        guard let port = asking.port(to: endpoint) else { return datagrams.send($0, to: endpoint) }
        let outcome = port.send($0)
        if outcome == .refused { refused(by: endpoint) }
        return outcome
      }
    case .openStream(let id, let endpoint): streams.open(id, to: endpoint)
    case .write(let id, let frame): streams.write(id, frame)
    case .closeStream(let id): streams.close(id)
    case .emit(let event): hooks.event(event)
    case .persist(let snapshot): hooks.persist(snapshot)
    case .stop(let reason): stop(reason)
    }
  }

  private func send(_ bytes: ByteBuffer, _ out: @escaping (ByteBuffer) -> DatagramPort.Outcome) {
    switch impairment?.fate(after: Self.now - startedAt) {
    case nil, .sent?: if case .failed = out(bytes) { ownCounters.sendsFailed += 1 }
    case .lost?: ownCounters.impaired += 1
    case .late(let delay)?:
      ownCounters.impaired += 1
      loop.assumeIsolated().scheduleTask(in: .nanoseconds(delay.nanoseconds)) { [self] in
        if !isStopped { _ = out(bytes) }
      }
    }
  }

  private func stop(_ reason: StopReason) {
    close()
    hooks.stopped(reason)
  }

  /// Ends without a word, as a crash would; `stopped` is not called.
  func close() {
    isStopped = true
    waiting = []
    timer?.callback.cancel()
    timer = nil
    names.stop()
    datagrams.close()
    asking.close()
    streams.close()
  }

  // MARK: Time

  private func setTimer() {
    guard !isStopped, let deadline = swim.nextDeadline else { return }
    // A timer that comes too early costs less than moving it for every packet.
    if let timer, timer.at <= deadline { return }
    timer?.callback.cancel()
    schedule(deadline)
  }

  private func schedule(_ deadline: Instant) {
    let at = NIODeadline.uptimeNanoseconds(UInt64(max(0, deadline.nanoseconds)))
    do {
      timer = (deadline, try loop.assumeIsolated().scheduleCallback(at: at, handler: self))
    } catch {
      preconditionFailure("the event loop ended before its member: \(error)")
    }
  }

  public func handleScheduledCallback(eventLoop: some EventLoop) {
    guard !isStopped, let due = timer?.at else { return }
    timer = nil
    let now = Self.now
    let lateness = now - due
    if lateness > Self.lateness, !isSecondLook {
      // The process stood still, perhaps just before this: first hear what the sockets have in store.
      isSecondLook = true
      ownCounters.timersLate += 1
      schedule(now + .milliseconds(1))
      return
    }
    isSecondLook = false
    guard let deadline = swim.nextDeadline, deadline <= now else {
      setTimer()
      return
    }
    feed { $0.advance(to: $1, into: &$2) }
  }

  /// Whether a member that is there has one of these addresses.
  private func isFound(_ endpoints: [Endpoint]) -> Bool {
    swim.members.contains {
      $0.status.isPresent && $0.id != setup.id && endpoints.contains($0.endpoint)
    }
  }
}
