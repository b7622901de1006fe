// One publisher, many readers of server-sent events: counts deliveries, checks that none is lost, times each.
//
// Readers and publisher share this process and its clock, so the time inside an event needs no synchronisation.
import CLinux
import Glibc

/// Readers' sockets and what each has seen so far.
struct Readers {
  /// Bytes from the mark to the end of the sequence number: `"mark":"T` + 19 digits + `N` + 10 digits.
  static let mark = Array("\"mark\":\"T".utf8)
  static let markedBytes = 9 + 19 + 1 + 10
  private static let readBytes = 256 * 1024

  private struct Reader {
    let descriptor: CInt
    var seen = 0
    var sum = 0
    var last = -1
    var carried = 0
  }

  private let poller = Poller()
  private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 64 + readBytes, alignment: 64)
  private let carries: UnsafeMutableRawPointer
  private var readers: [Reader] = []
  private(set) var deliveries = 0
  private(set) var bytesReceived = 0
  private(set) var outOfOrder = 0
  var latency = Histogram()

  /// Opens `count` streams and waits until each has answered 200 and sent `greeting`.
  init(count: Int, port: Int, path: String, greeting: String) {
    carries = .allocate(byteCount: max(1, count) * 64, alignment: 64)
    let request = Array(
      ("GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n").utf8)
    for index in 0..<count {
      let descriptor = connectLoopback(port: port)
      request.withUnsafeBytes { writeAll(descriptor, $0) }
      poller.add(descriptor, index: index)
      readers.append(Reader(descriptor: descriptor))
      // A listen queue holds a few thousand; do not race the server's accepting.
      if index % 200 == 199 { usleep(2000) }
    }
    awaitGreetings(greeting)
  }

  var count: Int { readers.count }

  private mutating func awaitGreetings(_ greeting: String) {
    var heads = [[UInt8]](repeating: [], count: readers.count)
    var waiting = readers.count
    let giveUpAt = now() + 60_000_000_000
    while waiting > 0 {
      guard now() < giveUpAt else { fail("\(waiting) readers got no \"\(greeting)\"") }
      _ = poller.wait(milliseconds: 100) { index, _ in
        let count = recv(readers[index].descriptor, buffer, Self.readBytes, 0)
        guard count > 0 else { fail("reader \(index) was closed at its start") }
        let isFirst = heads[index].isEmpty
        heads[index].append(contentsOf: UnsafeRawBufferPointer(start: buffer, count: count))
        let text = String(decoding: heads[index], as: UTF8.self)
        if isFirst, !text.hasPrefix("HTTP/1.1 200") { fail("reader \(index): \(text)") }
        if text.contains("\r\n\r\n"), text.contains(greeting) {
          heads[index] = [UInt8(0)]
          waiting -= 1
        }
      }
    }
  }

  /// Takes what has arrived; returns after one wait of at most `milliseconds`.
  mutating func receive(milliseconds: CInt) {
    _ = poller.wait(milliseconds: milliseconds) { index, _ in read(index) }
  }

  private mutating func read(_ index: Int) {
    let carried = readers[index].carried
    let start = buffer + (64 - carried)
    memcpy(start, carries + index * 64, carried)
    let count = recv(readers[index].descriptor, buffer + 64, Self.readBytes, 0)
    guard count > 0 else {
      if count < 0, errno == EAGAIN { return }
      fail("reader \(index) was closed after \(readers[index].seen) events")
    }
    bytesReceived += count
    let end = buffer + 64 + count
    let time = now()
    var position = start
    while end - position >= Self.markedBytes,
      let found = memmem(position, end - position, Self.mark, Self.mark.count)
    {
      guard end - UnsafeMutableRawPointer(found) >= Self.markedBytes else { break }
      let digits = UnsafeRawPointer(found) + Self.mark.count
      deliver(index, sentAt: decimal(digits, 19), number: decimal(digits + 20, 10), at: time)
      position = UnsafeMutableRawPointer(found) + Self.markedBytes
    }
    let rest = min(end - position, Self.markedBytes - 1)
    memcpy(carries + index * 64, end - rest, rest)
    readers[index].carried = rest
  }

  @inline(__always)
  private mutating func deliver(_ index: Int, sentAt: Int, number: Int, at time: UInt64) {
    deliveries += 1
    readers[index].seen += 1
    readers[index].sum += number
    if number <= readers[index].last { outOfOrder += 1 }
    readers[index].last = number
    latency.record(time - min(time, UInt64(sentAt)))
  }

  @inline(__always)
  private func decimal(_ digits: UnsafeRawPointer, _ count: Int) -> Int {
    var value = 0
    for place in 0..<count {
      value = value * 10 + Int(digits.load(fromByteOffset: place, as: UInt8.self) &- 48)
    }
    return value
  }

  /// Readers whose number or sum of events differs from what was published.
  func incomplete(published: Int) -> Int {
    let sum = published * (published - 1) / 2
    return readers.count { $0.seen != published || $0.sum != sum }
  }
}

