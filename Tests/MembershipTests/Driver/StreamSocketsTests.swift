// What a peer may ask of streams: frames in time, of a decent length, not too many, and taken when they are sent.
import Glibc
import NIOCore
import NIOPosix
import Testing

@testable import Membership

private enum Told: Equatable, Sendable {
  case accepted
  case connected
  case frame(String)
  case closed(StreamEnd)
}

/// A port on a loop of its own, and what it tells.
private final class LoopbackPort: Sendable {
  let told: AsyncStream<(id: StreamID, event: Told)>
  let address: SocketAddress
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let loop: any EventLoop
  private let port: NIOLoopBound<StreamPort>

  init(_ limits: StreamLimits = StreamLimits()) async throws {
    let loop = group.next()
    self.loop = loop
    let (told, tell) = AsyncStream.makeStream(of: (id: StreamID, event: Told).self)
    self.told = told
    (port, address) = try await loop.submit {
      var sockets = try BoundSockets(try SocketAddress(ipAddress: "127.0.0.1", port: 0))
      let taken = sockets.take()
      close(taken.datagrams)
      let port = StreamPort(taken.listener, address: sockets.address, limits: limits, on: loop) {
        id, event in
        switch event {
        case .accepted: tell.yield((id, .accepted))
        case .connected: tell.yield((id, .connected))
        case .frame(let bytes): tell.yield((id, .frame(String(decoding: bytes, as: UTF8.self))))
        case .closed(let end): tell.yield((id, .closed(end)))
        }
      }
      return (NIOLoopBound(port, eventLoop: loop), sockets.address)
    }.get()
  }

  var endpoint: Endpoint { Endpoint(address)! }

  func perform<Value: Sendable>(_ body: @escaping @Sendable (StreamPort) -> Value) async throws
    -> Value
  {
    let port = port
    return try await loop.submit { body(port.value) }.get()
  }

  func next() async -> (id: StreamID, event: Told)? {
    for await event in told { return event }
    return nil
  }

  /// As a hostile or broken peer would.
  func connect() async throws -> any Channel {
    try await ClientBootstrap(group: group).connect(to: address).get()
  }

  func end() async throws {
    _ = try await perform { $0.close() }
    try await group.shutdownGracefully()
  }
}

private let first = StreamID(1)

@Suite(.timeLimit(.minutes(1))) struct StreamSocketsTests {
  private var hasty: StreamLimits {
    var limits = StreamLimits()
    limits.frameTime = .milliseconds(500)
    return limits
  }

  @Test func `frames go both ways, and what was written before a close arrives`() async throws {
    let here = try await LoopbackPort()
    let there = try await LoopbackPort()
    let target = there.endpoint
    let own = StreamID(2)
    try await here.perform { $0.open(own, to: target) }
    #expect(try #require(await here.next()) == (own, .connected))
    #expect(try #require(await there.next()) == (first, .accepted))
    try await here.perform { $0.write(own, ByteBuffer(string: "question")) }
    #expect(try #require(await there.next()) == (first, .frame("question")))
    try await there.perform {
      for number in 0..<40 {
        $0.write(
          first, ByteBuffer(repeating: UInt8(ascii: "a") + UInt8(number % 26), count: 60_000))
      }
      $0.close(first)
    }
    for number in 0..<40 {
      let told = try #require(await here.next())
      #expect(
        told.event
          == .frame(
            String(repeating: Character(UnicodeScalar(97 + UInt8(number % 26))), count: 60_000)))
    }
    #expect(try #require(await here.next()) == (own, .closed(.ended)))
    #expect(try await here.perform { $0.openCount } == 0)
    // Of a stream that one closes oneself nothing more is told.
    #expect(try await there.perform { $0.openCount } == 0)
    try await here.end()
    try await there.end()
  }

  @Test func `where nobody listens a stream is refused`() async throws {
    let here = try await LoopbackPort()
    let gone = try await LoopbackPort()
    let target = gone.endpoint
    try await gone.end()
    try await here.perform { $0.open(StreamID(2), to: target) }
    #expect(try #require(await here.next()) == (StreamID(2), .closed(.refused)))
    try await here.end()
  }

  @Test func `a peer that is silent is cut off`() async throws {
    let here = try await LoopbackPort(hasty)
    let peer = try await here.connect()
    #expect(try #require(await here.next()) == (first, .accepted))
    #expect(try #require(await here.next()) == (first, .closed(.timedOut)))
    try await peer.closeFuture.get()
    #expect(try await here.perform { $0.counters.cutOff } == 1)
    try await here.end()
  }

  @Test func `a peer that begins a frame and does not finish it is cut off, even after good ones`()
    async throws
  {
    // Time enough for a busy machine to write at all, and in one go, for what comes after the end is an error here.
    var limits = StreamLimits()
    limits.frameTime = .seconds(2)
    let here = try await LoopbackPort(limits)
    let peer = try await here.connect()
    var bytes = FrameDecoder.encode(ByteBuffer(string: "good"))
    bytes.writeBytes([0, 0])
    try await peer.writeAndFlush(bytes).get()
    #expect(try #require(await here.next()) == (first, .accepted))
    #expect(try #require(await here.next()) == (first, .frame("good")))
    #expect(try #require(await here.next()) == (first, .closed(.timedOut)))
    try await peer.closeFuture.get()
    try await here.end()
  }

  @Test func `a huge frame is refused by its length alone`() async throws {
    let here = try await LoopbackPort()
    let peer = try await here.connect()
    try await peer.writeAndFlush(ByteBuffer(bytes: [0xff, 0xff, 0xff, 0xff])).get()
    #expect(try #require(await here.next()) == (first, .accepted))
    #expect(try #require(await here.next()) == (first, .closed(.reset)))
    try await peer.closeFuture.get()
    try await here.end()
  }

  @Test func `of too many strangers the oldest goes, and who has said something stays`()
    async throws
  {
    var limits = StreamLimits()
    limits.strangersMax = 3
    let here = try await LoopbackPort(limits)
    let known = try await here.connect()
    try await known.writeAndFlush(FrameDecoder.encode(ByteBuffer(string: "hello"))).get()
    #expect(try #require(await here.next()) == (first, .accepted))
    #expect(try #require(await here.next()) == (first, .frame("hello")))
    var strangers: [any Channel] = []
    for number in 1...5 {
      strangers.append(try await here.connect())
      // The fourth and the fifth each cost the oldest.
      if number > 3 {
        let gone = StreamID(UInt64(2 * (number - 3) + 1))
        #expect(try #require(await here.next()) == (gone, .closed(.reset)))
      }
      #expect(try #require(await here.next()).event == .accepted)
    }
    for stranger in strangers.prefix(2) { try await stranger.closeFuture.get() }
    #expect(try await here.perform { $0.openCount } == 4)
    try await here.end()
  }

  @Test func `a peer that takes nothing is cut off, and holds only so much`() async throws {
    var limits = StreamLimits()
    limits.unsentBytesMax = 1 << 20
    let here = try await LoopbackPort(limits)
    let peer = try await ClientBootstrap(group: NIOSingletons.posixEventLoopGroup)
      .channelOption(.autoRead, value: false).connect(to: here.address).get()
    #expect(try #require(await here.next()) == (first, .accepted))
    let written = try await here.perform { port in
      var written = 0
      while port.openCount > 0, written < 10_000 {
        port.write(first, ByteBuffer(repeating: 0, count: 60_000))
        written += 1
      }
      return written
    }
    #expect(written < 10_000)
    #expect(try #require(await here.next()) == (first, .closed(.reset)))
    try await peer.close().get()
    try await here.end()
  }
}

