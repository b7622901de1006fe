// What all connections of one event loop share: handlers, counters, the clock's ticks, and who has something to flush.
import Logging
import NIOCore
import Synchronization
import Wire

/// One line of an access log.
public struct AccessRecord: Sendable {
  public var method: String
  /// Without the query, which may hold a ticket.
  public var path: String
  public var status: Int
  /// The answer's body, without framing.
  public var bodyBytes: Int
  /// From the complete head to the end of the answer.
  public var duration: Duration
  public var requestID: String
}

/// What the transport asks of those who use it; shared by all loops.
struct TransportHooks: Sendable {
  var admit: @Sendable (RequestHead, Int?, () -> String) -> Answer?
  var isBulk: @Sendable (RequestHead) -> Bool
  var render: @Sendable (TransportProblem, String) -> Answer
  var accessLog: (@Sendable (AccessRecord) -> Void)?
}

/// What loops share: how many connections are open, and the counters as each loop last published them.
final class TransportTotals: Sendable {
  let connectionsOpen = Atomic<Int>(0)
  private let published: Mutex<[TransportCounters]>

  init(loops: Int) { published = Mutex(Array(repeating: TransportCounters(), count: loops)) }

  func publish(_ counters: TransportCounters, loop: Int) {
    published.withLock { $0[loop] = counters }
  }

  var counters: TransportCounters {
    published.withLock { $0.reduce(into: TransportCounters()) { $0 += $1 } }
  }
}

final class LoopState {
  let eventLoop: any EventLoop
  let limits: TransportLimits
  let hooks: TransportHooks
  let logger: Logger
  let handle: (any Exchange) -> Void
  /// Nil where the server speaks in clear.
  let certificates: TLSCertificates?
  lazy var tlsMethod = TLSBIOMethod()
  lazy var http2 = HTTP2Library()
  lazy var http2Scratch = HTTP2Scratch()
  private let index: Int
  private let totals: TransportTotals
  /// Connections that are being told that there are too many.
  private(set) var refusedOpen = 0
  static let refusedOpenMax = 256
  /// The budget of body bytes of this loop alone.
  let heldBodyBytesMax: Int
  /// And of answers that wait.
  let heldAnswerBytesMax: Int
  var counters = TransportCounters()
  private(set) var isDraining = false
  /// `date: …` and CRLF.
  private(set) var dateLine: [UInt8]
  private(set) var dateText: String
  /// SplitMix64 from a random start repeats no number within 2^64.
  private var requestIDs: Random

  private(set) var connections: [UInt64: Connection] = [:]
  private var connectionIDs: UInt64 = 0
  private var dirty: [Connection] = []
  private var flushing: [Connection] = []
  private var isFlushScheduled = false

  private var wheel = TimerWheel<(connection: UInt64, stamp: UInt64)>(slots: 256)
  private var isTicking = false
  private let tickNanoseconds: Int64
  private var whenEmpty: (() -> Void)?

  /// The last chunk of a body.
  let lastChunk = ByteBuffer(string: "0\r\n\r\n")

  init(
    eventLoop: any EventLoop, index: Int, totals: TransportTotals, limits: TransportLimits,
    hooks: TransportHooks, certificates: TLSCertificates?, logger: Logger, heldBodyBytesMax: Int,
    heldAnswerBytesMax: Int, requestIDSeed: UInt64, handle: @escaping (any Exchange) -> Void
  ) {
    self.eventLoop = eventLoop
    self.index = index
    self.totals = totals
    self.limits = limits
    self.hooks = hooks
    self.certificates = certificates
    self.logger = logger
    self.heldBodyBytesMax = heldBodyBytesMax
    self.heldAnswerBytesMax = heldAnswerBytesMax
    self.handle = handle
    requestIDs = Random(seed: requestIDSeed)
    dateText = DateText.text(secondsSince1970: DateText.now())
    dateLine = DateText.headerLine(dateText)
    tickNanoseconds = limits.tick.nanoseconds
  }

