// One request and its answer, whichever protocol carried it: the seam between the transport and the handlers.
//
// An exchange lives on its connection's event loop and is touched nowhere else. The transport hands it over once the
// request's body is complete; the handler answers now or later, at once or in pieces.
import NIOCore

/// Request or response headers: names in lower case, in order, as they came.
public struct Headers: Sendable {
  public var fields: [(name: String, value: String)]
  public init(_ fields: [(name: String, value: String)] = []) { self.fields = fields }

  /// The first value of `name`, which must be in lower case.
  public subscript(name: String) -> String? { fields.first { $0.name == name }?.value }
  public func all(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }
}

public struct RequestHead: Sendable {
  /// As it came: "GET".
  public var method: String
  /// The raw path, percent-encoding and all, without the query.
  public var path: String
  /// The raw query, without "?"; nil if there is none.
  public var query: String?
  public var headers: Headers
  /// `Host` or `:authority`.
  public var authority: String
  public var isTLS: Bool
  public var isHTTP2: Bool

  public init(
    method: String, path: String, query: String? = nil, headers: Headers = Headers(),
    authority: String = "", isTLS: Bool = false, isHTTP2: Bool = false
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.authority = authority
    self.isTLS = isTLS
    self.isHTTP2 = isHTTP2
  }
}

/// A piece of a streamed body, encoded once and written to any number of exchanges.
///
/// `chunked` is the same bytes with HTTP/1.1's chunk framing around them, in one buffer, so that a fan-out to thousands
/// of HTTP/1.1 readers writes the same memory to each.
public struct BodyChunk: Sendable {
  public let chunked: ByteBuffer
  /// The bytes alone: a slice of `chunked`.
  public let bytes: ByteBuffer

  /// Eight hexadecimal digits, leading zeros included, keep the head's length known before the body's is.
  private static let headBytes = 10

  /// Frames what `write` writes. `bytesHint` reserves room.
  public init(
    bytesHint: Int = 256, allocator: ByteBufferAllocator = .init(),
    _ write: (inout ByteBuffer) -> Void
  ) {
    var buffer = Self.room(bytesHint, allocator)
    write(&buffer)
    precondition(buffer.writerIndex > Self.headBytes, "an empty chunk would end the body")
    self.init(framing: buffer)
  }

  /// Frames what `write` writes; nil if that is nothing.
  public static func unlessEmpty(
    bytesHint: Int = 256, allocator: ByteBufferAllocator = .init(),
    _ write: (inout ByteBuffer) -> Void
  ) -> BodyChunk? {
    var buffer = room(bytesHint, allocator)
    write(&buffer)
    return buffer.writerIndex > headBytes ? BodyChunk(framing: buffer) : nil
  }

  private static func room(_ bytesHint: Int, _ allocator: ByteBufferAllocator) -> ByteBuffer {
    var buffer = allocator.buffer(capacity: bytesHint + headBytes + 2)
    buffer.writeRepeatingByte(UInt8(ascii: "0"), count: headBytes)
    return buffer
  }

  private init(framing buffer: consuming ByteBuffer) {
    let headBytes = Self.headBytes
    let count = buffer.writerIndex - headBytes
    for digit in 0..<8 {
      let nibble = UInt8(truncatingIfNeeded: count >> (4 * (7 - digit))) & 15
      buffer.setInteger(nibble < 10 ? nibble + 48 : nibble + 87, at: digit)
    }
    buffer.setBytes([13, 10], at: 8)
    buffer.writeBytes([13, 10])
    chunked = buffer
    bytes = buffer.getSlice(at: headBytes, length: count)!
  }
}

public protocol Exchange: AnyObject {
  var request: RequestHead { get }
  /// The whole body as it came, still compressed if the client compressed it.
  var body: ByteBuffer { get }
  var eventLoop: any EventLoop { get }
  /// Echoed or made by the transport; on every answer as `Request-Id`.
  var requestID: String { get }

  /// Answers whole. The transport adds `content-length`, `date`, `request-id` and, for HEAD, leaves out the body.
  /// - Returns: false if the client was told something else, or nothing: it is gone, or answers that nobody takes
  ///   hold too much memory.
  @discardableResult
  func respond(_ status: Int, _ headers: Headers, _ body: ByteBuffer?) -> Bool

  /// Begins a streamed answer; on HTTP/1.1 it is chunked (or, for HTTP/1.0, ends with the connection).
  func start(_ status: Int, _ headers: Headers)
  /// Sends a piece. Always taken; mind `unsentBytes`.
  func write(_ chunk: BodyChunk)
  /// Ends a streamed answer.
  func finish()
  /// Breaks a streamed answer off so that the client sees it is not whole: HTTP/1.1 closes without the last chunk,
  /// HTTP/2 resets the stream.
  func abort()

  /// Bytes written but not yet taken by the peer's side.
  var unsentBytes: Int { get }
  /// Called when `unsentBytes` falls below a quarter of the connection's limit after having been above it.
  var onDrain: (() -> Void)? { get set }
  /// Called once if the client goes away before the answer is finished. Nothing may be written afterwards.
  var onClose: (() -> Void)? { get set }
  /// Called once if the client will send no more while its answer is not begun. Most are gone for good and it shows
  /// only when something is written; but some have just said all they had to say, and still read.
  var onInputEnd: (() -> Void)? { get set }
}
