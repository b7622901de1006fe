// Appends at a set rate and receives the webhooks that deliver them: from the time an append was due to the receipt of
// its record.
//
// Appender and receiver share this process and its clock, so the time inside a record needs no synchronisation.
import CLinux
import Glibc

/// Answers every request 204 once its body is there, and looks for the mark in it.
private struct Receiver {
  private struct Client {
    let descriptor: CInt
    let input = UnsafeMutableRawPointer.allocate(byteCount: Receiver.inputBytes, alignment: 16)
    var received = 0
  }
  private static let inputBytes = 64 * 1024
  private static let answer = Array("HTTP/1.1 204 No Content\r\n\r\n".utf8)

  let listener: CInt
  private var clients: [Int: Client] = [:]
  private(set) var connectionsMax = 0
  private(set) var deliveries = 0
  private(set) var repeats = 0
  private var seen: [Bool] = []
  var latency = Histogram()

  init(port: Int) { listener = listenLoopback(port: port) }

  /// Takes a connection that waits; nil if there is none any more.
  mutating func accept() -> CInt? {
    let descriptor = Glibc.accept(listener, nil, nil)
    guard descriptor >= 0 else { return nil }
    makeQuick(descriptor)
    clients[Int(descriptor)] = Client(descriptor: descriptor)
    connectionsMax = max(connectionsMax, clients.count)
    return descriptor
  }

  mutating func receive(_ descriptor: Int) {
    guard var client = clients[descriptor] else { return }
    let count = recv(
      client.descriptor, client.input + client.received, Self.inputBytes - client.received, 0)
    guard count > 0 else {
      if count < 0, errno == EAGAIN { return }
      close(client.descriptor)
      client.input.deallocate()
      clients[descriptor] = nil
      return
    }
    let time = now()
    client.received += count
    let bytes = UnsafeRawBufferPointer(start: client.input, count: client.received)
    // A request's head ends as an answer's does, and names its length in the same way.
    if let head = HTTP1.head(in: bytes) {
      guard let length = head.contentLength else { fail("a webhook without Content-Length") }
      if bytes.count == head.bytes + length {
        note(UnsafeRawBufferPointer(rebasing: bytes[head.bytes...]), at: time)
        client.received = 0
        Self.answer.withUnsafeBytes { writeAll(client.descriptor, $0) }
      }
    }
    clients[descriptor] = client
  }

  private mutating func note(_ body: UnsafeRawBufferPointer, at time: UInt64) {
    guard let start = body.baseAddress, body.count >= Mark.bytes,
      let found = memmem(start, body.count - Mark.bytes + 10, Mark.name, Mark.name.count)
    else { fail("a webhook without its mark: \(String(decoding: body, as: UTF8.self))") }
    let digits = UnsafeRawPointer(found) + Mark.name.count
    let number = Mark.decimal(digits + 20, 10)
    while seen.count <= number { seen.append(false) }
    if seen[number] { repeats += 1 }
    seen[number] = true
    deliveries += 1
    latency.record(time - min(time, UInt64(Mark.decimal(digits, 19))))
  }
}

/// `"mark":"T` and the time in 19 digits, `N` and a number in 10.
private enum Mark {
  static let name = Array("\"mark\":\"T".utf8)
  static let bytes = 9 + 19 + 1 + 10

  static func decimal(_ digits: UnsafeRawPointer, _ count: Int) -> Int {
    var value = 0
    for place in 0..<count {
      value = value * 10 + Int(digits.load(fromByteOffset: place, as: UInt8.self) &- 48)
    }
    return value
  }
}

/// Appends of one record each; one that is due takes a connection that waits for nothing.
private struct Appender {
  private var clients: [HTTPClient] = []
  private var dueAt: [UInt64] = []
  private var free: [Int] = []
  private let path: String
  private let recordBytes: Int
  private let keys: Int
  private(set) var appended = 0
  private(set) var unsent = 0
  var latency = Histogram()

  init(_ options: Options) {
    path = options.text("path")
    recordBytes = options.integer("record-bytes", 1024)
    keys = options.integer("keys", 10_000)
    for index in 0..<options.integer("connections", 64) {
      clients.append(HTTPClient(port: options.integer("port")))
      dueAt.append(0)
      free.append(index)
    }
  }

  var descriptors: [CInt] { clients.map(\.descriptor) }
  var isIdle: Bool { free.count == clients.count }

  /// False if every connection waits for an answer: it has to be tried again.
  mutating func append(dueAt due: UInt64) -> Bool {
    guard let index = free.popLast() else { return false }
    dueAt[index] = due
    var record =
      "{\"id\":\"k\(appended &* 7919 % keys)\",\"mark\":\"T\(padded(Int(due), 19))"
      + "N\(padded(appended, 10))\",\"note\":\""
    record += String(repeating: "x", count: recordBytes - record.utf8.count - 2) + "\"}"
    clients[index].send(
      HTTP1.request(
        "POST", path: path, contentType: "application/json", body: Array(record.utf8)
      ).bytes)
    appended += 1
    return true
  }

  mutating func receive(_ index: Int) {
    guard let answer = clients[index].receive() else { return }
    guard answer.status == 200 else { fail(String(decoding: answer.body, as: UTF8.self)) }
    latency.record(now() - dueAt[index])
    free.append(index)
  }
}

enum WebhookLatency {
  static func run(_ options: Options) -> Report {
    var receiver = Receiver(port: options.integer("receiver-port"))
    var appender = Appender(options)
    let interval = UInt64(1e9 / Double(options.integer("rate")))
    let poller = Poller()
    // Indices of the appender's connections stand above every descriptor.
    let firstAppender = 1 << 20
    poller.add(receiver.listener, index: Int(receiver.listener))
    for (index, descriptor) in appender.descriptors.enumerated() {
      poller.add(descriptor, index: firstAppender + index)
    }
    func turn(milliseconds: CInt) {
      _ = poller.wait(milliseconds: milliseconds) { index, _ in
        if index >= firstAppender {
          appender.receive(index - firstAppender)
        } else if index == Int(receiver.listener) {
          while let descriptor = receiver.accept() {
            poller.add(descriptor, index: Int(descriptor))
          }
        } else {
          receiver.receive(index)
        }
      }
    }

    var window = Window(options)
    var time = now()
    var dueAt = time
    while time < window.endsAt {
      if window.opens(at: time) {
        receiver.latency = Histogram()
        appender.latency = Histogram()
      }
      // The time it was due, not the time it left: a stalled server must not hide behind us.
      while time >= dueAt, appender.append(dueAt: dueAt) { dueAt += interval }
      turn(milliseconds: dueAt > time + 2_000_000 ? 1 : 0)
      time = now()
    }
    var report = Report()
    let (seconds, server) = window.close(into: &report)
    report.add("deliveries_per_second", Double(receiver.latency.count) / seconds)
    report.add("deliveries_per_server_second", Double(receiver.latency.count) / server)
    report.add("latency", receiver.latency)
    report.add("append", appender.latency)
    let giveUpAt = now() + 10_000_000_000
    while receiver.deliveries - receiver.repeats < appender.appended || !appender.isIdle,
      now() < giveUpAt
    {
      turn(milliseconds: 10)
    }
    report.add("appended", appender.appended)
    report.add("undelivered", appender.appended - (receiver.deliveries - receiver.repeats))
    report.add("repeats", receiver.repeats)
    report.add("connections", receiver.connectionsMax)
    return report
  }
}
