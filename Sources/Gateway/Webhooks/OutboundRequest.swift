// What is sent to somebody else's server, and what comes back: an answer, or why there is none.
import NIOCore

/// A POST to `target`. What it holds is not copied on its way to the socket.
public struct OutboundRequest: Sendable {
  public var target: OutboundTarget
  public var headers: OutboundHeaders
  public var body: ByteBuffer
  /// For all of it, from the first look-up of the name to the last byte of the answer. Waiting for other requests to
  /// the same origin does not count.
  public var timeout: Duration

  public init(
    to target: OutboundTarget, headers: OutboundHeaders, body: ByteBuffer, timeout: Duration
  ) {
    self.target = target
    self.headers = headers
    self.body = body
    self.timeout = timeout
  }
}

/// An answer's head was read, whatever its status: 3xx, 4xx and 5xx are answers too.
public struct OutboundAnswer: Sendable {
  public var status: Int
  /// As sent; read of 429 and 503 only.
  public var retryAfter: String?
  /// The first `OutboundSettings.answerBytesMax` bytes.
  public var body: ByteBuffer
  /// There was more, which was not waited for.
  public var isCut: Bool
  public var latency: Duration
  /// Of the peer, as `IPAddress` writes it.
  public var remoteAddress: String
  public var protocolVersion: OutboundProtocol
}

public enum OutboundProtocol: String, Sendable { case http1 = "HTTP/1.1", http2 = "HTTP/2" }

/// Why there is no answer. Nothing in it is secret: it holds no path, query, header or body.
public struct OutboundFailure: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Reason: Sendable, Equatable {
    /// The host's name stands for nothing.
    case resolve
    /// What the name stands for may not be dialled; `range` is the kind of address it is.
    case refusedAddress(IPAddress, range: String)
    /// Nobody listens, or no way leads there.
    case connect
    /// No agreement on TLS, or a certificate that is not trusted.
    case tls
    case timeout
    /// The peer closed before its answer was complete.
    case closed
    /// What came is not HTTP, or breaks its limits.
    case badAnswer
    /// Too many requests wait already; this one was not tried.
    case busy
    /// `OutboundTicket.cancel()`.
    case cancelled
    /// The client has ended.
    case stopped
    /// libcurl's own trouble, such as no memory.
    case internalTrouble
  }

  public var reason: Reason
  /// A sentence's worth for people.
  public var text: String
  /// Whether a connection was made, so that the peer may have seen the request.
  public var remoteAddress: String?
  public var latency: Duration

  public var description: String { text }

  /// Whether it says anything about the endpoint; if not, the attempt is as good as not made.
  public var isAboutEndpoint: Bool {
    switch reason {
    case .busy, .cancelled, .stopped, .internalTrouble: false
    default: true
    }
  }
}

/// Header lines of one request, laid down as libcurl takes them.
public struct OutboundHeaders: Sendable {
  /// Lines, each with a zero byte behind it.
  private(set) var lines = ByteBuffer()
  private(set) var count = 0
  private(set) var hasContentType = false

  public init() {}

  /// Adds `name: value`. What would end the line early (CR, LF, NUL) becomes a space, so that no value can make
  /// another header.
  public mutating func add(_ name: String, _ value: String) {
    if name.utf8.count == 12, name.lowercased() == "content-type" { hasContentType = true }
    let start = lines.writerIndex
    lines.writeString(name)
    if value.isEmpty {
      lines.writeInteger(UInt8(ascii: ";"))  // how libcurl is told of an empty value
    } else {
      lines.writeStaticString(": ")
      lines.writeString(value)
    }
    let end = lines.writerIndex
    lines.withUnsafeMutableReadableBytes { bytes in
      for index in start..<end where bytes[index] == 13 || bytes[index] == 10 || bytes[index] == 0 {
        bytes[index] = 32
      }
    }
    lines.writeInteger(UInt8(0))
    count += 1
  }
}

public struct OutboundSettings: Sendable {
  public var userAgent: String
  public var policy = EgressPolicy()
  /// At a time in all; more wait.
  public var requestsMax = 1024
  /// At a time to one scheme, host and port; more wait.
  public var requestsPerOriginMax = 128
  /// Beyond these `.busy`.
  public var waitingMax = 65_536
  /// For the look-up of the name, TCP and TLS together.
  public var connectTimeout = Duration.seconds(10)
  public var answerBytesMax = 64 << 10
  /// A longer head is no answer.
  public var answerHeadBytesMax = 64 << 10
  /// A connection older than this takes no more requests: what its host's name stands for may have changed.
  public var connectionAgeMax = Duration.seconds(600)

  /// "host:port:address[,address…]": what a name stands for, for tests, which cannot rely on a resolver.
  var pinnedNames: [String] = []

  public init(userAgent: String) { self.userAgent = userAgent }
}
