// A member's streams: those that others open, those that it opens, and what each may ask for.
import Glibc
import NIOCore
import NIOPosix
import Wire

/// How much a peer may ask of streams.
public struct StreamLimits: Sendable {
  /// From a connection to its first whole frame, and from a frame's first byte to its last.
  public var frameTime = Duration.seconds(5)
  /// The handshake of one that is opened.
  public var connectTime = Duration.seconds(1)
  /// Streams that others opened. A member has a few dozen; what strangers open beyond costs the oldest stranger.
  public var acceptedMax = 512
  /// Of those, the ones that have not had a frame: nobody knows who they are.
  public var strangersMax = 128
  /// What may wait for a peer that takes nothing, and for how long.
  /// More than all records of the largest cluster with all metadata: those are written in one go.
  public var unsentBytesMax = 16 << 20
  public var writeStallTime = Duration.seconds(5)

  public init() {}
}

/// Lives on its event loop. Tells of each stream: accepted or connected, frames, closed once; of one that the owner
/// closes nothing more.
final class StreamPort {
  struct Counters {
    var accepted: UInt64 = 0
    var opened: UInt64 = 0
    /// By one of the limits.
    var cutOff: UInt64 = 0
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
  }

  let limits: StreamLimits
  private(set) var counters = Counters()
  private let loop: any EventLoop
  /// Where own connections come from; the port is the system's choice.
  private let source: SocketAddress
  private let isIPv6: Bool
  private let tell: (StreamID, StreamEvent) -> Void
  private var listener: (any Channel)?
  private var streams: [StreamID: StreamConnection] = [:]
  private var acceptedCount = 0
  /// Accepted and without a frame yet, the oldest first.
  private var strangers: [StreamID] = []
  private var nextAccepted: UInt64 = 1
  private var isClosed = false

