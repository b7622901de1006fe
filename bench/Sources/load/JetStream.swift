// Publishes to JetStream over one connection with a window of unacknowledged messages, and checks every ack.
import CLinux
import Glibc

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

  /// Publishes what the window has room for, at most `unpublished`.
  mutating func publish(at time: UInt64, unpublished: inout Int) {
    while unpublished > 0, let slot = free.popLast() {
      unpublished -= 1
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
    // 0: until the time is over.
    let messagesMax = options.integer("messages", 0)
    let record = Payload.record(bytes: options.integer("record-bytes", 1024))
    makeStreams(streams, on: NATSConnection(port: port))
    var publishers = (0..<connections).map { index in
      AckedPublisher(
        NATSConnection(port: port), window: messages,
        streams: Array(stride(from: index, to: streams, by: connections)), record: record)
    }

    var latency = Histogram()
    var acknowledged = 0
    var left = messagesMax == 0 ? Int.max : messagesMax
    var window = Window(options)
    var time = now()
    if messagesMax > 0 { _ = window.opens(at: .max) }
    while messagesMax > 0 ? acknowledged < messagesMax : time < window.endsAt {
      if window.opens(at: time) {
        latency = Histogram()
        acknowledged = 0
      }
      for index in publishers.indices { publishers[index].publish(at: time, unpublished: &left) }
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
