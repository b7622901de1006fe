// What is posted for a delivery: its body, its headers, and its id, which is the same for every attempt.
import Engine
import NIOCore
import Wire

/// One message, the same for every attempt but for what `seal` adds.
struct WebhookMessage: Sendable {
  /// `webhook-id`.
  var id: String
  var identity: UInt64
  var headers: OutboundHeaders
  var body: ByteBuffer
  var records: [AttemptRecords]
  var recordCount: Int
  /// Of the first record.
  var delivery: Int
  /// When the last record was appended.
  var appendedAt: Timestamp
}

/// Writes the messages of one subscription.
struct Envelope: Sendable {
  private let format: WebhookSpec.Format
  private let source: EventSource
  private let subscription: String
  private let stream: String
  /// Part of every message's id.
  private let incarnation: UInt64
  private let shards: [ShardID]
  /// The operator's own, in order of name.
  private let headers: [(name: String, value: String)]

  init(
    _ webhook: WebhookSpec, subscription: String, incarnation: UInt64, stream: String,
    streamIncarnation: UInt64, shards: [ShardID]
  ) {
    format = webhook.format
    source = EventSource(stream: stream, incarnation: streamIncarnation)
    self.subscription = subscription
    self.stream = stream
    self.incarnation = incarnation
    self.shards = shards
    headers = webhook.headers.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
  }

  /// The message of these records; never none.
  func message(_ pieces: [Delivery.Piece]) -> WebhookMessage {
    let records = Self.runs(of: pieces)
    let digest = digest(of: records)
    let id =
      Self.prefix
      + digest.withUnsafeBytes {
        Base64.encode(UnsafeRawBufferPointer(rebasing: $0[..<18]), .url)
      }
    let first = pieces[0].picks[0]
    var message = WebhookMessage(
      id: id, identity: digest.withUnsafeBytes { $0.load(as: UInt64.self) },
      headers: OutboundHeaders(), body: ByteBuffer(), records: records,
      recordCount: pieces.reduce(0) { $0 + $1.picks.count }, delivery: Int(first.delivery),
      appendedAt: Timestamp(milliseconds: .min))
    for (name, value) in headers { message.headers.add(name, value) }
    message.headers.add("webhook-id", id)
    message.headers.add("millrace-subscription", subscription)
    message.headers.add("millrace-stream", stream)
    message.headers.add("millrace-shard", String(pieces[0].shardIndex))
    message.headers.add("millrace-offset", first.offset.description)
    message.headers.add("millrace-delivery", String(first.delivery))
    if format == .batch {
      message.headers.add("millrace-records", String(message.recordCount))
      writeBatch(pieces, into: &message)
    } else {
      pieces[0].forEachRecord { record, _ in
        write(record, shard: pieces[0].shardIndex, into: &message)
        return false
      }
    }
    return message
  }

  /// A message that is no record's: an event of type `millrace.test`.
  func test(at now: Timestamp, id: UInt64) -> WebhookMessage {
    let name = "test-" + String(id, radix: 36)
    var message = WebhookMessage(
      id: Self.prefix + name, identity: id, headers: OutboundHeaders(), body: ByteBuffer(),
      records: [], recordCount: 1, delivery: 1, appendedAt: now)
    for (name, value) in headers { message.headers.add(name, value) }
    message.headers.add("webhook-id", message.id)
    message.headers.add("millrace-subscription", subscription)
    message.headers.add("millrace-stream", stream)
    message.headers.add("millrace-test", "true")
    let data = "{\"test\":true,\"subscription\":\"\(subscription)\"}"
    let attributes = [
      ("specversion", "1.0"), ("id", name), ("source", source.source), ("type", Self.testType),
      ("time", RFC3339.text(now)),
    ]
    if format == .record {
      message.headers.add("content-type", "application/json")
      for (name, value) in attributes { message.headers.add("ce-" + name, value) }
      message.body.writeString(data)
    } else {
      message.headers.add(
        "content-type", format == .batch ? Self.structuredBatch : Self.structured)
      // Names and times need no escapes.
      let members = attributes.map { "\"\($0.0)\":\"\($0.1)\"" }.joined(separator: ",")
      let event = "{\(members),\"datacontenttype\":\"application/json\",\"data\":\(data)}"
      message.body.writeString(format == .batch ? "[\(event)]" : event)
    }
    return message
  }

  private static let testType = "millrace.test"

  /// The records in order of delivery, what one shard gave in a row together.
  private static func runs(of pieces: [Delivery.Piece]) -> [AttemptRecords] {
    var runs: [AttemptRecords] = []
    for piece in pieces {
      let offsets = piece.picks.map(\.offset)
      if let last = runs.last, last.shard == piece.shardIndex, last.offsets.last! < offsets[0] {
        runs[runs.count - 1].offsets += offsets
      } else {
        runs.append(AttemptRecords(shard: piece.shardIndex, offsets: offsets))
      }
    }
    return runs
  }