  /// Takes over `listener`, a listening socket that is bound to `address`.
  init(
    _ socket: CInt, address: SocketAddress, limits: StreamLimits, on loop: any EventLoop,
    tell: @escaping (StreamID, StreamEvent) -> Void
  ) {
    self.limits = limits
    self.loop = loop
    self.tell = tell
    isIPv6 = address.protocol == .inet6
    var source = address
    source.port = 0
    self.source = source
    let port = NIOLoopBound(self, eventLoop: loop)
    ServerBootstrap(group: loop)
      .serverChannelOption(.maxMessagesPerRead, value: 16)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // Out of descriptors: accept again a little later, instead of spinning on a socket that stays readable.
          try channel.pipeline.syncOperations.addHandler(
            AcceptBackoffHandler(
              shouldForwardIOErrorCaught: false, backoffProvider: { _ in .milliseconds(50) }))
        }
      }
      .streamOptions()
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try port.value.accept(channel) }
      }
      .withBoundSocket(socket).assumeIsolated().whenSuccess { channel in
        if self.isClosed { channel.close(promise: nil) } else { self.listener = channel }
      }
  }

  var openCount: Int { streams.count }

  // MARK: What the owner asks for

  func open(_ id: StreamID, to endpoint: Endpoint) {
    precondition(streams[id] == nil, "stream \(id) is opened twice")
    let stream = StreamConnection(id, isAccepted: false, of: self)
    streams[id] = stream
    counters.opened += 1
    guard let address = endpoint.address(onIPv6: isIPv6) else {
      ended(stream, .unreachable)
      return
    }
    let handler = NIOLoopBound(stream, eventLoop: loop)
    ClientBootstrap(group: loop)
      .connectTimeout(.nanoseconds(limits.connectTime.nanoseconds))
      .streamOptions()
      .bind(to: source)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(handler.value)
        }
      }
      .connect(to: address).assumeIsolated().whenFailure { error in
        self.ended(stream, StreamEnd(error))
      }
  }

  func write(_ id: StreamID, _ frame: ByteBuffer) {
    guard let stream = streams[id] else { return }
    counters.bytesOut += UInt64(FrameDecoder.lengthBytes + frame.readableBytes)
    stream.write(FrameDecoder.encode(frame))
  }

  /// What was written goes out first.
  func close(_ id: StreamID) {
    guard let stream = forget(id) else { return }
    stream.closeWhenWritten()
  }

  /// Listens no more, and ends every stream as soon as what was written is out.
  func close() {
    guard !isClosed else { return }
    isClosed = true
    listener?.close(promise: nil)
    listener = nil
    for id in streams.keys.sorted() { close(id) }
  }

  // MARK: What streams tell

  private func accept(_ channel: any Channel) throws {
    guard !isClosed, acceptedCount < limits.acceptedMax || !strangers.isEmpty else {
      counters.cutOff += 1
      throw ChannelError.inputClosed
    }
    let id = StreamID(nextAccepted)
    nextAccepted += 2
    let stream = StreamConnection(id, isAccepted: true, of: self)
    try channel.pipeline.syncOperations.addHandler(stream)
    streams[id] = stream
    acceptedCount += 1
    strangers.append(id)
    counters.accepted += 1
    if acceptedCount > limits.acceptedMax || strangers.count > limits.strangersMax {
      cutOff(streams[strangers[0]]!, .reset)
    }
  }

  fileprivate func became(_ stream: StreamConnection, active channel: any Channel) {
    guard streams[stream.id] != nil else { return }
    if stream.isAccepted {
      guard let address = channel.remoteAddress, let endpoint = Endpoint(address) else {
        cutOff(stream, .reset)
        return
      }
      tell(stream.id, .accepted(from: endpoint))
    } else {
      tell(stream.id, .connected)
    }
  }

  fileprivate func received(_ frame: ByteBuffer, on stream: StreamConnection) {
    guard streams[stream.id] != nil else { return }
    if let place = strangers.firstIndex(of: stream.id) { strangers.remove(at: place) }
    counters.bytesIn += UInt64(FrameDecoder.lengthBytes + frame.readableBytes)
    tell(stream.id, .frame(frame.readableBytesView))
  }

  /// By one of the limits.
  fileprivate func cutOff(_ stream: StreamConnection, _ end: StreamEnd) {
    counters.cutOff += 1
    ended(stream, end)
    stream.abort()
  }

  fileprivate func ended(_ stream: StreamConnection, _ end: StreamEnd) {
    guard forget(stream.id) != nil else { return }
    tell(stream.id, .closed(end))
  }

  private func forget(_ id: StreamID) -> StreamConnection? {
    guard let stream = streams.removeValue(forKey: id) else { return nil }
    if stream.isAccepted {
      acceptedCount -= 1
      if let place = strangers.firstIndex(of: id) { strangers.remove(at: place) }
    }
    return stream
  }
}

