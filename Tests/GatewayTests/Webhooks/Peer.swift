// A server for one test that does exactly what it is told with the bytes it gets: hang, close, lie, or never stop.
import NIOCore
import NIOPosix
import Synchronization

/// Listens on a free port of 127.0.0.1.
final class Peer: Sendable {
  /// What is done once a request is there whole. `number` counts the requests of this connection from 1.
  typealias Answer = @Sendable (_ channel: any Channel, _ request: String, _ number: Int) -> Void

  let port: Int
  private let group: MultiThreadedEventLoopGroup
  private let log: Log

  private final class Log: Sendable {
    let connections = Mutex(0)
    let requests = Mutex<[String]>([])
  }

  var connections: Int { log.connections.withLock { $0 } }
  var requests: [String] { log.requests.withLock { $0 } }

  private init(_ group: MultiThreadedEventLoopGroup, _ log: Log, port: Int) {
    self.group = group
    self.log = log
    self.port = port
  }

  static func start(_ answer: @escaping Answer) async throws -> Peer {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let log = Log()
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .childChannelInitializer { channel in
        log.connections.withLock { $0 += 1 }
        return channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Handler(log, answer))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    return Peer(group, log, port: channel.localAddress!.port!)
  }

  func stop() async throws { try await group.shutdownGracefully() }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let log: Log
    private let answer: Answer
    private var received = ByteBuffer()
    private var number = 0

    init(_ log: Log, _ answer: @escaping Answer) {
      self.log = log
      self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      received.writeImmutableBuffer(unwrapInboundIn(data))
      while let request = takeRequest() {
        number += 1
        log.requests.withLock { $0.append(request) }
        answer(context.channel, request, number)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      context.close(promise: nil)
    }

    /// A head, and as many bytes more as its Content-Length says.
    private func takeRequest() -> String? {
      let text = String(buffer: received)
      guard let head = text.firstRange(of: "\r\n\r\n") else { return nil }
      let lines = text[..<head.lowerBound].split(separator: "\r\n")
      let length = lines.lazy.compactMap { line -> Int? in
        line.lowercased().hasPrefix("content-length:")
          ? Int(line.dropFirst(15).drop { $0 == " " }) : nil
      }.first
      let bytes = text[..<head.upperBound].utf8.count + (length ?? 0)
      return received.readString(length: bytes)
    }
  }
}

extension Channel {
  func send(_ text: String) { writeAndFlush(ByteBuffer(string: text), promise: nil) }
}

extension String {
  static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
}