@Suite(.timeLimit(.minutes(1))) struct DatagramSocketsTests {
  @Test func `both sockets have one port, and a port in use is told with its protocol`() throws {
    let sockets = try BoundSockets(try SocketAddress(ipAddress: "127.0.0.1", port: 0))
    let address = sockets.address
    #expect((address.port ?? 0) > 0)
    let failure = #expect(throws: SocketFailure.self) { _ = try BoundSockets(address) }
    #expect(failure?.code == EADDRINUSE)
    #expect(failure?.kind == .datagrams)
  }

  @Test func `an address that is not this machine's is told`() throws {
    // TEST-NET-1, RFC 5737
    let address = try SocketAddress(ipAddress: "192.0.2.1", port: 0)
    let failure = #expect(throws: SocketFailure.self) { _ = try BoundSockets(address) }
    #expect(failure?.code == EADDRNOTAVAIL)
  }

  @Test func `a connected socket hears that nothing listens`() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let here = try SocketAddress(ipAddress: "127.0.0.1", port: 0)
    // Bound and let go: nobody has this port now.
    let nobody = Endpoint(try BoundSockets(here).address)!
    let (refusals, tell) = AsyncStream.makeStream(of: Endpoint.self)
    let ports = try await loop.submit {
      let ports = AskingPorts(
        from: here, on: loop, received: { _, _ in }, refused: { tell.yield($0) })
      #expect(ports.port(to: nobody)?.send(ByteBuffer(string: "anybody?")) == .sent)
      return NIOLoopBound(ports, eventLoop: loop)
    }.get()
    for await refusal in refusals {
      #expect(refusal == nobody)
      break
    }
    try await loop.submit { ports.value.close() }.get()
    try await group.shutdownGracefully()
  }

  @Test func `a socket that NIO gives up is read all the same`() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let (datagrams, tell) = AsyncStream.makeStream(of: String.self)
    let port = try await loop.submit {
      var sockets = try BoundSockets(try SocketAddress(ipAddress: "127.0.0.1", port: 0))
      let taken = sockets.take()
      close(taken.listener)
      let port = DatagramPort(
        taken.datagrams, isIPv6: false, on: loop,
        received: { bytes, _ in tell.yield(String(buffer: bytes)) }, refused: {})
      port.channel?.close(promise: nil)
      // To itself: the kernel keeps it until somebody reads.
      let own = try #require(Endpoint(sockets.address))
      #expect(port.send(ByteBuffer(string: "anybody?"), to: own) == .sent)
      return NIOLoopBound(port, eventLoop: loop)
    }.get()
    for await datagram in datagrams {
      #expect(datagram == "anybody?")
      break
    }
    try await loop.submit { port.value.close() }.get()
    try await group.shutdownGracefully()
  }

  @Test func `an address of IPv4 is reached by a socket of IPv6, and not the other way round`() {
    let mapped = Endpoint("127.0.0.1:7000")!.address(onIPv6: true)
    #expect(mapped?.protocol == .inet6)
    #expect(mapped.flatMap { Endpoint($0) } == Endpoint("127.0.0.1:7000"))
    #expect(Endpoint("[2001:db8::7]:7000")!.address(onIPv6: false) == nil)
  }
}