  func nextRequestID() -> UInt64 { requestIDs.next() }

  /// Why `bytes` more of untaken answers are too many; nil if they are not.
  func refusal(ofHolding bytes: Int) -> TransportProblem? {
    guard counters.heldAnswerBytes + bytes > heldAnswerBytesMax else { return nil }
    return .tooManyAnswers(bytesMax: heldAnswerBytesMax)
  }

  // MARK: Connections

  func nextConnectionID() -> UInt64 {
    connectionIDs += 1
    return connectionIDs
  }

  /// Takes a connection in. Returns whether there was room for it.
  func opened(_ connection: Connection) -> Bool {
    connections[connection.id] = connection
    let open = totals.connectionsOpen.add(1, ordering: .relaxed).newValue
    if open > limits.connectionsMax {
      refusedOpen += 1
      counters.connectionsRefused += 1
      return false
    }
    counters.connectionsOpen += 1
    counters.connectionsTotal += 1
    return true
  }

  func closed(_ connection: Connection, wasRefused: Bool) {
    guard connections.removeValue(forKey: connection.id) != nil else { return }
    totals.connectionsOpen.subtract(1, ordering: .relaxed)
    if wasRefused { refusedOpen -= 1 } else { counters.connectionsOpen -= 1 }
    if connections.isEmpty { whenEmpty?() }
  }

  /// Tells every connection to finish what is in flight; `done` is called once none is left.
  func drain(_ done: @escaping () -> Void) {
    isDraining = true
    whenEmpty = { [unowned self] in
      whenEmpty = nil
      done()
    }
    for connection in Array(connections.values) { connection.drain() }
    if connections.isEmpty { whenEmpty?() }
  }

  func closeAll() {
    for connection in Array(connections.values) { connection.abort() }
  }

  // MARK: Flushing, once a tick of the loop

  func markDirty(_ connection: Connection) {
    dirty.append(connection)
    if isFlushScheduled { return }
    isFlushScheduled = true
    eventLoop.assumeIsolated().execute { self.flush() }
  }

  private func flush() {
    isFlushScheduled = false
    swap(&dirty, &flushing)
    for connection in flushing { connection.flush() }
    flushing.removeAll(keepingCapacity: true)
  }

  /// Writes a line of the access log, if there is one.
  func log(
    _ request: RequestHead, _ status: Int, _ bodyBytes: Int, _ receivedAt: NIODeadline,
    _ requestID: () -> String
  ) {
    guard let log = hooks.accessLog else { return }
    log(
      AccessRecord(
        method: request.method, path: request.path, status: status, bodyBytes: bodyBytes,
        duration: .nanoseconds((NIODeadline.now() - receivedAt).nanoseconds),
        requestID: requestID()))
  }

  // MARK: Time

  /// Ticks within which `duration` has passed for certain: the first may come at once.
  func ticks(_ duration: Duration) -> UInt64 {
    UInt64(max(1, (duration.nanoseconds + tickNanoseconds - 1) / tickNanoseconds)) + 1
  }

  var tick: UInt64 { wheel.now }

  func startTicking() {
    isTicking = true
    scheduleTick()
  }

  func stopTicking() { isTicking = false }

  private func scheduleTick() {
    eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(tickNanoseconds)) {
      guard self.isTicking else { return }
      self.ticked()
      self.scheduleTick()
    }
  }

  /// Calls `connection.due(stamp)` at `tick` or a little later. Returns when that will be.
  func schedule(_ connection: Connection, stamp: UInt64, at tick: UInt64) -> UInt64 {
    wheel.add((connection.id, stamp), at: tick)
  }

  private func ticked() {
    dateText = DateText.text(secondsSince1970: DateText.now())
    dateLine = DateText.headerLine(dateText)
    totals.publish(counters, loop: index)
    for entry in wheel.advance() { connections[entry.connection]?.due(stamp: entry.stamp) }
  }
}