/// Appends events one by one or in bursts over one connection, pipelined where a server knows no batches.
struct Publisher {
  private let descriptor: CInt
  private let isBatched: Bool
  private let head: [UInt8]
  private let eventBytes: Int
  private let input = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 16)
  private var received = 0
  private var sentTimes: [UInt64] = []
  private var answered = 0
  private(set) var published = 0
  private(set) var requests = 0
  var latency = Histogram()

  /// A burst is one NDJSON request if `isBatched`, else as many requests sent at once.
  init(port: Int, path: String, isBatched: Bool, eventBytes: Int, burst: Int) {
    descriptor = connectLoopback(port: port)
    self.isBatched = isBatched
    self.eventBytes = eventBytes
    let isLines = isBatched && burst > 1
    let bytes = isLines ? burst * (eventBytes + 1) : eventBytes
    head = Array(
      ("POST \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
        + (isLines ? "application/x-ndjson" : "application/json")
        + "\r\nContent-Length: \(bytes)\r\n\r\n").utf8)
  }

  var unanswered: Int { requests - answered }

  mutating func publish(burst: Int, scheduledAt: UInt64) {
    var bytes: [UInt8] = []
    let isLines = isBatched && burst > 1
    if isLines { bytes += head }
    for _ in 0..<burst {
      if !isLines { bytes += head }
      let time = padded(Int(scheduledAt), 19)
      let number = padded(published, 10)
      var event = "{\"mark\":\"T\(time)N\(number)\",\"text\":\""
      event += String(repeating: "x", count: eventBytes - event.utf8.count - 2) + "\"}"
      bytes += Array(event.utf8)
      if isLines { bytes.append(10) } else { noteRequest(scheduledAt) }
      published += 1
    }
    if isLines { noteRequest(scheduledAt) }
    bytes.withUnsafeBytes { writeAll(descriptor, $0) }
  }

  private mutating func noteRequest(_ time: UInt64) {
    requests += 1
    sentTimes.append(time)
  }

  /// Takes the answers that have arrived.
  mutating func receive() {
    let count = recv(descriptor, input + received, (1 << 20) - received, 0)
    guard count != 0 else { fail("the publisher was closed") }
    guard count > 0 else { return }
    received += count
    var position = 0
    while position < received {
      let bytes = UnsafeRawBufferPointer(start: input + position, count: received - position)
      guard case .complete(let length, let isSuccess) = HTTP1.answer(in: bytes) else { break }
      guard isSuccess else { fail(String(decoding: bytes[..<length], as: UTF8.self)) }
      latency.record(now() - sentTimes[answered])
      answered += 1
      position += length
    }
    memmove(input, input + position, received - position)
    received -= position
  }

}

