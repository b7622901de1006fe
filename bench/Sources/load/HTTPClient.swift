// One keep-alive connection to an HTTP/1.1 server: a request goes out, its answer's body comes back whole; and the same
// for an answer that never ends.
import Glibc

/// Takes chunked framing out of bytes, in place; what a chunk's head is cut in two by is remembered.
struct ChunkFraming {
  private enum Place { case size, data, dataEnd, trailer }
  private var place = Place.size
  private var size = 0
  private var digits = 0
  /// The last chunk and its trailer have passed.
  private(set) var isOver = false

  /// Moves the payload of `base[from..<end]` to `base + write` and on; returns where it ends.
  mutating func unwrap(
    _ base: UnsafeMutableRawPointer, from: Int, to end: Int, into write: Int
  ) -> Int {
    var read = from
    var write = write
    while read < end, !isOver {
      switch place {
      case .data:
        let count = min(size, end - read)
        if read != write { memmove(base + write, base + read, count) }
        read += count
        write += count
        size -= count
        if size == 0 { place = .dataEnd }
      case .dataEnd:
        if base.load(fromByteOffset: read, as: UInt8.self) == 10 { place = .size }
        read += 1
      case .size:
        let byte = base.load(fromByteOffset: read, as: UInt8.self)
        read += 1
        if byte == 10 {
          place = size == 0 ? .trailer : .data
          digits = 0
        } else if byte != 13 {
          size = size * 16 + Int(byte <= 57 ? byte - 48 : (byte | 32) - 87)
        }
      case .trailer:
        // Counts a line's bytes; an empty line is the end.
        let byte = base.load(fromByteOffset: read, as: UInt8.self)
        read += 1
        if byte == 10 {
          isOver = digits == 0
          digits = 0
        } else if byte != 13 {
          digits += 1
        }
      }
    }
    return write
  }
}

final class HTTPClient {
  private static let inputBytes = 8 << 20

  let descriptor: CInt
  /// Virtual until touched: most connections never use more than a few pages of it.
  private let input = UnsafeMutableRawPointer.allocate(byteCount: inputBytes, alignment: 64)
  private var received = 0
  private var head: HTTP1.Head?
  private var framing = ChunkFraming()

  init(port: Int) { descriptor = connectLoopback(port: port) }

  func send(_ request: [UInt8]) { request.withUnsafeBytes { writeAll(descriptor, $0) } }

  /// Reads what is there; the answer, once it is whole, is valid until the next call.
  func receive() -> (status: Int, body: UnsafeRawBufferPointer)? {
    guard let head = read() else { return nil }
    if let length = head.contentLength {
      guard received >= head.bytes + length else { return nil }
      guard received == head.bytes + length else { fail("more bytes than one answer") }
    } else if !framing.isOver {
      return nil
    }
    let body = UnsafeRawBufferPointer(start: input + head.bytes, count: received - head.bytes)
    received = 0
    self.head = nil
    return (head.status, body)
  }

  /// Reads what is there of an answer without end; `piece` says how many bytes of what has come it has used up.
  func receive(_ piece: (UnsafeRawBufferPointer) -> Int) {
    guard let head = read() else { return }
    let body = UnsafeRawBufferPointer(start: input + head.bytes, count: received - head.bytes)
    guard head.status == 200 else { fail(String(decoding: body, as: UTF8.self)) }
    guard !framing.isOver else {
      fail("the answer ended: \(String(decoding: body, as: UTF8.self))")
    }
    let used = piece(body)
    memmove(input + head.bytes, body.baseAddress! + used, body.count - used)
    received -= used
  }

  /// The answer's head as soon as it is there; chunk framing is removed.
  private func read() -> HTTP1.Head? {
    guard received < Self.inputBytes else { fail("an answer above \(received) bytes") }
    let count = recv(descriptor, input + received, Self.inputBytes - received, 0)
    guard count > 0 else {
      guard count < 0, errno == EAGAIN else { fail("the server closed a connection") }
      return nil
    }
    let start = received
    received += count
    if let head {
      if head.contentLength == nil {
        received = framing.unwrap(input, from: start, to: received, into: start)
      }
      return head
    }
    head = HTTP1.head(in: UnsafeRawBufferPointer(start: input, count: received))
    guard let head else { return nil }
    framing = ChunkFraming()
    if head.contentLength == nil {
      received = framing.unwrap(input, from: head.bytes, to: received, into: head.bytes)
    }
    return head
  }
}
