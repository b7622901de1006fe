// What is posted: bodies, headers and ids, as receivers see them.
import NIOCore
import Testing
import Wire

@testable import Engine
@testable import Gateway

/// A record as a test writes it.
private struct Written {
  var value: String
  var key: String?
  var type: String?
  var headers: [(String, String)] = []
}

@Suite struct EnvelopeTests {
  private let time = Timestamp(milliseconds: 1_767_225_600_000)

  private func chunk(_ records: [Written], from: UInt64 = 1044) -> FrameChunk {
    var builder = FrameBuilder(valuesBytesHint: 256)
    for record in records {
      var parts = RecordParts()
      if let key = record.key { parts.setKey(key.utf8) }
      if let type = record.type { parts.setContentType(type.utf8) }
      for (name, value) in record.headers { _ = parts.addHeader(name.utf8, value.utf8) }
      Array(record.value.utf8).withUnsafeBytes { value in
        parts.withAttributes { builder.append(value, $0) }
      }
    }
    return FrameChunk([
      builder.finish().seal(
        shard: ShardID(9), baseOffset: Offset(from), epoch: Epoch(1), timestamp: time)
    ])
  }

  private func envelope(
    _ format: WebhookSpec.Format, incarnation: UInt64 = 77, headers: [String: String] = [:]
  ) -> Envelope {
    var webhook = WebhookSpec(url: "https://svc.example/hook", secrets: [])
    webhook.format = format
    webhook.headers = headers
    return Envelope(
      webhook, subscription: "billing", incarnation: incarnation, stream: "orders",
      streamIncarnation: 5, shards: [ShardID(8), ShardID(9)])
  }

  private func piece(_ records: [Written], picks: [UInt64], delivery: UInt32 = 1) -> Delivery.Piece
  {
    Delivery.Piece(
      track: 1, shardIndex: 1, chunk: chunk(records),
      picks: picks.map { Delivery.Pick(offset: Offset($0), delivery: delivery) })
  }

  private func message(
    _ record: Written, _ format: WebhookSpec.Format = .record, headers: [String: String] = [:]
  ) -> WebhookMessage {
    envelope(format, headers: headers).message([piece([record], picks: [1044])])
  }

