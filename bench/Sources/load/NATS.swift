// The NATS text protocol on one socket: lines out, messages in.
import CLinux
import Glibc

final class NATSConnection {
  let descriptor: CInt
  private let input: UnsafeMutableRawPointer
  private let inputBytes = 4 << 20
  private var start = 0
  private var end = 0
  var output: [UInt8] = []
  private var outputSent = 0

  init(port: Int) {
    descriptor = connectLoopback(port: port)
    input = .allocate(byteCount: inputBytes, alignment: 16)
    output.reserveCapacity(4 << 20)
    write(
      "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n")
  }

  func write(_ text: String) { output.append(contentsOf: text.utf8) }

  var hasUnsent: Bool { outputSent < output.count }

  /// Sends what the socket takes.
  func flush() {
    output.withUnsafeBytes { bytes in
      while outputSent < bytes.count {
        let count = send(
          descriptor, bytes.baseAddress! + outputSent, bytes.count - outputSent,
          CInt(MSG_NOSIGNAL))
        if count > 0 {
          outputSent += count
        } else if errno == EAGAIN {
          return
        } else {
          fail("send: errno \(errno)")
        }
      }
    }
    if outputSent == output.count {
      output.removeAll(keepingCapacity: true)
      outputSent = 0
    }
  }

  /// Waits for something to read, or room to write if anything is unsent, then reads.
  func fill(milliseconds: CInt) {
    guard waitReady(descriptor, writing: hasUnsent, milliseconds: milliseconds) else { return }
    receive()
  }

  /// What `poll` is to wait for.
  var interest: pollfd {
    pollfd(fd: descriptor, events: Int16(POLLIN | (hasUnsent ? POLLOUT : 0)), revents: 0)
  }

  /// Reads what is there.
  func receive() {
    if start > 0 {
      memmove(input, input + start, end - start)
      end -= start
      start = 0
    }
    let count = recv(descriptor, input + end, inputBytes - end, 0)
    if count > 0 {
      end += count
    } else if count == 0 {
      fail("the server closed the connection")
    } else if errno != EAGAIN {
      fail("recv: errno \(errno)")
    }
  }

  struct Message {
    let subject: UnsafeRawBufferPointer
    /// Empty without one.
    let reply: UnsafeRawBufferPointer
    /// "NATS/1.0 404 …" and headers; empty if the message has none.
    let headers: UnsafeRawBufferPointer
    let payload: UnsafeRawBufferPointer
  }

  /// The next message, valid until the next `receive`; answers pings on the way.
  func nextMessage() -> Message? {
    while start < end {
      let bytes = UnsafeRawBufferPointer(start: input + start, count: end - start)
      guard let line = memchr(bytes.baseAddress!, 10, bytes.count) else { return nil }
      let lineBytes = UnsafeRawPointer(line) - bytes.baseAddress! + 1
      switch bytes[0] {
      case UInt8(ascii: "M"), UInt8(ascii: "H"):
        guard let message = message(in: bytes, lineBytes: lineBytes) else { return nil }
        return message
      case UInt8(ascii: "P") where bytes[1] == UInt8(ascii: "I"):
        write("PONG\r\n")
      case UInt8(ascii: "-"):
        fail(String(decoding: bytes[..<lineBytes], as: UTF8.self))
      default:
        break
      }
      start += lineBytes
    }
    return nil
  }

  /// `MSG subject sid [reply] bytes` or `HMSG subject sid [reply] header-bytes bytes`, and what follows the line.
  private func message(in bytes: UnsafeRawBufferPointer, lineBytes: Int) -> Message? {
    let hasHeaders = bytes[0] == UInt8(ascii: "H")
    var end = lineBytes - 2
    func lastNumber() -> Int {
      var value = 0
      var scale = 1
      while bytes[end - 1] != 32 {
        end -= 1
        value += scale * Int(bytes[end] &- 48)
        scale *= 10
      }
      end -= 1
      return value
    }
    let whole = lastNumber()
    let headers = hasHeaders ? lastNumber() : 0
    var position = hasHeaders ? 5 : 4
    func nextWord() -> Range<Int> {
      let from = min(position, end)
      position = from
      while position < end, bytes[position] != 32 { position += 1 }
      defer { position += 1 }
      return from..<position
    }
    let subject = nextWord()
    _ = nextWord()
    let reply = nextWord()
    guard bytes.count >= lineBytes + whole + 2 else { return nil }
    start += lineBytes + whole + 2
    return Message(
      subject: UnsafeRawBufferPointer(rebasing: bytes[subject]),
      reply: UnsafeRawBufferPointer(rebasing: bytes[reply]),
      headers: UnsafeRawBufferPointer(rebasing: bytes[lineBytes..<(lineBytes + headers)]),
      payload: UnsafeRawBufferPointer(
        rebasing: bytes[(lineBytes + headers)..<(lineBytes + whole)]))
  }
}
