// A real server on a free port for one test, and a client of plain blocking sockets that sends exactly what it is told.
import Glibc
import Logging
import NIOCore
import NIOPosix

@testable import Gateway

/// Runs `body` against a server, and takes it down afterwards.
func withServer<Result>(
  limits: TransportLimits = TransportLimits(),
  configure: (inout HTTPServer.Configuration) -> Void = { _ in },
  loops: Int = 1,
  handlers: @escaping HTTPServer.HandlerFactory = testHandlers,
  _ body: @Sendable @escaping (HTTPServer) async throws -> Result
) async throws -> Result {
  let group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
  var configuration = HTTPServer.Configuration(
    host: "127.0.0.1", port: 0, logger: Logger(label: "test"))
  configuration.limits = limits
  configure(&configuration)
  let server = try await HTTPServer.start(configuration, on: group, handlers: handlers)
  let result: Swift.Result<Result, any Error>
  do {
    result = .success(try await body(server))
  } catch {
    result = .failure(error)
  }
  try await server.drain(within: .milliseconds(100))
  try await group.shutdownGracefully()
  return try result.get()
}

/// A handler for tests: what it does is in the path.
let testHandlers: HTTPServer.HandlerFactory = { eventLoop in
  { exchange in
    let request = exchange.request
    switch request.path {
    case "/echo":
      exchange.respond(200, Headers([("content-type", "text/plain")]), exchange.body)
    case "/head":
      // What the transport read, for tests of heads.
      let text =
        "\(request.method) \(request.query ?? "-") \(request.authority) \(exchange.requestID)"
      exchange.respond(200, Headers(), ByteBuffer(string: text))
    case "/empty": exchange.respond(204, Headers(), nil)
    case "/unchanged": exchange.respond(304, Headers([("etag", "\"1\"")]), nil)
    case "/large":
      exchange.respond(200, Headers(), ByteBuffer(repeating: 120, count: Int(request.query!)!))
    case "/forged": exchange.respond(200, Headers([("x", "a\r\nset-cookie: b")]), nil)
    case "/later":
      nonisolated(unsafe) let exchange = exchange
      eventLoop.scheduleTask(in: .milliseconds(Int64(request.query!)!)) {
        exchange.respond(200, Headers(), ByteBuffer(string: "later"))
      }
    case "/stream":
      let count = Int(request.query!)!
      exchange.start(200, Headers([("content-type", "application/x-ndjson")]))
      for index in 0..<count { exchange.write(BodyChunk { $0.writeString("{\"n\":\(index)}\n") }) }
      exchange.finish()
    case "/breaks":
      // More than a connection takes at once, broken off while the rest waits for its turn.
      exchange.start(200, Headers())
      for _ in 0..<32 { exchange.write(BodyChunk { $0.writeRepeatingByte(98, count: 64 << 10) }) }
      nonisolated(unsafe) let exchange = exchange
      eventLoop.scheduleTask(in: .milliseconds(50)) { exchange.abort() }
    case "/flood": Flood(exchange, bytes: Int(request.query!)!).pump()
    case "/events": exchange.start(200, Headers([("content-type", "text/event-stream")]))
    case "/silence": break
    default: exchange.respond(404, Headers(), ByteBuffer(string: "nothing here"))
    }
  }
}

/// Streams many bytes, never letting more than the limit wait.
private final class Flood {
  private let exchange: any Exchange
  private var left: Int
  private static let chunk = BodyChunk { $0.writeRepeatingByte(102, count: 16 << 10) }

  init(_ exchange: any Exchange, bytes: Int) {
    self.exchange = exchange
    left = bytes
    exchange.start(200, Headers())
    exchange.onDrain = { self.pump() }
    exchange.onClose = { self.left = 0 }
  }

  func pump() {
    while left > 0 {
      if exchange.unsentBytes > 256 << 10 { return }
      exchange.write(Self.chunk)
      left -= 16 << 10
    }
    exchange.onDrain = nil
    exchange.finish()
  }
}

struct ClientError: Error { var what: String }

/// A blocking socket. Reads give up after five seconds, so that a server that says nothing fails a test, not the run.
final class Client {
  private let descriptor: CInt
  private var received: [UInt8] = []

  init(port: Int, receiveBufferBytes: Int? = nil) throws {
    descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    if var bytes = receiveBufferBytes.map(CInt.init) {
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<CInt>.size))
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw ClientError(what: "connect: errno \(errno)") }
  }

  deinit { close(descriptor) }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, CInt(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw ClientError(what: "send: errno \(errno)") }
      sent += count
    }
  }

  func endSending() { shutdown(descriptor, CInt(SHUT_WR)) }

  /// Closes with a reset instead of an orderly end.
  func reset() {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
    shutdown(descriptor, CInt(SHUT_RDWR))
  }

  /// More bytes; nil at the end of the connection.
  func receive() throws -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    if count == 0 { return nil }
    guard count > 0 else {
      throw ClientError(what: errno == ECONNRESET ? "reset" : "recv: errno \(errno)")
    }
    return Array(buffer.prefix(count))
  }

  /// All that comes until the server ends the connection.
  func receiveToEnd() throws -> String {
    var all = received
    received = []
    while let bytes = try receive() { all += bytes }
    return String(decoding: all, as: UTF8.self)
  }

  /// What has come up to and with `mark`.
  func receive(through mark: String) throws -> String {
    let mark = Array(mark.utf8)
    while true {
      if let end = received.firstRange(of: mark)?.upperBound {
        let text = String(decoding: received[..<end], as: UTF8.self)
        received.removeFirst(end)
        return text
      }
      guard let bytes = try receive() else {
        throw ClientError(what: "ended after: \(String(decoding: received, as: UTF8.self))")
      }
      received += bytes
    }
  }

  func receive(count: Int) throws -> [UInt8] {
    while received.count < count {
      guard let bytes = try receive() else { throw ClientError(what: "ended early") }
      received += bytes
    }
    defer { received.removeFirst(count) }
    return Array(received.prefix(count))
  }

  /// One answer with a length or chunks.
  func answer(toHEAD: Bool = false) throws -> ClientAnswer {
    let head = try receive(through: "\r\n\r\n")
    var lines = head.split(separator: "\r\n", omittingEmptySubsequences: true).map(String.init)
    let parts = lines.removeFirst().split(separator: " ")
    guard parts.count >= 2, let status = Int(parts[1]) else { throw ClientError(what: head) }
    var headers: [String: String] = [:]
    for line in lines {
      let colon = line.firstIndex(of: ":")!
      headers[line[..<colon].lowercased()] = String(line[colon...].dropFirst(2))
    }
    var answer = ClientAnswer(status: status, headers: headers, body: "")
    if status == 100 || status == 204 || status == 304 || toHEAD { return answer }
    if let length = headers["content-length"] {
      answer.body = String(decoding: try receive(count: Int(length)!), as: UTF8.self)
    } else if headers["transfer-encoding"] == "chunked" {
      while true {
        let size = Int(try receive(through: "\r\n").dropLast(1), radix: 16)!
        let piece = try receive(count: size + 2)
        if size == 0 { break }
        answer.body += String(decoding: piece.dropLast(2), as: UTF8.self)
      }
    }
    return answer
  }

  func get(_ target: String, _ lines: String = "") throws -> ClientAnswer {
    try send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\(lines)\r\n")
    return try answer()
  }
}

struct ClientAnswer {
  var status: Int
  var headers: [String: String]
  var body: String
}
