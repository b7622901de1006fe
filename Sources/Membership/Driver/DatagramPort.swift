// One UDP socket: NIO reads it, datagrams go out by system calls.
import Glibc
import NIOCore
import NIOPosix

/// Lives on its event loop.
///
/// NIO closes a datagram socket when a send fails for any reason but two, and one dropped by a firewall (EPERM) or
/// without a route (ENETUNREACH) must cost that datagram only; so sends go past it, by a descriptor of their own.
final class DatagramPort {
  enum Outcome: Equatable {
    case sent
    /// As good as lost on the way.
    case failed(CInt)
    /// Nothing listens at the other end: an earlier datagram came back (RFC 1122 §4.1.3.3).
    case refused
  }

  /// Reads in one go before timers have their turn: what a stall has piled up is heard before anybody is accused.
  /// A kernel's buffer of 208 KiB holds fewer of our packets.
  static let messagesPerRead: UInt = 1024

  private static let reopenPause = TimeAmount.milliseconds(100)

  private let descriptor: CInt
  private let isIPv6: Bool
  private let loop: any EventLoop
  private let received: (ByteBuffer, SocketAddress) -> Void
  private let refused: () -> Void
  private(set) var channel: (any Channel)?
  private var isClosed = false

  /// Takes over `socket`, which is bound.
  /// - Parameter received: each datagram with where it came from, on the loop.
  /// - Parameter refused: the system said that nothing listens where this socket is connected to.
  init(
    _ socket: CInt, isIPv6: Bool, on loop: any EventLoop,
    received: @escaping (ByteBuffer, SocketAddress) -> Void, refused: @escaping () -> Void
  ) {
    // The channel closes its own; what is sent needs one that stays.
    descriptor = fcntl(socket, F_DUPFD_CLOEXEC, 0)
    self.isIPv6 = isIPv6
    self.loop = loop
    self.received = received
    self.refused = refused
    read(socket)
  }

  private func read(_ socket: CInt) {
    let reader = NIOLoopBound(
      DatagramReader(received: received, refused: refused) { [weak self] in self?.reopen() },
      eventLoop: loop)
    let bootstrap = DatagramBootstrap(group: loop)
      .channelOption(.maxMessagesPerRead, value: Self.messagesPerRead)
      .channelOption(
        .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.readBytes)
      )
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(reader.value)
        }
      }
    // A connected socket is bound, too, and NIO need not know more. It closes what it cannot use.
    bootstrap.withBoundSocket(socket).assumeIsolated().whenSuccess { channel in
      if self.isClosed { channel.close(promise: nil) } else { self.channel = channel }
    }
  }

  /// NIO closes on errors that a socket outlives (an interface that goes down): the descriptor here is the same socket,
  /// and is read anew.
  private func reopen() {
    channel = nil
    guard !isClosed else { return }
    loop.assumeIsolated().scheduleTask(in: Self.reopenPause) { [weak self] in
      guard let self, !isClosed else { return }
      let socket = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
      if socket >= 0 { read(socket) } else { reopen() }
    }
  }

  /// One more than the largest datagram, so that what is longer does not look whole.
  private static let readBytes = 1201

  deinit { precondition(isClosed, "a socket was let go without being closed") }

  func send(_ bytes: ByteBuffer, to endpoint: Endpoint) -> Outcome {
    guard let address = endpoint.address(onIPv6: isIPv6) else { return .failed(EAFNOSUPPORT) }
    return address.withSockAddr { address, length in
      outcome(bytes) {
        sendto(descriptor, $0.baseAddress, $0.count, Self.flags, address, socklen_t(length))
      }
    }
  }

  /// To where the socket is connected.
  func send(_ bytes: ByteBuffer) -> Outcome {
    outcome(bytes) { Glibc.send(descriptor, $0.baseAddress, $0.count, Self.flags) }
  }

  private static let flags = CInt(MSG_DONTWAIT | MSG_NOSIGNAL)

  private func outcome(_ bytes: ByteBuffer, _ call: (UnsafeRawBufferPointer) -> Int) -> Outcome {
    guard !isClosed else { return .failed(EBADF) }
    return bytes.withUnsafeReadableBytes { bytes in
      while true {
        if call(bytes) >= 0 { return .sent }
        if errno == ECONNREFUSED { return .refused }
        if errno != EINTR { return .failed(errno) }
      }
    }
  }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    Glibc.close(descriptor)
    channel?.close(promise: nil)
    channel = nil
  }
}

private final class DatagramReader: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  private let received: (ByteBuffer, SocketAddress) -> Void
  private let refused: () -> Void
  private let ended: () -> Void

  init(
    received: @escaping (ByteBuffer, SocketAddress) -> Void, refused: @escaping () -> Void,
    ended: @escaping () -> Void
  ) {
    self.received = received
    self.refused = refused
    self.ended = ended
  }

  func channelInactive(context: ChannelHandlerContext) { ended() }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let envelope = unwrapInboundIn(data)
    received(envelope.data, envelope.remoteAddress)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if (error as? IOError)?.errnoCode == ECONNREFUSED { refused() }
  }
}

extension Endpoint {
  /// As a socket of that family writes it; nil if it cannot reach it. A socket of IPv6 that is bound to any address
  /// reaches IPv4, too, by mapped addresses (RFC 3493 §3.7).
  func address(onIPv6: Bool) -> SocketAddress? {
    guard let ipv4 else { return onIPv6 ? socketAddress : nil }
    guard onIPv6 else { return socketAddress }
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    address.sin6_port = port.bigEndian
    withUnsafeMutableBytes(of: &address.sin6_addr) { bytes in
      bytes.storeBytes(of: UInt32(0x0000_ffff).bigEndian, toByteOffset: 8, as: UInt32.self)
      bytes.storeBytes(of: ipv4.bigEndian, toByteOffset: 12, as: UInt32.self)
    }
    return SocketAddress(address)
  }
}