  private func lines(_ message: WebhookMessage) -> [String: String] {
    var found: [String: String] = [:]
    for line in message.headers.lines.readableBytesView.split(separator: 0) {
      let parts = String(decoding: line, as: UTF8.self).split(
        separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      #expect(found[String(parts[0])] == nil, "\(parts[0]) comes twice")
      found[String(parts[0])] = parts.count > 1 ? parts[1].trimmed() : ""
    }
    return found
  }

  private func text(_ message: WebhookMessage) -> String { String(buffer: message.body) }

  // MARK: Records

  @Test func `a JSON record is its value, with the event's attributes beside it`() {
    let message = message(Written(value: #"{"n": 1}"#, key: "u1"), headers: ["x-env": "prod"])
    #expect(text(message) == #"{"n": 1}"#)
    #expect(
      lines(message) == [
        "x-env": "prod", "webhook-id": message.id, "content-type": "application/json",
        "millrace-subscription": "billing", "millrace-stream": "orders", "millrace-shard": "1",
        "millrace-offset": "1044", "millrace-delivery": "1", "millrace-key": "u1",
        "ce-specversion": "1.0", "ce-id": "5-1-1044", "ce-source": "/v1/streams/orders",
        "ce-type": "millrace.record", "ce-time": "2026-01-01T00:00:00.000Z",
        "ce-partitionkey": "u1",
      ])
    #expect(message.appendedAt == time)
  }

  @Test func `opaque bytes keep their type`() {
    let message = message(Written(value: "a,b\n1,2", type: "text/csv; header=present"))
    #expect(text(message) == "a,b\n1,2")
    #expect(lines(message)["content-type"] == "text/csv; header=present")
  }

  @Test func `a record's headers go along, those that HTTP can carry`() {
    let message = message(
      Written(
        value: "1",
        headers: [
          ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
          ("trace", "a"), ("odd name", "b"), ("broken", "a\r\nx-evil: 1"),
          ("long", "\(String(repeating: "x", count: 5000))"),
        ]))
    let found = lines(message)
    #expect(found["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    #expect(found["record-header-trace"] == "a")
    #expect(found.keys.filter { $0.hasPrefix("record-header-") } == ["record-header-trace"])
    #expect(found["x-evil"] == nil)
  }

  @Test func `a key that is not plain is percent-encoded`() {
    #expect(lines(message(Written(value: "1", key: "ä \"%")))["millrace-key"] == "%C3%A4%20%22%25")
  }

  // MARK: What came in as events

  private let binary = Written(
    value: #"{"a":1}"#, key: "k",
    headers: [
      ("ce-specversion", "1.0"), ("ce-id", "A 1"), ("ce-source", "/mine"), ("ce-type", "t.x"),
      ("ce-partitionkey", "k"), ("ce-comexampleext", "é"), ("trace", "a"),
    ])
  private let structured = Written(
    value: #"{"specversion":"1.0","id":"B","source":"/mine","type":"t.y","data":{"a":1}}"#)

  @Test func `an event in binary mode goes out in binary mode as it came`() {
    let found = lines(message(binary))
    #expect(found["ce-id"] == "A%201")
    #expect(found["ce-comexampleext"] == "%C3%A9")
    #expect(found["ce-type"] == "t.x")
    #expect(found["ce-time"] == nil, "it had none")
    #expect(found["record-header-trace"] == "a")
  }

  @Test func `and structured as one object`() {
    let message = message(binary, .cloudevents)
    #expect(lines(message)["content-type"] == "application/cloudevents+json")
    #expect(
      text(message) == """
        {"specversion":"1.0","id":"A 1","source":"/mine","type":"t.x","partitionkey":"k",\
        "comexampleext":"é","trace":"a","datacontenttype":"application/json","data":{"a":1}}
        """)
  }

  @Test func `a structured event goes out as it came, whatever the format`() {
    let single = message(structured)
    #expect(text(single) == structured.value)
    #expect(lines(single)["content-type"] == "application/cloudevents+json")
    #expect(!lines(single).keys.contains { $0.hasPrefix("ce-") })
    #expect(text(message(structured, .cloudevents)) == structured.value)
    #expect(text(message(structured, .batch)) == "[\(structured.value)]")
  }

  @Test func `what only looks like an event is a record`() {
    let look = Written(value: #"{"specversion":"1.0","id":"B"}"#)
    #expect(lines(message(look))["ce-type"] == "millrace.record")
    let text = text(message(look, .cloudevents))
    #expect(text.contains(#""type":"millrace.record""#))
    #expect(text.hasSuffix(#","data":{"specversion":"1.0","id":"B"}}"#))
  }

  @Test func `any other record becomes an event`() {
    let message = message(
      Written(value: "hi", key: "u1", type: "text/plain", headers: [("trace", "a"), ("id", "no")]),
      .cloudevents)
    #expect(
      text(message) == """
        {"specversion":"1.0","id":"5-1-1044","source":"/v1/streams/orders",\
        "type":"millrace.record","time":"2026-01-01T00:00:00.000Z","partitionkey":"u1",\
        "trace":"a","millraceshard":"1","millraceoffset":"1044",\
        "datacontenttype":"text/plain","data_base64":"aGk="}
        """)
  }

  @Test func `a batch is an array of what was picked`() throws {
    let records = (0..<6).map { Written(value: "\($0)") }
    let message = envelope(.batch).message([
      piece(records, picks: [1045, 1048], delivery: 3), piece(records, picks: [1049]),
    ])
    let events = try JSONValue.parse(message.body).asArray ?? []
    #expect(events.map { $0["data"]?.asInteger } == [1, 4, 5])
    let found = lines(message)
    #expect(found["content-type"] == "application/cloudevents-batch+json")
    #expect(found["millrace-records"] == "3")
    #expect(found["millrace-offset"] == "1045")
    #expect(found["millrace-delivery"] == "3")
    #expect(message.recordCount == 3)
    #expect(message.delivery == 3)
    #expect(
      message.records == [
        AttemptRecords(shard: 1, offsets: [Offset(1045), Offset(1048), Offset(1049)])
      ])
  }

  // MARK: Ids

  @Test func `an id is the same for every attempt, and another for all else`() {
    let records = (0..<6).map { Written(value: "\($0)") }
    func id(_ picks: [UInt64], incarnation: UInt64 = 77, delivery: UInt32 = 1) -> String {
      envelope(.batch, incarnation: incarnation)
        .message([piece(records, picks: picks, delivery: delivery)]).id
    }
    let first = id([1044, 1045])
    #expect(first == id([1044, 1045], delivery: 9))
    #expect(first.hasPrefix("msg_") && first.utf8.count == 28)
    #expect(!first.contains("."), "the signature puts dots around it")
    let others = [
      first, id([1044]), id([1045]), id([1044, 1046]), id([1044, 1045], incarnation: 78),
    ]
    #expect(Set(others).count == 5)
  }

  @Test func `an id is the same however the records were read`() {
    func piece(_ shard: Int, _ picks: [UInt64], in range: Range<UInt64>) -> Delivery.Piece {
      Delivery.Piece(
        track: UInt32(shard), shardIndex: shard,
        chunk: chunk(range.map { Written(value: "\($0)") }, from: range.lowerBound),
        picks: picks.map { Delivery.Pick(offset: Offset($0), delivery: 1) })
    }
    let live = envelope(.batch).message([
      piece(1, [10], in: 10..<11), piece(0, [3], in: 3..<4), piece(1, [11, 13], in: 11..<14),
    ])
    let fromLog = envelope(.batch).message([
      piece(0, [3], in: 0..<9), piece(1, [10, 11, 13], in: 5..<20),
    ])
    #expect(live.id == fromLog.id)
    #expect(live.identity == fromLog.identity)
    #expect(text(live) != text(fromLog), "the body is in order of delivery")
    let runs = [
      AttemptRecords(shard: 0, offsets: [Offset(3)]),
      AttemptRecords(shard: 1, offsets: [Offset(10), Offset(11), Offset(13)]),
    ]
    #expect(fromLog.records == runs)
    #expect(live.records.map(\.shard) == [1, 0, 1], "in order of delivery, for who sends it again")
  }

  @Test func `an id does not change with the version of the server`() {
    let id = envelope(.record).message([piece([Written(value: "1")], picks: [1044])]).id
    #expect(id == "msg_v4iFn-RSrgZibpp_Ekzt4jD1")
  }

  @Test(arguments: WebhookSpec.Format.allCases)
  func `a test is an event that says so`(format: WebhookSpec.Format) throws {
    let message = envelope(format).test(at: time, id: 35)
    let body = try JSONValue.parse(message.body)
    switch format {
    case .record:
      #expect(lines(message)["ce-type"] == "millrace.test")
      #expect(body["test"] == true)
    case .cloudevents: #expect(body["type"] == "millrace.test")
    case .batch: #expect(body[0]?["data"]?["test"] == true)
    }
    #expect(message.id == "msg_test-z")
    #expect(message.records.isEmpty)
  }
}
