// One request in the hands of a handler: its path, query, headers and body in the contract's terms, and its answer.
import Engine
import NIOCore
import Wire

/// Lives on its event loop. A handler that answers later carries it through `confined`.
final class Request {
  let exchange: any Exchange
  let head: RequestHead
  let loop: GatewayLoop
  private let match: RouteMatch
  /// When it came, monotonic.
  let arrived: Duration

  init(_ exchange: any Exchange, _ match: RouteMatch, on loop: GatewayLoop) {
    self.exchange = exchange
    head = exchange.request
    self.match = match
    self.loop = loop
    arrived = loop.gateway.clock.monotonic
  }

  var engine: Engine { loop.engine }
  var executor: any Executor { loop.executor }
  var limits: RequestLimits { loop.limits }
  var isHead: Bool { head.method == "HEAD" }
  /// For closures that come back to this event loop.
  var confined: Confined<Request> { Confined(self, to: loop.executor) }

  /// The value of a header, whose name must be in lower case, or nil.
  /// - Throws: `bad_header` when it comes more than once.
  func header(_ name: String) throws(Problem) -> String? {
    var found: String?
    for field in head.headers.fields where field.name == name {
      guard found == nil else {
        throw Problem(.badHeader, "\(name) comes more than once.", facts: [("header", .text(name))])
      }
      found = field.value
    }
    return found
  }

  // MARK: Path

  /// The first path parameter as a name.
  /// - Throws: `bad_name` unless it is `[A-Za-z0-9][A-Za-z0-9._~-]{0,254}` once decoded.
  func name() throws(Problem) -> String {
    let range = match.first!
    // As nearly everybody writes it: nothing is encoded.
    let plain = head.path.utf8.withContiguousStorageIfAvailable { path in
      let bytes = UnsafeBufferPointer(rebasing: path[range])
      return Self.isName(bytes) ? String(decoding: bytes, as: UTF8.self) : nil
    }
    if let plain = plain ?? nil { return plain }
    let raw = text(of: range)
    guard let name = PercentCoding.decoded(raw, plusIsSpace: false), Self.isName(name) else {
      throw Problem(
        .badName,
        "A name has 1 to 255 of A-Z a-z 0-9 . _ ~ - and begins with a letter or digit.",
        facts: [("name", .text(raw))])
    }
    return name
  }

  static func isName(_ name: String) -> Bool {
    var name = name
    return name.withUTF8 { isName($0) }
  }

  private static func isName(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    guard (1...255).contains(bytes.count), isAlphanumeric(bytes[0]) else { return false }
    return bytes.allSatisfy { byte in
      isAlphanumeric(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
        || byte == UInt8(ascii: "~") || byte == UInt8(ascii: "-")
    }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"):
      true
    default: false
    }
  }

  /// The stream that the first path parameter names.
  func stream() throws(Problem) -> Stream {
    let name = try name()
    guard let stream = engine.stream(named: name) else {
      throw Problem(
        .streamNotFound, "There is no stream \(name); PUT /v1/streams/\(name) makes it.",
        facts: [("stream", .text(name))])
    }
    return stream
  }

  /// The shard of `stream` that the second path parameter numbers.
  func shard(of stream: Stream) throws(Problem) -> Shard {
    let raw = text(of: match.second!)
    guard let index = Int(decimal: raw), stream.shards.indices.contains(index) else {
      throw Problem(
        .shardNotFound,
        "\(stream.name) has the shards 0 to \(stream.shards.count - 1).",
        facts: [("shard", .text(raw))])
    }
    return stream.shards[index]
  }

  /// The second path parameter as it came, not decoded.
  var secondText: String { text(of: match.second!) }

  private func text(of range: Range<Int>) -> String {
    let bytes = head.path.utf8
    let start = bytes.index(bytes.startIndex, offsetBy: range.lowerBound)
    return String(head.path[start..<bytes.index(start, offsetBy: range.count)])
  }

  // MARK: Query

  /// The query's parameters.
  /// - Throws: `unknown_field` for a name not in `known`, `bad_parameter` for one that comes twice or is not UTF-8.
  func query(_ known: [String]) throws(Problem) -> Query {
    guard let raw = head.query, !raw.isEmpty else { return Query() }
    return try Query(raw, known: known)
  }

  // MARK: Answers

  /// Answers whole and counts it.
  func respond(_ status: Int, _ headers: Headers, _ body: ByteBuffer?) {
    _ = handOver(status, headers, body)
  }

  /// Answers whole and counts it.
  /// - Returns: false if the client does not get it: what was taken for it alone is to be put back.
  func handOver(_ status: Int, _ headers: Headers, _ body: ByteBuffer?) -> Bool {
    count(status)
    return exchange.respond(status, browser(headers), body)
  }

  /// Answers with JSON that `write` writes.
  func respondJSON(
    _ status: Int = 200, headers: [(name: String, value: String)] = [], bytesHint: Int = 256,
    _ write: (inout ByteBuffer) -> Void
  ) {
    var buffer = loop.allocator.buffer(capacity: bytesHint)
    write(&buffer)
    var all = Self.json
    all.fields.append(contentsOf: headers)
    respond(status, all, buffer)
  }

  static let json = Headers([("content-type", "application/json")])

  /// Begins a streamed answer and counts it.
  func start(_ status: Int, _ headers: Headers) {
    count(status)
    exchange.start(status, browser(headers))
  }

  /// HEAD of an answer that would be streamed: its length is not known, so none is said (RFC 9110 §8.6).
  func respondHead(_ status: Int, _ headers: Headers) {
    start(status, headers)
    exchange.finish()
  }

  /// Answers with a problem document.
  func fail(_ problem: Problem) {
    respond(
      problem.status, problem.responseHeaders,
      problem.document(requestID: exchange.requestID))
  }

  private func browser(_ headers: Headers) -> Headers {
    loop.gateway.browserRules.dress(headers, for: head)
  }

  private func count(_ status: Int) {
    var route: Int?
    if case .route(let index) = match.outcome { route = index }
    loop.metrics.count(route: route, status: status)
  }

  /// Counts an append that is durable.
  func countAppend() {
    loop.metrics.countAppend(took: loop.gateway.clock.monotonic - arrived)
  }

  /// OPTIONS: what the path takes, and a browser's preflight.
  func respondToOptions(allow: String) {
    var headers = Headers([("allow", allow)])
    loop.gateway.browserRules.answerPreflight(head, allow: allow, into: &headers)
    respond(204, headers, nil)
  }
}

extension Int {
  /// A number of digits alone, without sign or leading zeros; nil for anything else or above `Int.max`.
  init?(decimal text: String) {
    guard let value = UInt64(decimal: text), let narrow = Int(exactly: value) else { return nil }
    self = narrow
  }
}

extension UInt64 {
  /// A number of digits alone, without sign or leading zeros.
  init?(decimal text: some StringProtocol) {
    let digits = text.utf8
    guard !digits.isEmpty, digits.allSatisfy({ $0 &- 48 < 10 }),
      digits.first != 48 || digits.count == 1,
      let value = UInt64(text)
    else { return nil }
    self = value
  }
}
