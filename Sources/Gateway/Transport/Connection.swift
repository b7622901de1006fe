// The socket's side of a connection: bytes between a channel, TLS and the protocol above, and nothing they should know.
import NIOCore

final class Connection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// Why a connection is not read.
  struct Pause: OptionSet {
    let rawValue: UInt8
    /// The peer does not take what is sent.
    static let output = Pause(rawValue: 1)
    /// Enough of its requests wait for answers.
    static let requests = Pause(rawValue: 2)
  }

  private enum Session {
    /// The first bytes, from which it will be seen what the peer speaks.
    case sniffing(ByteBuffer)
    case http1(HTTP1Session)
    case http2(HTTP2Session)
    case gone
  }

  private enum Closing {
    case no
    /// Once what is written has been sent.
    case afterFlush
    /// Nothing more is sent; what comes is dropped until the peer closes or time is up.
    case lingering
    case closed
  }

  let loop: LoopState
  let id: UInt64
  private var context: ChannelHandlerContext?
  private var session = Session.sniffing(ByteBuffer())
  private var tls: TLSSession?
  private var closing = Closing.no
  private var hasInputEnded = false
  /// An answer was given before the request was read to its end: the peer gets time to read it.
  var lingers = false
  private var isRefused = false
  private var paused: Pause = []
  /// Small writes, together.
  private var outgoing = ByteBuffer()
  private var isDirty = false
  /// When the wheel will call, and the stamp it will show.
  private var wakeTick = UInt64.max
  private var wakeStamp: UInt64 = 0
  private var openTick: UInt64 = 0
  private var lingerEnd: UInt64 = 0
  /// Bytes given to the channel, and how many of them had been sent when the clock was last looked at.
  private var queuedBytes = 0
  private var sentBytesSeen = 0
  private var queuedBytesSeen = 0
  private var sentSeenTick: UInt64 = 0
  /// This connection's part of the loop's `heldAnswerBytes`.
  private var heldAnswerBytes = 0

  init(loop: LoopState) {
    self.loop = loop
    id = loop.nextConnectionID()
  }

  var isTLS: Bool { tls != nil }

  var now: NIODeadline { loop.hooks.accessLog == nil ? .uptimeNanoseconds(0) : .now() }

  // MARK: From the channel

  func channelActive(context: ChannelHandlerContext) {
    self.context = context
    openTick = loop.tick
    sentSeenTick = loop.tick
    let isAdmitted = loop.opened(self)
    wake(at: loop.tick + loop.ticks(loop.limits.headTime))
    if !isAdmitted { refuse() }
  }

  /// One connection too many: told so if that can be said in clear, and if not too many others are being told.
  private func refuse() {
    isRefused = true
    if loop.certificates != nil || loop.refusedOpen > LoopState.refusedOpenMax {
      abort()
      return
    }
    refusing(.tooManyConnections(countMax: loop.limits.connectionsMax))
  }

  private func refusing(_ problem: TransportProblem) {
    let refusal = HTTP1Session(connection: self, loop: loop)
    session = .http1(refusal)
    refusal.fail(problem)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    loop.counters.bytesIn += bytes.readableBytes
    guard case .no = closing else { return }
    guard let tls else {
      received(bytes)
      return
    }
    let plaintext = tls.receive(bytes)
    if tls.outgoing.readableBytes > 0 { markDirty() }
    if tls.state != .handshaking, case .sniffing(let held) = session, tls.hasChosenProtocol {
      session = tls.isHTTP2 ? .http2(.init(connection: self, loop: loop)) : .http1(makeHTTP1())
      precondition(held.readableBytes == 0, "plaintext before the handshake's end")
    }
    if plaintext.readableBytes > 0 { received(plaintext) }
    switch tls.state {
    case .handshaking, .established: break
    case .ended: inputEnded()
    case .failed:
      if case .sniffing = session { loop.counters.tlsHandshakesFailed += 1 }
      loop.logger.debug("TLS ended", metadata: ["reason": "\(TLSContext.lastError())"])
      // An alert may be waiting.
      closeAfterFlush()
    }
  }

  private func makeHTTP1() -> HTTP1Session { HTTP1Session(connection: self, loop: loop) }

  private func received(_ bytes: ByteBuffer) {
    switch session {
    case .http1(let session): session.receive(bytes)
    case .http2(let session): session.receive(bytes)
    case .sniffing(var held):
      if held.readableBytes == 0 { held = bytes } else { held.writeImmutableBuffer(bytes) }
      sniff(held)
    case .gone: break
    }
  }

  /// HTTP/2 with prior knowledge begins with 24 bytes that no HTTP/1 request begins with.
  private func sniff(_ held: ByteBuffer) {
    if tls == nil, let certificates = loop.certificates {
      if held.getInteger(at: held.readerIndex, as: UInt8.self) == 22 {
        let tls = TLSSession(certificates.context, bio: loop.tlsMethod)
        self.tls = tls
        session = .sniffing(ByteBuffer())
        channelRead(ciphertext: held)
      } else {
        refusing(.plainTextOnTLSPort)
      }
      return
    }
    let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    let count = min(held.readableBytes, preface.utf8CodeUnitCount)
    let isAlike = held.withUnsafeReadableBytes { bytes in
      (0..<count).allSatisfy { bytes[$0] == preface.utf8Start[$0] }
    }
    if isAlike, count < preface.utf8CodeUnitCount {
      session = .sniffing(held)
    } else if isAlike {
      let http2 = HTTP2Session(connection: self, loop: loop)
      session = .http2(http2)
      http2.receive(held)
    } else {
      let http1 = makeHTTP1()
      session = .http1(http1)
      http1.receive(held)
    }
  }

  /// The first bytes again, now that they are known to be TLS.
  private func channelRead(ciphertext: ByteBuffer) {
    guard let context else { return }
    loop.counters.bytesIn -= ciphertext.readableBytes
    channelRead(context: context, data: NIOAny(ciphertext))
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    let isWritable = context.channel.isWritable
    if isWritable { recountHeld() }
    setPaused(.output, !isWritable)
    guard isWritable, case .no = closing else { return }
    switch session {
    case .http1(let session): session.drained()
    case .http2(let session): session.drained()
    case .sniffing, .gone: break
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed { inputEnded() }
  }

  private func inputEnded() {
    if hasInputEnded { return }
    hasInputEnded = true
    switch closing {
    case .lingering: abort()
    case .afterFlush, .closed: break
    case .no:
      switch session {
      case .http1(let session): session.inputEnded()
      case .http2(let session): session.inputEnded()
      case .sniffing, .gone: abort()
      }
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    loop.logger.debug("connection error", metadata: ["error": "\(error)"])
    abort()
  }

  func channelInactive(context: ChannelHandlerContext) {
    closing = .closed
    outgoing = ByteBuffer()
    holdAnswer(-heldAnswerBytes)
    let ended = session
    session = .gone
    switch ended {
    case .http1(let session): session.closed()
    case .http2(let session): session.closed()
    case .sniffing, .gone: break
    }
    loop.closed(self, wasRefused: isRefused)
    self.context = nil
  }

  // MARK: To the channel

  /// Appends to what will be sent at the end of the loop's tick.
  func write(_ body: (inout ByteBuffer) -> Void) {
    if case .closed = closing { return }
    body(&outgoing)
    markDirty()
  }

  /// For use while flushing: appends, and leaves the flush to the caller.
  func append(_ body: (inout ByteBuffer) -> Void) { body(&outgoing) }

  func append(_ bytes: UnsafeRawBufferPointer) { outgoing.writeBytes(bytes) }

  /// Whether the peer takes what is sent, and less than `bytes` wait to be tried.
  func mayWrite(upTo bytes: Int) -> Bool {
    !paused.contains(.output) && outgoing.readableBytes < bytes
  }

  /// Sends a buffer that others may share, without copying it.
  func send(_ buffer: ByteBuffer) {
    if case .closed = closing { return }
    pushOutgoing()
    queue(buffer)
    markDirty()
  }

  private func pushOutgoing() {
    guard outgoing.readableBytes > 0 else { return }
    let buffer = outgoing
    outgoing = ByteBuffer()
    queue(buffer)
  }

  private func queue(_ buffer: ByteBuffer) {
    if let tls {
      tls.send(buffer)
      if let ciphertext = tls.takeOutgoing() { queueRaw(ciphertext) }
    } else {
      queueRaw(buffer)
    }
  }

  private func queueRaw(_ buffer: ByteBuffer) {
    queuedBytes += buffer.readableBytes
    loop.counters.bytesOut += buffer.readableBytes
    if buffer.readableBytes > Self.smallBytes { holdAnswer(buffer.readableBytes) }
    context?.write(wrapOutboundOut(buffer), promise: nil)
  }

  /// Less than this is not worth counting while it waits: small answers are bounded by reading no more requests.
  static let smallBytes = 16 << 10

  private func holdAnswer(_ bytes: Int) {
    heldAnswerBytes += bytes
    loop.counters.heldAnswerBytes += bytes
  }

  private func recountHeld() {
    if heldAnswerBytes > 0 { holdAnswer(channelUnsentBytes - heldAnswerBytes) }
  }

  func markDirty() {
    if isDirty { return }
    isDirty = true
    loop.markDirty(self)
  }

  /// Called once at the end of a tick in which something was written.
  func flush() {
    isDirty = false
    guard let context else { return }
    var isFull = false
    if case .http2(let session) = session {
      session.pump()
      isFull = outgoing.readableBytes >= HTTP2Session.pumpBytesMax
    }
    pushOutgoing()
    if let tls, let ciphertext = tls.takeOutgoing() { queueRaw(ciphertext) }
    context.flush()
    recountHeld()
    if isFull, !paused.contains(.output) { markDirty() }
    if case .afterFlush = closing { finishClosing() }
  }

  private var channelUnsentBytes: Int {
    guard let options = context?.channel.syncOptions,
      let bytes = try? options.getOption(.bufferedWritableBytes)
    else { return 0 }
    return bytes
  }

  /// Bytes that the peer's side has not taken. What the channel holds below its watermark, a quarter of what a
  /// connection may leave unsent, does not count: asking for it costs a fan-out a part of every delivery.
  var unsentBytes: Int {
    outgoing.readableBytes + (paused.contains(.output) ? channelUnsentBytes : 0)
  }

  /// Runs `job` later in this tick, outside whatever is running now.
  func later(_ job: @escaping () -> Void) {
    loop.eventLoop.assumeIsolated().execute(job)
  }

  func setPaused(_ why: Pause, _ isPaused: Bool) {
    let was = paused.isEmpty
    if isPaused { paused.insert(why) } else { paused.remove(why) }
    if paused.isEmpty == was { return }
    guard let context else { return }
    try? context.channel.syncOptions?.setOption(.autoRead, value: paused.isEmpty)
  }

  // MARK: Closing

  /// Closes when all that was written has been sent; if `lingers`, gives the peer time to read it.
  func closeAfterFlush() {
    guard case .no = closing else { return }
    closing = .afterFlush
    markDirty()
  }

  private func finishClosing() {
    guard let context else { return }
    closing = .lingering
    if let tls {
      tls.end()
      if let ciphertext = tls.takeOutgoing() { queueRaw(ciphertext) }
      context.flush()
    }
    lingerEnd =
      loop.tick + loop.ticks(lingers ? loop.limits.lingerTime : loop.limits.writeStallTime)
    wake(at: lingerEnd)
    let sent = context.eventLoop.makePromise(of: Void.self)
    sent.futureResult.assumeIsolated().whenComplete { _ in
      if self.hasInputEnded || !self.lingers { self.abort() }
    }
    // What comes from here on is dropped, not held back.
    paused = []
    try? context.channel.syncOptions?.setOption(.autoRead, value: true)
    context.close(mode: .output, promise: sent)
  }

  /// Closes now, whatever is unsent.
  func abort() {
    if case .closed = closing { return }
    closing = .closed
    context?.close(mode: .all, promise: nil)
  }

  func drain() {
    switch session {
    case .http1(let session): session.drain()
    case .http2(let session): session.drain()
    case .sniffing, .gone: abort()
    }
  }

  // MARK: Time

  /// Sees to it that `due` is called at `tick` or soon after it.
  func wake(at tick: UInt64) {
    if tick >= wakeTick { return }
    wakeStamp += 1
    wakeTick = loop.schedule(self, stamp: wakeStamp, at: tick)
  }

  func due(stamp: UInt64) {
    guard stamp == wakeStamp, context != nil else { return }
    wakeTick = .max
    let now = loop.tick
    switch closing {
    case .closed: return
    case .lingering:
      if now >= lingerEnd { abort() } else { wake(at: lingerEnd) }
      return
    case .no, .afterFlush: break
    }
    if isWriteStalled(now) {
      loop.counters.connectionsBroken += 1
      abort()
      return
    }
    var next = now + loop.ticks(loop.limits.writeStallTime)
    switch session {
    case .http1(let session): next = min(next, session.due())
    case .http2(let session): next = min(next, session.due())
    case .sniffing:
      let end = openTick + loop.ticks(loop.limits.headTime)
      if now >= end { abort() }
      next = min(next, end)
    case .gone: break
    }
    wake(at: max(next, now + 1))
  }

  /// Whether bytes wait and too few have gone within the time limit.
  private func isWriteStalled(_ now: UInt64) -> Bool {
    recountHeld()
    let unsent = channelUnsentBytes
    let sent = queuedBytes - unsent
    let time = loop.limits.writeStallTime
    // What waited at the last look has all gone, or enough of it.
    let moves =
      sent >= queuedBytesSeen || sent - sentBytesSeen >= loop.limits.bytesWanted(within: time)
    if unsent == 0 || moves {
      sentBytesSeen = sent
      queuedBytesSeen = queuedBytes
      sentSeenTick = now
      return false
    }
    return now - sentSeenTick >= loop.ticks(time)
  }
}
