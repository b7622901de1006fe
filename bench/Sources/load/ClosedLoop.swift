// Connections that each send a request, wait for its whole answer, and send the next: appends over HTTP/1.1 and RESP.
import Glibc

enum Answer {
  case incomplete
  case complete(bytes: Int, isSuccess: Bool)
}

/// Finds where an answer ends.
protocol AnswerFraming {
  static func answer(in bytes: UnsafeRawBufferPointer) -> Answer
}

/// A request with the place of the five digits that choose its stream, and of the eight digits of each record's key.
struct RequestTemplate {
  let bytes: [UInt8]
  /// Nil if every request goes to the same stream.
  let digitsAt: Int?
  /// Empty if every record is the same.
  var keysAt: [Int] = []
}

struct ClosedLoop<Framing: AnswerFraming> {
  private struct Connection {
    var descriptor: CInt
    let request: UnsafeMutablePointer<UInt8>
    let input: UnsafeMutableRawPointer
    var received = 0
    var sent = 0
    var startedAt: UInt64 = 0
    var isWriting = false
  }
  private static var inputBytes: Int { 64 * 1024 }

  private let port: Int
  private let template: RequestTemplate
  private let streams: Int
  private let requestsMax: Int
  private let keys: Int
  private var random: UInt64 = 0x9E37_79B9_7F4A_7C15
  private let poller = Poller()
  private var connections: [Connection] = []
  private var nextStream = 0

  private var started = 0
  private var answered = 0
  private var refused = 0
  private var reconnects = 0
  private var firstRefusal = ""
  private var latency = Histogram()
  private var time: UInt64 = 0

  /// Reads `port`, `connections`, `streams`, `keys` and `requests` (0: until the time is over).
  init(_ options: Options, template: RequestTemplate) {
    port = options.integer("port")
    streams = options.integer("streams", 1)
    keys = options.integer("keys", 0)
    let limit = options.integer("requests", 0)
    requestsMax = limit == 0 ? .max : limit
    self.template = template
    for index in 0..<options.integer("connections", 64) {
      let request = UnsafeMutablePointer<UInt8>.allocate(capacity: template.bytes.count)
      request.update(from: template.bytes, count: template.bytes.count)
      let descriptor = connectLoopback(port: port)
      poller.add(descriptor, index: index)
      connections.append(
        Connection(
          descriptor: descriptor, request: request,
          input: .allocate(byteCount: Self.inputBytes, alignment: 16)))
    }
  }

  /// `recordsPerRequest` is what each answer acknowledges.
  mutating func run(_ options: Options, recordsPerRequest: Int) -> Report {
    var window = Window(options)
    let limited = requestsMax != .max
    if limited { _ = window.opens(at: .max) }
    time = now()
    for index in connections.indices { start(index) }
    while true {
      _ = poller.wait(milliseconds: 100) { index, isWritable in
        if isWritable { send(index) } else { receive(index) }
      }
      time = now()
      if limited {
        if answered >= requestsMax { break }
      } else if time >= window.endsAt {
        break
      } else if window.opens(at: time) {
        answered = 0
        refused = 0
        latency = Histogram()
      }
    }
    var report = Report()
    let (seconds, server) = window.close(into: &report)
    report.add("answers", answered)
    report.add("answers_per_second", Double(answered) / seconds)
    report.add("records_per_second", Double(answered * recordsPerRequest) / seconds)
    report.add("answers_per_server_second", Double(answered) / server)
    report.add("refused", refused)
    report.add("first_refusal", firstRefusal)
    report.add("reconnects", reconnects)
    report.add("latency", latency)
    return report
  }

  private mutating func start(_ index: Int) {
    guard started < requestsMax else { return }
    started += 1
    if let place = template.digitsAt {
      var rest = nextStream
      nextStream = nextStream + 1 == streams ? 0 : nextStream + 1
      let request = connections[index].request
      for digit in stride(from: 4, through: 0, by: -1) {
        request[place + digit] = UInt8(48 + rest % 10)
        rest /= 10
      }
    }
    if keys > 0 { drawKeys(connections[index].request) }
    connections[index].sent = 0
    connections[index].startedAt = time
    send(index)
  }

  /// Gives each record one of the keys by chance, the same in every run.
  private mutating func drawKeys(_ request: UnsafeMutablePointer<UInt8>) {
    for place in template.keysAt {
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      var rest = Int(random >> 1) % keys
      for digit in stride(from: 7, through: 0, by: -1) {
        request[place + digit] = UInt8(48 + rest % 10)
        rest /= 10
      }
    }
  }

  private mutating func send(_ index: Int) {
    let connection = connections[index]
    let rest = template.bytes.count - connection.sent
    let count = Glibc.send(
      connection.descriptor, connection.request + connection.sent, rest,
      CInt(MSG_NOSIGNAL))
    if count < 0 {
      if errno != EAGAIN { return reconnect(index) }
    } else {
      connections[index].sent += count
    }
    let isWriting = connections[index].sent < template.bytes.count
    if isWriting != connection.isWriting {
      connections[index].isWriting = isWriting
      poller.change(connection.descriptor, index: index, writing: isWriting)
    }
  }

  private mutating func receive(_ index: Int) {
    let connection = connections[index]
    let count = recv(
      connection.descriptor, connection.input + connection.received,
      Self.inputBytes - connection.received, 0)
    guard count > 0 else {
      if count < 0, errno == EAGAIN { return }
      return reconnect(index)
    }
    let received = connection.received + count
    connections[index].received = received
    let bytes = UnsafeRawBufferPointer(start: connection.input, count: received)
    guard case .complete(let length, let isSuccess) = Framing.answer(in: bytes) else {
      if received == Self.inputBytes { fail("an answer above \(received) bytes") }
      return
    }
    guard length == received else { fail("more bytes than one answer") }
    connections[index].received = 0
    time = now()
    if isSuccess {
      answered += 1
      latency.record(time - connection.startedAt)
    } else {
      refused += 1
      if firstRefusal.isEmpty { firstRefusal = String(decoding: bytes, as: UTF8.self) }
      if refused > 10_000 { fail("refused: \(firstRefusal)") }
      // With a number of requests to be answered, one that was refused is sent again.
      if requestsMax != .max { started -= 1 }
    }
    start(index)
  }

  private mutating func reconnect(_ index: Int) {
    reconnects += 1
    if reconnects > 1000 { fail("the server closes connections") }
    close(connections[index].descriptor)
    connections[index].descriptor = connectLoopback(port: port)
    connections[index].received = 0
    connections[index].isWriting = false
    poller.add(connections[index].descriptor, index: index)
    start(index)
  }
}
