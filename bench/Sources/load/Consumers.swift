// Consumers that share a subscription, each in a closed loop: pull and acknowledge, or take events and acknowledge.
import Glibc

/// What all consumers of a run count together.
struct ConsumerCounts {
  var tally: Tally
  var acks: AckQueue
  var acknowledged = 0
  var refused = 0
  var emptyPulls = 0
  var pull = Histogram()
  var ack = Histogram()
  /// Unacknowledged deliveries that are kept back, so that so many stay in flight.
  let held: Int
  private let records: Int

  init(_ options: Options, portion: Int) {
    let ordering = options.text("ordering", "none")
    guard let ordering = Tally.Ordering(rawValue: ordering) else { fail("--ordering \(ordering)") }
    tally = Tally(ordering)
    acks = AckQueue(portionMax: portion)
    held = options.integer("held", 0)
    records = options.integer("records")
  }

  /// Nothing is left to be delivered.
  var isDrained: Bool { tally.messages >= records }
  var hasToAck: Bool { acks.hasPortion && acks.count > held }

  mutating func noteAnswer(_ answer: (status: Int, body: UnsafeRawBufferPointer), asked: Int) {
    guard answer.status == 200 else { fail(String(decoding: answer.body, as: UTF8.self)) }
    let accepted = AckQueue.accepted(answer.body)
    acknowledged += accepted
    refused += asked - accepted
  }

  mutating func forget() {
    acknowledged = 0
    emptyPulls = 0
    pull = Histogram()
    ack = Histogram()
  }

  func add(to report: inout Report, seconds: Double, server: Double) {
    report.add("answers", acknowledged)
    report.add("answers_per_second", Double(acknowledged) / seconds)
    report.add("records_per_second", Double(acknowledged) / seconds)
    report.add("answers_per_server_second", Double(acknowledged) / server)
    report.add("delivered", tally.messages)
    report.add("refused", refused)
    report.add("repeats", tally.repeats)
    report.add("out_of_order", tally.outOfOrder)
    report.add("empty_pulls", emptyPulls)
    report.add("held", acks.count)
  }
}

/// Consumers over HTTP/1.1: each sends a pull, acknowledges what came in one request, and pulls again.
enum PullHTTP1 {
  private struct Consumer {
    let client: HTTPClient
    let pull: [UInt8]
    /// How many the request on its way acknowledges; 0: it pulls.
    var acking = 0
    var sentAt: UInt64 = 0
  }

  static func run(_ options: Options) -> Report {
    let path = "/v1/subscriptions/" + options.text("subscription")
    let batch = options.integer("batch", 100)
    let valueBytes = options.integer("record-bytes", 1024)
    let isKeyed = options.integer("keys", 0) > 0
    var counts = ConsumerCounts(options, portion: batch)
    let poller = Poller()
    var consumers = (0..<options.integer("consumers", 16)).map { index in
      let body = "{\"max_messages\":\(batch),\"wait\":\"1s\",\"consumer\":\"w\(index)\"}"
      let request = HTTP1.request(
        "POST", path: path + ":pull", contentType: "application/json", body: Array(body.utf8))
      let client = HTTPClient(port: options.integer("port"))
      poller.add(client.descriptor, index: index)
      return Consumer(client: client, pull: request.bytes)
    }
    var time = now()

    func send(_ index: Int) {
      consumers[index].sentAt = time
      if counts.hasToAck {
        let (request, count) = counts.acks.takePortion(path: path + ":ack")
        consumers[index].acking = count
        consumers[index].client.send(request)
      } else {
        consumers[index].acking = 0
        consumers[index].client.send(consumers[index].pull)
      }
    }
    func receive(_ index: Int) {
      let consumer = consumers[index]
      guard let answer = consumer.client.receive() else { return }
      time = now()
      if consumer.acking > 0 {
        counts.ack.record(time - consumer.sentAt)
        counts.noteAnswer(answer, asked: consumer.acking)
      } else {
        guard answer.status == 200 else { fail(String(decoding: answer.body, as: UTF8.self)) }
        let before = counts.tally.messages
        Message.scan(answer.body, valueBytes: valueBytes, isKeyed: isKeyed) { message in
          counts.tally.note(message)
          counts.acks.append(message.ackID)
        }
        counts.acks.closePortion()
        if counts.tally.messages == before { counts.emptyPulls += 1 }
        counts.pull.record(time - consumer.sentAt)
      }
      send(index)
    }

    for index in consumers.indices { send(index) }
    while counts.acks.count < counts.held, !counts.isDrained {
      _ = poller.wait(milliseconds: 100) { index, _ in receive(index) }
    }
    var window = Window(options)
    while time < window.endsAt, !counts.isDrained {
      _ = poller.wait(milliseconds: 100) { index, _ in receive(index) }
      time = now()
      if window.opens(at: time) { counts.forget() }
    }
    guard window.isOpen else { fail("\(counts.tally.messages) records were too few") }
    var report = Report()
    let (seconds, server) = window.close(into: &report)
    counts.add(to: &report, seconds: seconds, server: server)
    report.add("server_resident_bytes", ProcessUsage.residentBytes(window.processes))
    report.add("latency", counts.pull)
    report.add("ack", counts.ack)
    return report
  }
}

