// The headers that say how an append is meant, found in one pass over the request's.
import Engine
import NIOCore
import Wire

struct AppendHeaders {
  var contentType: String?
  var contentEncoding: String?
  var key: String?
  /// `Record-Header-NAME`: names in lower case, in order.
  var recordHeaders: [(name: String, value: String)] = []
  /// `ce-NAME` of a CloudEvent in binary mode, names without the prefix.
  var eventAttributes: [(name: String, value: String)] = []
  var producerID: String?
  var producerEpoch: String?
  var producerSequence: String?
  var idempotencyKey: String?
  var ifMatch: String?
  /// W3C Trace Context: whose work the request is a part of.
  private var traceParent: String?

  /// - Throws: `bad_header` for one that comes twice.
  init(_ headers: Headers) throws(Problem) {
    for (name, value) in headers.fields {
      // Lengths first: comparing each name with each known one was a third of this pass.
      switch name.utf8.count {
      case 8 where name == "if-match": try Self.set(&ifMatch, name, value)
      case 10 where name == "record-key": try Self.set(&key, name, value)
      case 11 where name == "producer-id": try Self.set(&producerID, name, value)
      case 11 where name == "traceparent": traceParent = value
      case 12 where name == "content-type" && !value.isEmpty:
        try Self.set(&contentType, name, value)
      case 12 where name == "producer-seq": try Self.set(&producerSequence, name, value)
      case 14 where name == "producer-epoch": try Self.set(&producerEpoch, name, value)
      case 15 where name == "idempotency-key": try Self.set(&idempotencyKey, name, value)
      case 16 where name == "content-encoding": try Self.set(&contentEncoding, name, value)
      default: try family(name, value)
      }
    }
  }

  private static func set(
    _ field: inout String?, _ name: String, _ value: String
  ) throws(Problem) {
    guard field == nil else { throw refusal(name, "It comes more than once.") }
    field = value
  }

  private mutating func family(_ name: String, _ value: String) throws(Problem) {
    let prefix = "record-header-"
    if name.utf8.count > 3, name.hasPrefix("ce-") {
      try Self.add(String(name.dropFirst(3)), name, value, to: &eventAttributes)
    } else if name.utf8.count >= prefix.utf8.count, name.hasPrefix(prefix) {
      guard name.utf8.count > prefix.utf8.count else {
        throw Self.refusal(name, "A name follows record-header-.")
      }
      try Self.add(String(name.dropFirst(prefix.count)), name, value, to: &recordHeaders)
    }
  }

  private static func add(
    _ short: String, _ name: String, _ value: String, to list: inout [(name: String, value: String)]
  ) throws(Problem) {
    guard !list.contains(where: { $0.name == short }) else {
      throw refusal(name, "It comes more than once.")
    }
    list.append((short, value))
  }

  static func refusal(_ name: String, _ reason: String) -> Problem {
    Problem(.badHeader, "\(name): \(reason)", facts: [("header", .text(name))])
  }

  /// Lets the record carry the request's own `traceparent`, unless it brings one: webhooks pass it on. For a single
  /// record, once the digest is made: a retry may be another span of the trace and is the same request still.
  mutating func passTraceOn(_ limits: RequestLimits) {
    guard let traceParent, Self.isTraceParent(traceParent),
      recordHeaders.count < limits.recordHeadersMax,
      !recordHeaders.contains(where: { $0.name == "traceparent" })
    else { return }
    recordHeaders.append(("traceparent", traceParent))
  }

