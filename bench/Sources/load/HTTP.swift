// HTTP/1.1 as a load program needs it: a request's bytes, and where an answer's head and body end.
import CLinux
import Glibc

enum HTTP1: AnswerFraming {
  /// `path` may hold "{stream}": five digits that choose one of the streams.
  static func request(
    _ method: String, path: String, contentType: String, body: [UInt8], extra: String = ""
  ) -> RequestTemplate {
    let marked = path.replacing("{stream}", with: "00000")
    let head =
      "\(method) \(marked) HTTP/1.1\r\nHost: 127.0.0.1\r\n\(extra)"
      + "Content-Type: \(contentType)\r\nContent-Length: \(body.count)\r\n\r\n"
    let digitsAt = path.firstRange(of: "{stream}").map {
      method.utf8.count + 1 + path.utf8.distance(from: path.startIndex, to: $0.lowerBound)
    }
    return RequestTemplate(bytes: Array(head.utf8) + body, digitsAt: digitsAt)
  }

  struct Head {
    let status: Int
    /// The head's own length, with the empty line.
    let bytes: Int
    /// Nil: chunked, or until the connection closes.
    let contentLength: Int?
  }

  /// Nil while the head is incomplete.
  static func head(in bytes: UnsafeRawBufferPointer) -> Head? {
    guard let start = bytes.baseAddress, bytes.count > 12,
      let end = memmem(start, bytes.count, "\r\n\r\n", 4)
    else { return nil }
    let headBytes = UnsafeRawPointer(end) - start + 4
    let status =
      Int(bytes[9] &- 48) * 100 + Int(bytes[10] &- 48) * 10 + Int(bytes[11] &- 48)
    // Servers differ in the case of the name's first letters, not of its last.
    var contentLength: Int?
    if let field = memmem(start, headBytes, "ength: ", 7) {
      var position = UnsafeRawPointer(field) - start + 7
      var value = 0
      while bytes[position] >= 48, bytes[position] <= 57 {
        value = value * 10 + Int(bytes[position] - 48)
        position += 1
      }
      contentLength = value
    }
    return Head(status: status, bytes: headBytes, contentLength: contentLength)
  }

  static func answer(in bytes: UnsafeRawBufferPointer) -> Answer {
    guard let head = head(in: bytes) else { return .incomplete }
    guard let length = head.contentLength else { fail("an answer without Content-Length") }
    guard bytes.count >= head.bytes + length else { return .incomplete }
    return .complete(bytes: head.bytes + length, isSuccess: head.status / 100 == 2)
  }
}

/// Appends over HTTP/1.1, one record of JSON or a batch of NDJSON a request; with `keys` each record's "id" is one of
/// so many.
enum AppendHTTP1 {
  static func run(_ options: Options) -> Report {
    let batch = options.integer("batch", 1)
    let record = Payload.record(bytes: options.integer("record-bytes", 1024))
    let body = batch == 1 ? record : (0..<batch).flatMap { _ in record + [10] }
    var template = HTTP1.request(
      "POST", path: options.text("path"),
      contentType: batch == 1 ? "application/json" : "application/x-ndjson", body: body)
    let firstKeyAt = template.bytes.count - body.count + Payload.keyDigitsAt
    template.keysAt = (0..<batch).map { firstKeyAt + $0 * (record.count + 1) }
    var loop = ClosedLoop<HTTP1>(options, template: template)
    return loop.run(options, recordsPerRequest: batch)
  }
}