/// One stream's bytes. Knows its port as long as the port knows it.
private final class StreamConnection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  let id: StreamID
  let isAccepted: Bool
  private unowned let port: StreamPort
  private var channel: (any Channel)?
  private var decoder = FrameDecoder()
  /// Runs while a frame is owed or nothing is taken.
  private var frameTimer: Scheduled<Void>?
  private var writeTimer: Scheduled<Void>?
  private var end = StreamEnd.ended
  private var isLettingGo = false

  init(_ id: StreamID, isAccepted: Bool, of port: StreamPort) {
    self.id = id
    self.isAccepted = isAccepted
    self.port = port
  }

  func channelActive(context: ChannelHandlerContext) {
    channel = context.channel
    if isLettingGo {
      context.close(promise: nil)
      return
    }
    if isAccepted { startFrameTimer(context.eventLoop) }
    port.became(self, active: context.channel)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isLettingGo else { return }
    var bytes = unwrapInboundIn(data)
    decoder.append(&bytes)
    do throws(FrameDecoder.TooLong) {
      while !isLettingGo, let frame = try decoder.next() {
        frameTimer?.cancel()
        frameTimer = nil
        port.received(frame, on: self)
      }
    } catch {
      port.cutOff(self, .reset)
      return
    }
    if decoder.isWithinFrame, frameTimer == nil { startFrameTimer(context.eventLoop) }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      writeTimer?.cancel()
      writeTimer = nil
    } else {
      startWriteTimer(context.eventLoop)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end = StreamEnd(error)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish()
    port.ended(self, end)
  }

  func handlerRemoved(context: ChannelHandlerContext) { finish() }

  func write(_ bytes: ByteBuffer) {
    guard let channel else { return }
    channel.writeAndFlush(bytes, promise: nil)
    guard let unsent = try? channel.syncOptions?.getOption(.bufferedWritableBytes) else { return }
    if unsent > port.limits.unsentBytesMax { port.cutOff(self, .reset) }
  }

  /// The port has forgotten it.
  func closeWhenWritten() {
    guard !isLettingGo else { return }
    isLettingGo = true
    frameTimer?.cancel()
    guard let channel else { return }
    // Promises of writes are kept in order: this one's when all before it are out.
    if writeTimer == nil { startWriteTimer(channel.eventLoop) }
    channel.writeAndFlush(ByteBuffer()).assumeIsolated().whenComplete { _ in
      channel.close(promise: nil)
    }
  }

  func abort() {
    isLettingGo = true
    let channel = channel
    finish()
    channel?.close(promise: nil)
  }

  private func finish() {
    frameTimer?.cancel()
    writeTimer?.cancel()
    frameTimer = nil
    writeTimer = nil
    channel = nil
  }

  private func startFrameTimer(_ loop: any EventLoop) {
    frameTimer = loop.assumeIsolated().scheduleTask(
      in: .nanoseconds(port.limits.frameTime.nanoseconds)
    ) { self.port.cutOff(self, .timedOut) }
  }

  private func startWriteTimer(_ loop: any EventLoop) {
    guard writeTimer == nil else { return }
    let channel = channel
    writeTimer = loop.assumeIsolated().scheduleTask(
      in: .nanoseconds(port.limits.writeStallTime.nanoseconds)
    ) {
      if self.isLettingGo {
        channel?.close(promise: nil)
      } else {
        self.port.cutOff(self, .timedOut)
      }
    }
  }
}

extension StreamEnd {
  init(_ error: any Error) {
    if case .connectTimeout = error as? ChannelError {
      self = .timedOut
      return
    }
    let code =
      if let error = error as? NIOConnectionError {
        error.connectionErrors.lazy.compactMap { ($0.error as? IOError)?.errnoCode }.first
      } else {
        (error as? IOError)?.errnoCode
      }
    self =
      switch code {
      case ECONNREFUSED: .refused
      case ECONNRESET, EPIPE, nil: .reset
      case ETIMEDOUT: .timedOut
      default: .unreachable
      }
  }
}

/// What both kinds of bootstrap are told alike.
private protocol StreamBootstrap {
  func streamOption<Option: ChannelOption>(_ option: Option, value: Option.Value) -> Self
}

extension ServerBootstrap: StreamBootstrap {
  fileprivate func streamOption<Option: ChannelOption>(
    _ option: Option, value: Option.Value
  ) -> Self { childChannelOption(option, value: value) }
}

extension ClientBootstrap: StreamBootstrap {
  fileprivate func streamOption<Option: ChannelOption>(
    _ option: Option, value: Option.Value
  ) -> Self { channelOption(option, value: value) }
}

extension StreamBootstrap {
  fileprivate func streamOptions() -> Self {
    // A ping over TCP is timed.
    streamOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
      // Lifelines idle for days: their buffers stay small until somebody sends much.
      .streamOption(
        ChannelOptions.recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 512, maximum: 65_536)
      )
      .streamOption(ChannelOptions.maxMessagesPerRead, value: 4)
      .streamOption(
        ChannelOptions.writeBufferWaterMark, value: .init(low: 16 << 10, high: 64 << 10))
  }
}