  /// Version, trace, span and flags in hexadecimal (W3C Trace Context §3.2).
  private static func isTraceParent(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    return parts.map(\.count) == [2, 32, 16, 2]
      && text.utf8.allSatisfy { byte in
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
          || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte) || byte == UInt8(ascii: "-")
      }
  }

  // MARK: Exactly once

  /// Whether the frames must carry a digest of the body.
  var isStamped: Bool {
    producerID != nil || producerEpoch != nil || producerSequence != nil || idempotencyKey != nil
  }

  /// The stamps that each frame of the request carries.
  /// - Throws: `bad_header` unless all three of a producer's are there and well-formed.
  func extras(
    for body: ByteBuffer, keyPointer: JSONPointer?, shard: Int?, _ limits: RequestLimits
  ) throws(Problem) -> FrameExtras {
    guard isStamped else { return .none }
    if let idempotencyKey {
      try Self.check(idempotencyKey, "idempotency-key", limits)
    }
    return FrameExtras(
      producer: try producer(limits), idempotencyKey: idempotencyKey,
      digest: digest(of: body, keyPointer: keyPointer, shard: shard))
  }

  /// What tells a repeated request from another one under the same stamps: the body as it was before compression, and
  /// everything beside it that its records are made of.
  private func digest(of body: ByteBuffer, keyPointer: JSONPointer?, shard: Int?) -> BodyDigest {
    let digest = Digest.bodyDigest(of: body)
    var parts = ByteBuffer()
    parts.writeInteger(digest.high)
    parts.writeInteger(digest.low)
    func add(_ name: String, _ value: String?) {
      guard let value else { return }
      // Lengths first, so that no two requests read alike.
      parts.writeString("\(name.utf8.count) \(name) \(value.utf8.count) \(value) ")
    }
    add("content-type", contentType)
    add("key_pointer", keyPointer?.description)
    add("shard", shard.map(String.init))
    add("record-key", key)
    // A proxy may send headers in another order.
    for header in recordHeaders.sorted(by: { $0.name < $1.name }) {
      add("record-header-" + header.name, header.value)
    }
    for attribute in eventAttributes.sorted(by: { $0.name < $1.name }) {
      add("ce-" + attribute.name, attribute.value)
    }
    return Digest.bodyDigest(of: parts)
  }

  private func producer(_ limits: RequestLimits) throws(Problem) -> ProducerStamp? {
    let all = [
      ("producer-id", producerID), ("producer-epoch", producerEpoch),
      ("producer-seq", producerSequence),
    ]
    guard all.contains(where: { $0.1 != nil }) else { return nil }
    for (name, value) in all where value == nil {
      throw Self.refusal(name, "Producer-Id, Producer-Epoch and Producer-Seq go together.")
    }
    try Self.check(producerID!, "producer-id", limits)
    return ProducerStamp(
      id: producerID!, epoch: try Self.number(producerEpoch!, "producer-epoch"),
      sequence: try Self.number(producerSequence!, "producer-seq"))
  }

  private static func check(
    _ text: String, _ name: String, _ limits: RequestLimits
  ) throws(Problem) {
    guard (1...limits.stampBytesMax).contains(text.utf8.count) else {
      throw refusal(name, "It has 1 to \(limits.stampBytesMax) bytes.")
    }
  }

  private static func number(_ text: String, _ name: String) throws(Problem) -> UInt64 {
    guard let number = UInt64(decimal: text) else {
      throw refusal(name, "It is a decimal number of at most 64 bits.")
    }
    return number
  }

  /// The tail that `If-Match` asks for.
  /// - Throws: `bad_header` unless it is one offset in quotes.
  func expectedTail() throws(Problem) -> Offset? {
    guard let ifMatch else { return nil }
    let text = ifMatch.trimmed()
    guard text.utf8.count > 2, text.hasPrefix("\""), text.hasSuffix("\""),
      let tail = UInt64(decimal: text.dropFirst().dropLast())
    else { throw Self.refusal("if-match", "On an append it is a tail in quotes: \"1044\".") }
    return Offset(tail)
  }

  /// Refuses what goes with a single record only.
  func refuseSingleRecordHeaders(_ body: String) throws(Problem) {
    if key != nil { throw Self.refusal("record-key", "It goes with a single record, not \(body).") }
    if let header = recordHeaders.first {
      throw Self.refusal(
        "record-header-\(header.name)", "It goes with a single record, not \(body).")
    }
  }
}