/// Consumers over server-sent events: each has a stream of messages, and a connection on which it acknowledges them.
enum ConsumeSSE {
  private struct Consumer {
    let events: HTTPClient
    let acks: HTTPClient
    var acking = 0
    var sentAt: UInt64 = 0
    var waiting: AckQueue
  }

  static func run(_ options: Options) -> Report {
    let path = "/v1/subscriptions/" + options.text("subscription")
    let portion = options.integer("batch", 100)
    let valueBytes = options.integer("record-bytes", 1024)
    let isKeyed = options.integer("keys", 0) > 0
    let port = options.integer("port")
    var counts = ConsumerCounts(options, portion: portion)
    let poller = Poller()
    let share = options.integer("share", 1000)
    let open = Array(
      ("GET \(path)/messages?max_in_flight=\(share) HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        + "Accept: text/event-stream\r\n\r\n").utf8)
    var consumers = (0..<options.integer("consumers", 16)).map { index in
      let consumer = Consumer(
        events: HTTPClient(port: port), acks: HTTPClient(port: port),
        waiting: AckQueue(portionMax: portion))
      poller.add(consumer.events.descriptor, index: 2 * index)
      poller.add(consumer.acks.descriptor, index: 2 * index + 1)
      consumer.events.send(open)
      return consumer
    }
    var time = now()

    func acknowledge(_ index: Int) {
      guard consumers[index].acking == 0, consumers[index].waiting.hasPortion else { return }
      let (request, count) = consumers[index].waiting.takePortion(path: path + ":ack")
      consumers[index].acking = count
      consumers[index].sentAt = time
      consumers[index].acks.send(request)
    }
    func takeEvents(_ index: Int) {
      consumers[index].events.receive { bytes in
        let whole = wholeEvents(bytes)
        let events = UnsafeRawBufferPointer(rebasing: bytes[..<whole])
        Message.scan(events, valueBytes: valueBytes, isKeyed: isKeyed) { message in
          counts.tally.note(message)
          consumers[index].waiting.append(message.ackID)
        }
        return whole
      }
      if counts.isDrained { consumers[index].waiting.closePortion() }
      acknowledge(index)
    }
    func takeAnswer(_ index: Int) {
      guard let answer = consumers[index].acks.receive() else { return }
      counts.ack.record(time - consumers[index].sentAt)
      counts.noteAnswer(answer, asked: consumers[index].acking)
      consumers[index].acking = 0
      acknowledge(index)
    }

    var window = Window(options)
    while time < window.endsAt, !counts.isDrained {
      _ = poller.wait(milliseconds: 100) { index, _ in
        time = now()
        if index & 1 == 0 { takeEvents(index / 2) } else { takeAnswer(index / 2) }
      }
      time = now()
      if window.opens(at: time) { counts.forget() }
    }
    guard window.isOpen else { fail("\(counts.tally.messages) records were too few") }
    var report = Report()
    let (seconds, server) = window.close(into: &report)
    counts.add(to: &report, seconds: seconds, server: server)
    report.add("latency", counts.ack)
    return report
  }

  /// The bytes up to the end of the last event that has come whole.
  private static func wholeEvents(_ bytes: UnsafeRawBufferPointer) -> Int {
    var end = bytes.count
    while end >= 2 {
      if bytes[end - 1] == 10, bytes[end - 2] == 10 { return end }
      end -= 1
    }
    return 0
  }
}