  /// SHA-256 over what names the records for ever, by shard and offset: after a restart the same records may come in
  /// another order, and in other chunks.
  private func digest(of records: [AttemptRecords]) -> [UInt8] {
    var offsets: [(shard: Int, offsets: [Offset])] = []
    for run in records.count == 1 ? records : records.sorted(by: { $0.shard < $1.shard }) {
      if offsets.last?.shard == run.shard {
        offsets[offsets.count - 1].offsets += run.offsets
      } else {
        offsets.append((run.shard, run.offsets))
      }
    }
    var text = ByteBuffer()
    text.writeInteger(incarnation)
    for (shard, offsets) in offsets {
      text.writeInteger(shards[shard].rawValue)
      text.writeInteger(UInt32(offsets.count))
      for offset in records.count == 1 ? offsets : offsets.sorted() {
        text.writeInteger(offset.rawValue)
      }
    }
    return text.withUnsafeReadableBytes { Digest.sha256($0) }
  }

  private static let prefix = "msg_"

  // MARK: Bodies

  private func writeBatch(_ pieces: [Delivery.Piece], into message: inout WebhookMessage) {
    message.headers.add("content-type", Self.structuredBatch)
    message.body.writeStaticString("[")
    var isFirst = true
    for piece in pieces {
      piece.forEachRecord { record, _ in
        if !isFirst { message.body.writeStaticString(",") }
        isFirst = false
        EventText.write(record, shard: piece.shardIndex, of: source, into: &message.body)
        message.appendedAt = max(message.appendedAt, record.timestamp)
        return true
      }
    }
    message.body.writeStaticString("]")
  }

  private func write(_ record: RecordView, shard: Int, into message: inout WebhookMessage) {
    message.appendedAt = record.timestamp
    HeaderLines.pass(record, named: ["traceparent", "tracestate"], as: "", into: &message.headers)
    guard format == .record else {
      message.headers.add("content-type", Self.structured)
      return EventText.write(record, shard: shard, of: source, into: &message.body)
    }
    message.body.writeBytes(record.value)
    let form = EventText.form(of: record)
    if let key = record.key, !key.isEmpty {
      message.headers.add("millrace-key", HeaderLines.encoded(key))
    }
    if let type = record.contentType {
      message.headers.add("content-type", String(decoding: type, as: UTF8.self))
    } else {
      message.headers.add(
        "content-type", form == .structured ? Self.structured : "application/json")
    }
    if form == .record { addAttributes(of: record, shard: shard, to: &message.headers) }
    HeaderLines.passAll(record, isEvent: form == .binary, into: &message.headers)
  }

  /// The binary mode of CloudEvents for a record that did not come in as an event.
  private func addAttributes(
    of record: RecordView, shard: Int, to headers: inout OutboundHeaders
  ) {
    headers.add("ce-specversion", "1.0")
    headers.add("ce-id", source.id(shard: shard, record.offset))
    headers.add("ce-source", source.source)
    headers.add("ce-type", EventSource.type)
    headers.add("ce-time", RFC3339.text(record.timestamp))
    if let key = record.key, !key.isEmpty, FieldText.isUTF8(key) {
      headers.add("ce-partitionkey", HeaderLines.encoded(key))
    }
  }

  private static let structured = "application/cloudevents+json"
  private static let structuredBatch = "application/cloudevents-batch+json"
}

/// A record's headers as a request's.
private enum HeaderLines {
  /// What a record's headers may take of the request's: most servers take 8 KiB in all.
  static let bytesMax = 4 << 10

  /// Those of `names` that HTTP can carry.
  static func pass(
    _ record: RecordView, named names: [StaticString], as prefix: String,
    into headers: inout OutboundHeaders
  ) {
    guard record.headerCount > 0 else { return }
    record.forEachHeader { name, value in
      for wanted in names where isEqual(name, wanted) && value.count <= 512 {
        guard isPlain(value) else { continue }
        headers.add("\(wanted)", String(decoding: value, as: UTF8.self))
      }
    }
  }

  /// An event's attributes as they came in, every other one as `record-header-NAME`. What HTTP cannot carry, and what
  /// goes beyond `bytesMax`, is left out.
  static func passAll(_ record: RecordView, isEvent: Bool, into headers: inout OutboundHeaders) {
    guard record.headerCount > 0 else { return }
    var left = bytesMax
    record.forEachHeader { name, value in
      guard name.count + value.count <= left, !name.isEmpty,
        name.allSatisfy({ FieldText.token.contains($0) })
      else { return }
      let text = String(decoding: name, as: UTF8.self)
      if isEvent, text.hasPrefix("ce-") {
        headers.add(text, encoded(value))
      } else if text == "traceparent" || text == "tracestate" || !isPlain(value) {
        return
      } else {
        headers.add("record-header-" + text, String(decoding: value, as: UTF8.self))
      }
      left -= name.count + value.count
    }
  }

  /// Whether a header of HTTP says exactly this.
  private static func isPlain(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let first = value.first, let last = value.last, first > 32, last > 32 else {
      return false
    }
    return FieldText.isValue(value).isValid && FieldText.isUTF8(value)
  }

  /// Percent-encoded as the HTTP binding of CloudEvents wants it (§3.1.3.2): space, quote, percent, and all that is
  /// not printable ASCII.
  static func encoded(_ bytes: UnsafeRawBufferPointer) -> String {
    let isPlain = bytes.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x25 }
    if isPlain { return String(decoding: bytes, as: UTF8.self) }
    let digits = Array("0123456789ABCDEF".utf8)
    var text: [UInt8] = []
    for byte in bytes {
      if (0x21...0x7e).contains(byte), byte != 0x22, byte != 0x25 {
        text.append(byte)
      } else {
        text += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static func isEqual(_ name: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    name.elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }
}
