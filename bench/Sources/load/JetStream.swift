// Publishes to JetStream over one connection with a window of unacknowledged messages, and checks every ack.
import CLinux
import Glibc

/// The NATS text protocol on one socket: lines out, MSG payloads in.
final class NATSConnection {
  private let descriptor: CInt
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

  /// The next message's subject and payload, valid until the next `fill`; answers pings on the way.
  func nextMessage() -> (subject: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer)? {
    while start < end {
      let bytes = UnsafeRawBufferPointer(start: input + start, count: end - start)
      guard let line = memchr(bytes.baseAddress!, 10, bytes.count) else { return nil }
      let lineBytes = UnsafeRawPointer(line) - bytes.baseAddress! + 1
      switch bytes[0] {
      case UInt8(ascii: "M"):
        let fields = bytes[4..<(lineBytes - 2)].split(separator: 32)
        var length = 0
        for byte in fields.last! { length = length * 10 + Int(byte &- 48) }
        guard bytes.count >= lineBytes + length + 2 else { return nil }
        start += lineBytes + length + 2
        return (
          UnsafeRawBufferPointer(rebasing: fields[0]),
          UnsafeRawBufferPointer(rebasing: bytes[lineBytes..<(lineBytes + length)])
        )
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
}

/// One connection's share of the window: a slot, named by the reply subject, for each message on its way.
private struct AckedPublisher {
  let connection: NATSConnection
  private let payload: [UInt8]
  private let subjects: [[UInt8]]
  private let replies: [[UInt8]]
  private var startedAt: [UInt64]
  private var free: [Int]
  private var nextSubject = 0

  init(_ connection: NATSConnection, window: Int, streams: [Int], record: [UInt8]) {
    self.connection = connection
    payload = Array(" \(record.count)\r\n".utf8) + record + [13, 10]
    subjects = streams.map { Array("PUB s\($0)".utf8) }
    // A connection's inbox is its first stream's: no two connections share one.
    replies = (0..<window).map { Array(" _I\(streams[0]).\($0)".utf8) }
    startedAt = [UInt64](repeating: 0, count: window)
    free = Array(0..<window)
    connection.write("SUB _I\(streams[0]).* 1\r\n")
  }

  mutating func publish(at time: UInt64) {
    while let slot = free.popLast() {
      connection.output.append(contentsOf: subjects[nextSubject])
      connection.output.append(contentsOf: replies[slot])
      connection.output.append(contentsOf: payload)
      startedAt[slot] = time
      nextSubject = nextSubject + 1 == subjects.count ? 0 : nextSubject + 1
    }
    connection.flush()
  }

  /// Takes the acks that have arrived; ends the program at one that is none.
  mutating func receive(_ acknowledged: (_ startedAt: UInt64) -> Void) {
    connection.receive()
    while let message = connection.nextMessage() {
      var slot = 0
      let dot = message.subject.firstIndex(of: UInt8(ascii: "."))!
      for byte in message.subject[(dot + 1)...] { slot = slot * 10 + Int(byte &- 48) }
      let ack = message.payload
      guard let start = ack.baseAddress, memmem(start, ack.count, "\"seq\":", 6) != nil,
        memmem(start, ack.count, "\"error\"", 7) == nil
      else { fail("no ack: \(String(decoding: ack, as: UTF8.self))") }
      acknowledged(startedAt[slot])
      free.append(slot)
    }
  }
}

enum JetStreamAppend {
  static func run(_ options: Options) -> Report {
    let streams = options.integer("streams", 1)
    let connections = min(options.integer("connections", 1), streams)
    let messages = options.integer("window", 64) / connections
    let port = options.integer("port")
    let record = Payload.record(bytes: options.integer("record-bytes", 1024))
    makeStreams(streams, on: NATSConnection(port: port))
    var publishers = (0..<connections).map { index in
      AckedPublisher(
        NATSConnection(port: port), window: messages,
        streams: Array(stride(from: index, to: streams, by: connections)), record: record)
    }

    var latency = Histogram()
    var acknowledged = 0
    var window = Window(options)
    var time = now()
    while time < window.endsAt {
      if window.opens(at: time) {
        latency = Histogram()
        acknowledged = 0
      }
      for index in publishers.indices { publishers[index].publish(at: time) }
      var interests = publishers.map(\.connection.interest)
      poll(&interests, nfds_t(interests.count), 1000)
      time = now()
      for index in publishers.indices where interests[index].revents != 0 {
        publishers[index].receive { startedAt in
          latency.record(time - startedAt)
          acknowledged += 1
        }
      }
    }
    var report = Report()
    let (seconds, server) = window.close(into: &report)
    report.add("answers", acknowledged)
    report.add("answers_per_second", Double(acknowledged) / seconds)
    report.add("records_per_second", Double(acknowledged) / seconds)
    report.add("answers_per_server_second", Double(acknowledged) / server)
    report.add("latency", latency)
    return report
  }

  private static func makeStreams(_ count: Int, on connection: NATSConnection) {
    connection.write("SUB _M 1\r\n")
    for stream in 0..<count {
      let configuration =
        "{\"name\":\"s\(stream)\",\"subjects\":[\"s\(stream)\"],\"storage\":\"file\","
        + "\"num_replicas\":1,\"retention\":\"limits\",\"discard\":\"old\"}"
      connection.write(
        "PUB $JS.API.STREAM.CREATE.s\(stream) _M \(configuration.utf8.count)\r\n"
          + "\(configuration)\r\n")
    }
    var made = 0
    while made < count {
      connection.flush()
      connection.fill(milliseconds: 10_000)
      while let message = connection.nextMessage() {
        let answer = String(decoding: message.payload, as: UTF8.self)
        guard answer.contains("\"did_create\":true") else { fail("stream: \(answer)") }
        made += 1
      }
    }
  }
}
