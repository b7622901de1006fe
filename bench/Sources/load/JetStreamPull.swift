// Pull consumers of JetStream, each in a closed loop on a connection of its own: ask for a batch, acknowledge each.
import CLinux
import Glibc

/// One member of a durable consumer's group.
private struct PullWorker {
  let connection: NATSConnection
  let pull: [UInt8]
  /// Messages that pull requests on their way may still bring, and acknowledgements that wait for their confirmation.
  var expected = 0
  var unconfirmed = 0
  var askedAt: UInt64 = 0
}

struct JetStreamPull {
  private let batch: Int
  /// Pull requests that each worker has on their way.
  private let ahead: Int
  /// How many stay unacknowledged.
  private let held: Int
  /// Whether a worker waits until the server has confirmed its acknowledgements before it asks again.
  private let isConfirmed: Bool
  private let records: Int
  private let poller = Poller()
  private var workers: [PullWorker] = []
  private var tally = Tally(.none)
  private var waiting = AckLines()
  private var latency = Histogram()
  private var acknowledged = 0
  private var time = now()

  static func run(_ options: Options) -> Report {
    var program = JetStreamPull(options)
    return program.run(options)
  }

  private init(_ options: Options) {
    let port = options.integer("port")
    let consumers = options.integer("consumers", 16)
    batch = options.integer("batch", 100)
    ahead = options.integer("ahead", 1)
    held = options.integer("held", 0)
    isConfirmed = options.text("confirmed", "false") == "true"
    records = options.integer("records")
    Self.makeConsumer(
      NATSConnection(port: port), pendingMax: held + 2 * consumers * batch * ahead)
    let request = "{\"batch\":\(batch),\"expires\":1000000000}"
    for index in 0..<consumers {
      let connection = NATSConnection(port: port)
      poller.add(connection.descriptor, index: index)
      connection.write("SUB _W\(index) 1\r\nSUB _A\(index) 2\r\n")
      let pull =
        "PUB $JS.API.CONSUMER.MSG.NEXT.s0.c _W\(index) \(request.utf8.count)\r\n\(request)\r\n"
      workers.append(PullWorker(connection: connection, pull: Array(pull.utf8)))
    }
  }

  private mutating func run(_ options: Options) -> Report {
    for index in workers.indices {
      for _ in 0..<ahead { ask(index) }
      flush(index)
    }
    while waiting.count < held, tally.messages < records { turn() }
    var window = Window(options)
    while time < window.endsAt, tally.messages < records {
      turn()
      if window.opens(at: time) {
        acknowledged = 0
        latency = Histogram()
      }
    }
    guard window.isOpen else { fail("\(tally.messages) records were too few") }
    var report = Report()
    let (seconds, server) = window.close(into: &report)
    report.add("answers", acknowledged)
    report.add("answers_per_second", Double(acknowledged) / seconds)
    report.add("records_per_second", Double(acknowledged) / seconds)
    report.add("answers_per_server_second", Double(acknowledged) / server)
    report.add("delivered", tally.messages)
    report.add("repeats", tally.repeats)
    report.add("held", waiting.count)
    report.add("server_resident_bytes", ProcessUsage.residentBytes(window.processes))
    report.add("latency", latency)
    return report
  }

  private mutating func turn() {
    _ = poller.wait(milliseconds: 100) { index, _ in
      time = now()
      receive(index)
    }
    time = now()
  }

  private mutating func ask(_ index: Int) {
    workers[index].connection.output.append(contentsOf: workers[index].pull)
    workers[index].expected += batch
    workers[index].askedAt = time
  }

  private mutating func receive(_ index: Int) {
    let connection = workers[index].connection
    connection.receive()
    while let message = connection.nextMessage() {
      if message.subject.count > 1, message.subject[1] == UInt8(ascii: "A") {
        workers[index].unconfirmed -= 1
        acknowledged += 1
      } else if message.reply.isEmpty {
        // Nothing came until the request expired; it says how many it still had room for.
        let status = String(decoding: message.headers, as: UTF8.self)
        guard status.hasPrefix("NATS/1.0 404") || status.hasPrefix("NATS/1.0 408") else {
          fail(status)
        }
        workers[index].expected -= Self.pendingMessages(status) ?? batch
      } else {
        tally.note(AckLines.message(message.reply))
        waiting.append(message.reply)
        workers[index].expected -= 1
        if workers[index].expected % batch == 0 { latency.record(time - workers[index].askedAt) }
      }
    }
    acknowledge(index)
    if workers[index].unconfirmed == 0 {
      while workers[index].expected <= batch * (ahead - 1) { ask(index) }
    }
    flush(index)
  }

  private mutating func acknowledge(_ index: Int) {
    let suffix = Array((isConfirmed ? " _A\(index) 4\r\n+ACK\r\n" : " 4\r\n+ACK\r\n").utf8)
    while waiting.count > held {
      waiting.take(into: &workers[index].connection.output)
      workers[index].connection.output.append(contentsOf: suffix)
      if isConfirmed { workers[index].unconfirmed += 1 } else { acknowledged += 1 }
    }
  }

  private func flush(_ index: Int) {
    let connection = workers[index].connection
    connection.flush()
    while connection.hasUnsent {
      waitReady(connection.descriptor, writing: true)
      connection.flush()
    }
  }

  private static func makeConsumer(_ connection: NATSConnection, pendingMax: Int) {
    let body =
      "{\"stream_name\":\"s0\",\"config\":{\"durable_name\":\"c\",\"name\":\"c\","
      + "\"ack_policy\":\"explicit\",\"deliver_policy\":\"all\",\"ack_wait\":3600000000000,"
      + "\"max_ack_pending\":\(pendingMax)}}"
    connection.write(
      "SUB _M 1\r\nPUB $JS.API.CONSUMER.CREATE.s0.c _M \(body.utf8.count)\r\n\(body)\r\n")
    connection.flush()
    while true {
      connection.fill(milliseconds: 10_000)
      guard let message = connection.nextMessage() else { continue }
      let answer = String(decoding: message.payload, as: UTF8.self)
      guard answer.contains("\"name\":\"c\"") else { fail("consumer: \(answer)") }
      return
    }
  }

  private static func pendingMessages(_ headers: String) -> Int? {
    for line in headers.split(separator: "\r\n") where line.hasPrefix("Nats-Pending-Messages: ") {
      return Int(line.dropFirst(23))
    }
    return nil
  }
}

/// The subjects that acknowledge messages, oldest first.
private struct AckLines {
  private var lines: [[UInt8]] = []
  private var first = 0

  var count: Int { lines.count - first }

  mutating func append(_ subject: UnsafeRawBufferPointer) {
    lines.append(Array("PUB ".utf8) + subject)
  }

  mutating func take(into output: inout [UInt8]) {
    output.append(contentsOf: lines[first])
    lines[first] = []
    first += 1
    if first == 4096 || first == lines.count {
      lines.removeFirst(first)
      first = 0
    }
  }

  /// `$JS.ACK.stream.consumer.deliveries.stream-sequence.…`
  static func message(_ subject: UnsafeRawBufferPointer) -> Message {
    var dots = 0
    var delivery = 0
    var sequence = 0
    for byte in subject {
      if byte == UInt8(ascii: ".") {
        dots += 1
        if dots == 6 { break }
      } else if dots == 4 {
        delivery = delivery * 10 + Int(byte &- 48)
      } else if dots == 5 {
        sequence = sequence * 10 + Int(byte &- 48)
      }
    }
    return Message(ackID: subject, delivery: delivery, shard: 0, offset: sequence, key: -1)
  }
}