enum Fanout {
  static func run(_ options: Options) -> Report {
    let port = options.integer("port")
    let burst = options.integer("burst", 1)
    let processes = options.processes()
    let residentBefore = ProcessUsage.residentBytes(processes)
    var readers = Readers(
      count: options.integer("readers", 200), port: port, path: options.text("read-path"),
      greeting: options.text("greeting", ""))
    var report = Report()
    report.add("readers", readers.count)
    let idle = options.seconds("idle", 0)
    if idle > 0 {
      usleep(useconds_t(idle / 1000))
      let resident = ProcessUsage.residentBytes(processes)
      report.add("resident_bytes_before", residentBefore)
      report.add("resident_bytes", resident)
      report.add(
        "resident_bytes_per_reader", Double(resident - residentBefore) / Double(readers.count))
    }
    var publisher = Publisher(
      port: port, path: options.text("publish-path"),
      isBatched: options.text("batched", "true") == "true",
      eventBytes: options.integer("event-bytes", 300), burst: burst)
    let isOrdered = options.text("ordered", "true") == "true"
    // Events a second; 0: the next burst leaves when every reader has the last.
    let rate = options.integer("rate", 0)
    var window = Window(options)
    if rate == 0 {
      runClosed(&readers, &publisher, &window, burst: burst)
    } else {
      runPaced(&readers, &publisher, &window, burst: burst, rate: rate)
    }
    let (seconds, server) = window.close(into: &report)
    let measured = readers.latency.count
    report.add("deliveries", measured)
    report.add("deliveries_per_second", Double(measured) / seconds)
    report.add("deliveries_per_server_second", Double(measured) / server)
    report.add("latency", readers.latency)
    report.add("append", publisher.latency)
    settle(&readers, &publisher)
    report.add("published", publisher.published)
    report.add("incomplete_readers", readers.incomplete(published: publisher.published))
    report.add("out_of_order", isOrdered ? readers.outOfOrder : 0)
    report.add(
      "bytes_per_delivery", Double(readers.bytesReceived) / Double(max(1, readers.deliveries)))
    return report
  }

  private static func runClosed(
    _ readers: inout Readers, _ publisher: inout Publisher, _ window: inout Window, burst: Int
  ) {
    var time = now()
    while time < window.endsAt {
      if window.opens(at: time) {
        readers.latency = Histogram()
        publisher.latency = Histogram()
      }
      publisher.publish(burst: burst, scheduledAt: time)
      let giveUpAt = time + 30_000_000_000
      while readers.deliveries < publisher.published * readers.count || publisher.unanswered > 0 {
        readers.receive(milliseconds: readers.count == 0 ? 0 : 1)
        publisher.receive()
        guard now() < giveUpAt else {
          let missing = publisher.published * readers.count - readers.deliveries
          fail("\(missing) deliveries never came")
        }
      }
      time = now()
    }
  }

  private static func runPaced(
    _ readers: inout Readers, _ publisher: inout Publisher, _ window: inout Window, burst: Int,
    rate: Int
  ) {
    let interval = UInt64(1_000_000_000 * burst / rate)
    var time = now()
    var dueAt = time
    while time < window.endsAt {
      if window.opens(at: time) {
        readers.latency = Histogram()
        publisher.latency = Histogram()
      }
      if time >= dueAt {
        // The time it was due, not the time it left: a stalled server must not hide behind us.
        publisher.publish(burst: burst, scheduledAt: dueAt)
        dueAt += interval
      }
      readers.receive(milliseconds: dueAt > time + 2_000_000 ? 1 : 0)
      publisher.receive()
      time = now()
    }
  }

  /// Waits until everything published has arrived everywhere, so that what is lost shows.
  private static func settle(_ readers: inout Readers, _ publisher: inout Publisher) {
    let giveUpAt = now() + 10_000_000_000
    while readers.deliveries < publisher.published * readers.count, now() < giveUpAt {
      readers.receive(milliseconds: 10)
      publisher.receive()
    }
    // What would come twice comes now.
    readers.receive(milliseconds: 50)
  }
}
