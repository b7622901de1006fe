// Reads a stream's history over one connection as fast as it comes: pages by cursor, or one answer without end.
import Glibc

/// An answer's body, handed out piece by piece from one connection with chunk framing removed.
final class BodyReader {
  private let descriptor: CInt
  private let buffer: UnsafeMutableRawPointer
  private let bufferBytes = 1 << 20
  private var start = 0
  private var end = 0
  private(set) var cursor = ""

  init(port: Int) {
    descriptor = connectLoopback(port: port)
    buffer = .allocate(byteCount: bufferBytes, alignment: 64)
  }

  private var available: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: buffer + start, count: end - start)
  }

  private func fill() {
    if start == end {
      start = 0
      end = 0
    } else if start > 0, end == bufferBytes {
      memmove(buffer, buffer + start, end - start)
      end -= start
      start = 0
    }
    while true {
      let count = recv(descriptor, buffer + end, bufferBytes - end, 0)
      if count > 0 {
        end += count
        return
      }
      guard count < 0, errno == EAGAIN else { fail("the server closed during an answer") }
      guard waitReady(descriptor, milliseconds: 20_000) else { fail("no byte for 20 s") }
    }
  }

  /// Sends a GET and calls `piece` with the body's bytes until it ends or `piece` returns false.
  func get(_ path: String, accept: String, piece: (UnsafeRawBufferPointer) -> Bool) {
    let request =
      "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: \(accept)\r\n\r\n"
    Array(request.utf8).withUnsafeBytes { writeAll(descriptor, $0) }
    fill()
    while HTTP1.head(in: available) == nil { fill() }
    let head = HTTP1.head(in: available)!
    let text = String(decoding: available[..<head.bytes], as: UTF8.self)
    guard head.status == 200 else { fail(String(decoding: available, as: UTF8.self)) }
    cursor = ""
    for line in text.split(separator: "\r\n") {
      if line.lowercased().hasPrefix("millrace-cursor: ") { cursor = String(line.dropFirst(17)) }
    }
    start += head.bytes
    if let length = head.contentLength {
      _ = take(length, piece)
    } else {
      while let size = chunkSize(), take(size, piece) { skip(2) }
    }
  }

  /// Hands out `count` bytes; false if `piece` wants no more.
  private func take(_ count: Int, _ piece: (UnsafeRawBufferPointer) -> Bool) -> Bool {
    var rest = count
    while rest > 0 {
      if start == end { fill() }
      let size = min(rest, end - start)
      let wantsMore = piece(UnsafeRawBufferPointer(start: buffer + start, count: size))
      start += size
      rest -= size
      if !wantsMore { return false }
    }
    return true
  }

  private func skip(_ count: Int) {
    while end - start < count { fill() }
    start += count
  }

  /// Nil at the last chunk, whose trailer is consumed.
  private func chunkSize() -> Int? {
    while true {
      let bytes = available
      if let base = bytes.baseAddress, let line = memchr(base, 10, bytes.count) {
        let length = UnsafeRawPointer(line) - base
        var size = 0
        for byte in bytes[..<length] where byte != 13 {
          size = size * 16 + Int(byte <= 57 ? byte - 48 : (byte | 32) - 87)
        }
        start += length + 1
        guard size == 0 else { return size }
        skip(2)
        return nil
      }
      fill()
    }
  }
}

enum CatchUp {
  static func run(_ options: Options) -> Report {
    let accept = options.text("accept")
    let path = options.text("path")
    let records = options.integer("records")
    // Values of a length-framed answer hold no line ends to count.
    let valueBytes = options.integer("value-bytes", 0)
    let reader = BodyReader(port: options.integer("port"))
    let processes = options.processes()
    let serverBefore = ProcessUsage.cpuSeconds(processes)
    let ownBefore = ProcessUsage.ownSeconds()
    let startedAt = now()

    var bytes = 0
    var lines = 0
    var requests = 0
    var separator = ""
    var isDone = false
    while !isDone {
      let before = bytes
      requests += 1
      reader.get(path + separator + reader.cursor, accept: accept) { piece in
        bytes += piece.count
        lines += lineEnds(piece)
        isDone = (valueBytes > 0 ? bytes / valueBytes : lines) >= records
        return !isDone
      }
      guard isDone || bytes > before else { fail("the answer ended at record \(lines)") }
      guard isDone || !reader.cursor.isEmpty else { fail("no cursor to go on from") }
      separator = path.contains("?") ? "&cursor=" : "?cursor="
    }

    let seconds = Double(now() - startedAt) / 1e9
    let server = ProcessUsage.cpuSeconds(processes) - serverBefore
    var report = Report()
    report.add("seconds", seconds)
    report.add("server_cpu_seconds", server)
    report.add("load_cpu_seconds", ProcessUsage.ownSeconds() - ownBefore)
    report.add("bytes", bytes)
    report.add("records", valueBytes > 0 ? bytes / valueBytes : lines)
    report.add("requests", requests)
    report.add("megabytes_per_second", Double(bytes) / seconds / 1e6)
    report.add("megabytes_per_server_second", Double(bytes) / server / 1e6)
    return report
  }

  private static func lineEnds(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard var position = bytes.baseAddress else { return 0 }
    let end = position + bytes.count
    var total = 0
    while let found = memchr(position, 10, end - position) {
      total += 1
      position = UnsafeRawPointer(found) + 1
    }
    return total
  }
}
