// The socket's side of a connection: bytes between a channel and the state machines above it, and nothing they should know.
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
    case none
    case http1(HTTP1Session)
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
  let isTLS = false
  private var context: ChannelHandlerContext?
  private var session = Session.none
  private var closing = Closing.no
  private var hasInputEnded = false
  /// An answer was given before the request was read to its end: the peer gets time to read it.
  var lingers = false
  private var paused: Pause = []
  /// Small writes, together.
  private var outgoing = ByteBuffer()
  private var isDirty = false
  /// When the wheel will call, and the stamp it will show.
  private var wakeTick = UInt64.max
  private var wakeStamp: UInt64 = 0
  private var lingerEnd: UInt64 = 0
  /// Bytes given to the channel, and how many of them had been sent when the clock was last looked at.
  private var queuedBytes = 0
  private var sentBytesSeen = 0
  private var sentSeenTick: UInt64 = 0

  init(loop: LoopState) {
    self.loop = loop
    id = loop.nextConnectionID()
  }

  var now: NIODeadline { loop.hooks.accessLog == nil ? .uptimeNanoseconds(0) : .now() }

  // MARK: From the channel

  func channelActive(context: ChannelHandlerContext) {
    self.context = context
    loop.opened(self)
    session = .http1(HTTP1Session(connection: self, loop: loop))
    wake(at: loop.tick + loop.ticks(loop.limits.headTime))
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    loop.counters.bytesIn += bytes.readableBytes
    if case .no = closing {} else { return }
    switch session {
    case .none: break
    case .http1(let session): session.receive(bytes)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    let isWritable = context.channel.isWritable
    setPaused(.output, !isWritable)
    guard isWritable, case .no = closing else { return }
    switch session {
    case .none: break
    case .http1(let session): session.drained()
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard let event = event as? ChannelEvent, event == .inputClosed, !hasInputEnded else { return }
    hasInputEnded = true
    switch closing {
    case .lingering: abort()
    case .afterFlush, .closed: break
    case .no:
      switch session {
      case .none: abort()
      case .http1(let session): session.inputEnded()
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
    let ended = session
    session = .none
    switch ended {
    case .none: break
    case .http1(let session): session.closed()
    }
    loop.closed(self)
    self.context = nil
  }

  // MARK: To the channel

  /// Appends to what will be sent at the end of the loop's tick.
  func write(_ body: (inout ByteBuffer) -> Void) {
    if case .closed = closing { return }
    body(&outgoing)
    markDirty()
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
    queuedBytes += buffer.readableBytes
    loop.counters.bytesOut += buffer.readableBytes
    context?.write(wrapOutboundOut(buffer), promise: nil)
  }

  private func markDirty() {
    if isDirty { return }
    isDirty = true
    loop.markDirty(self)
  }

  func flush() {
    isDirty = false
    guard let context else { return }
    pushOutgoing()
    context.flush()
    if case .afterFlush = closing { finishClosing(context) }
  }

  private var channelUnsentBytes: Int {
    guard let options = context?.channel.syncOptions,
      let bytes = try? options.getOption(.bufferedWritableBytes)
    else { return 0 }
    return bytes
  }

  /// Bytes that the peer's side has not taken.
  var unsentBytes: Int { channelUnsentBytes + outgoing.readableBytes }

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
    if paused.isEmpty { context.read() }
  }

  // MARK: Closing

  /// Closes when all that was written has been sent; if `lingers`, gives the peer time to read it.
  func closeAfterFlush() {
    guard case .no = closing else { return }
    closing = .afterFlush
    markDirty()
  }

  private func finishClosing(_ context: ChannelHandlerContext) {
    closing = .lingering
    lingerEnd =
      loop.tick + loop.ticks(lingers ? loop.limits.lingerTime : loop.limits.writeStallTime)
    wake(at: lingerEnd)
    let sent = context.eventLoop.makePromise(of: Void.self)
    sent.futureResult.assumeIsolated().whenComplete { _ in
      if self.hasInputEnded || !self.lingers { self.abort() }
    }
    // What is dropped from here on is not held back.
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
    case .none: abort()
    case .http1(let session): session.drain()
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
    case .none: break
    case .http1(let session): next = min(next, session.due())
    }
    wake(at: next)
  }

  /// Whether bytes wait and none has gone for the time limit.
  private func isWriteStalled(_ now: UInt64) -> Bool {
    let unsent = channelUnsentBytes
    let sent = queuedBytes - unsent
    if unsent == 0 || sent != sentBytesSeen {
      sentBytesSeen = sent
      sentSeenTick = now
      return false
    }
    return now - sentSeenTick >= loop.ticks(loop.limits.writeStallTime)
  }
}
