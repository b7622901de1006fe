// Answers as HTTP/1.1 bytes: a head written in one pass into room reserved once.
import NIOCore

/// Bytes written one after another into memory that is known to suffice.
struct RawWriter {
  private let start: UnsafeMutableRawPointer
  private(set) var count = 0
  private let capacity: Int

  init(_ room: UnsafeMutableRawBufferPointer) {
    start = room.baseAddress!
    capacity = room.count
  }

  @inline(__always)
  mutating func write(_ bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count <= capacity - count, "a head outgrew the room reserved for it")
    if let base = bytes.baseAddress {
      (start + count).copyMemory(from: base, byteCount: bytes.count)
    }
    count += bytes.count
  }

  @inline(__always)
  mutating func write(_ text: StaticString) {
    write(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  @inline(__always)
  mutating func write(_ text: String) {
    var text = text
    text.withUTF8 { write(UnsafeRawBufferPointer($0)) }
  }

  @inline(__always)
  mutating func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0) } }

  /// A header's value; a control character in it, which could forge another header, becomes a space.
  mutating func writeValue(_ text: String) {
    let from = count
    write(text)
    let written = UnsafeMutableRawBufferPointer(start: start + from, count: count - from)
    if !FieldText.isValue(UnsafeRawBufferPointer(written)).isValid {
      for index in 0..<written.count where written[index] < 32 || written[index] == 127 {
        written[index] = 32
      }
    }
  }

  mutating func write(decimal number: Int) {
    precondition(number >= 0, "\(number) is no length")
    var digits = 1
    var bound = number / 10
    while bound > 0 {
      digits += 1
      bound /= 10
    }
    precondition(digits <= capacity - count, "a head outgrew the room reserved for it")
    var rest = number
    for index in (0..<digits).reversed() {
      (start + count + index).storeBytes(of: UInt8(48 + rest % 10), as: UInt8.self)
      rest /= 10
    }
    count += digits
  }
}

/// How an answer's body is framed.
enum HTTP1AnswerFraming {
  /// `content-length: n`.
  case length(Int)
  case chunked
  /// No word about it: 204, 304, the handler's own content-length, or HTTP/1.0 until the end of the connection.
  case none
}

enum HTTP1Connection {
  case unsaid
  case close
  /// Said to HTTP/1.0 clients that asked for it.
  case keepAlive
}

enum HTTP1Encoder {
  static let continueLine: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"

  /// Writes a status line and headers. `date` is a whole line; `requestID` is text, or bits to be spelt.
  static func writeHead(
    into buffer: inout ByteBuffer, status: Int, headers: Headers, framing: HTTP1AnswerFraming,
    connection: HTTP1Connection, date: [UInt8], requestID: String?, requestIDBits: UInt64,
    bodyBytes: Int = 0
  ) {
    // Everything that is not the handler's fits 256 bytes but for the request's own name (128 at most).
    var room = 384 + date.count
    for field in headers.fields { room += field.name.utf8.count + field.value.utf8.count + 4 }
    buffer.reserveCapacity(minimumWritableBytes: room + bodyBytes)
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { memory in
      var writer = RawWriter(memory)
      if let line = statusLine(status) {
        writer.write(line)
      } else {
        precondition((100...599).contains(status), "\(status) is no HTTP status")
        writer.write("HTTP/1.1 ")
        writer.write(decimal: status)
        writer.write(" \r\n")
      }
      for field in headers.fields {
        writer.write(field.name)
        writer.write(": ")
        writer.writeValue(field.value)
        writer.write("\r\n")
      }
      switch framing {
      case .length(let length):
        writer.write("content-length: ")
        writer.write(decimal: length)
        writer.write("\r\n")
      case .chunked: writer.write("transfer-encoding: chunked\r\n")
      case .none: break
      }
      switch connection {
      case .close: writer.write("connection: close\r\n")
      case .keepAlive: writer.write("connection: keep-alive\r\n")
      case .unsaid: break
      }
      writer.write(date)
      writer.write("request-id: ")
      if let requestID {
        writer.write(requestID)
      } else {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: RequestID.generatedBytes) { text in
          RequestID.write(requestIDBits, to: text.baseAddress!)
          writer.write(UnsafeRawBufferPointer(text))
        }
      }
      writer.write("\r\n\r\n")
      return writer.count
    }
  }

  private static func statusLine(_ status: Int) -> StaticString? {
    switch status {
    case 200: "HTTP/1.1 200 OK\r\n"
    case 201: "HTTP/1.1 201 Created\r\n"
    case 202: "HTTP/1.1 202 Accepted\r\n"
    case 204: "HTTP/1.1 204 No Content\r\n"
    case 206: "HTTP/1.1 206 Partial Content\r\n"
    case 304: "HTTP/1.1 304 Not Modified\r\n"
    case 307: "HTTP/1.1 307 Temporary Redirect\r\n"
    case 400: "HTTP/1.1 400 Bad Request\r\n"
    case 401: "HTTP/1.1 401 Unauthorized\r\n"
    case 403: "HTTP/1.1 403 Forbidden\r\n"
    case 404: "HTTP/1.1 404 Not Found\r\n"
    case 405: "HTTP/1.1 405 Method Not Allowed\r\n"
    case 406: "HTTP/1.1 406 Not Acceptable\r\n"
    case 408: "HTTP/1.1 408 Request Timeout\r\n"
    case 409: "HTTP/1.1 409 Conflict\r\n"
    case 410: "HTTP/1.1 410 Gone\r\n"
    case 412: "HTTP/1.1 412 Precondition Failed\r\n"
    case 413: "HTTP/1.1 413 Content Too Large\r\n"
    case 414: "HTTP/1.1 414 URI Too Long\r\n"
    case 415: "HTTP/1.1 415 Unsupported Media Type\r\n"
    case 416: "HTTP/1.1 416 Range Not Satisfiable\r\n"
    case 417: "HTTP/1.1 417 Expectation Failed\r\n"
    case 422: "HTTP/1.1 422 Unprocessable Content\r\n"
    case 428: "HTTP/1.1 428 Precondition Required\r\n"
    case 429: "HTTP/1.1 429 Too Many Requests\r\n"
    case 431: "HTTP/1.1 431 Request Header Fields Too Large\r\n"
    case 500: "HTTP/1.1 500 Internal Server Error\r\n"
    case 501: "HTTP/1.1 501 Not Implemented\r\n"
    case 502: "HTTP/1.1 502 Bad Gateway\r\n"
    case 503: "HTTP/1.1 503 Service Unavailable\r\n"
    case 504: "HTTP/1.1 504 Gateway Timeout\r\n"
    case 505: "HTTP/1.1 505 HTTP Version Not Supported\r\n"
    case 507: "HTTP/1.1 507 Insufficient Storage\r\n"
    default: nil
    }
  }
}
