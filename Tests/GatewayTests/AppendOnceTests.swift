// Exactly once over the handlers: producers, idempotency keys, expected tails; then limits, gzip and CloudEvents.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

private let records = "/v1/streams/s/records"
private let shard0 = "/v1/streams/s/shards/0/records"
private let json = "application/json"

private func producer(_ sequence: Int, epoch: Int = 1) -> [(String, String)] {
  [
    ("producer-id", "p1"), ("producer-epoch", String(epoch)), ("producer-seq", String(sequence)),
  ]
}

struct AppendOnceTests {
  @Test func `a producer's retry answers with the first offsets`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let first = try await gateway.append(records, json, "1", producer(0))
      #expect(first.json["duplicate"] == false)
      let again = try await gateway.append(records, json, "1", producer(0))
      #expect(
        again.text
          == #"{"appended":1,"duplicate":true,"ranges":[{"shard":0,"start":"0","end":"1"}]}"#)
      let reused = try await gateway.append(records, json, "2", producer(0))
      #expect(reused.status == 422)
      #expect(reused.code == "sequence_reused")
      let gap = try await gateway.append(shard0, json, "2", producer(2))
      #expect(gap.status == 409)
      #expect(gap.json["expected_seq"] == "1")
      #expect(try await gateway.append(records, json, "2", producer(2)).status == 200)
      #expect(try await gateway.append(records, json, "3", producer(0, epoch: 2)).status == 200)
      let stale = try await gateway.append(records, json, "4", producer(3))
      #expect(stale.status == 403)
      #expect(stale.code == "stale_producer")
      #expect(stale.json["current_epoch"] == "2")
    }
  }

  @Test func `a retry of keyless and of keyed records finds every shard it was in`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s", shards: 8)
      for sequence in 0..<16 {
        let first = try await gateway.append(records, json, "1", producer(sequence)).json
        let again = try await gateway.append(records, json, "1", producer(sequence)).json
        #expect(again["duplicate"] == true)
        #expect(again["ranges"] == first["ranges"])
      }
      let lines = (0..<64).map { "{\"k\":\($0)}\n" }.joined()
      let path = records + "?key_pointer=/k"
      let batch = try await gateway.append(path, "application/x-ndjson", lines, producer(99)).json
      let again = try await gateway.append(path, "application/x-ndjson", lines, producer(99)).json
      #expect(batch["ranges"]?.asArray?.count == 8)
      #expect(again["duplicate"] == true)
      #expect(again["ranges"] == batch["ranges"])
      #expect(await gateway.records(of: "s").count == 80)
    }
  }

  @Test(arguments: [
    [("producer-id", "p")], [("producer-id", "p"), ("producer-epoch", "1")],
    [("producer-epoch", "1"), ("producer-seq", "1")],
    [("producer-id", ""), ("producer-epoch", "1"), ("producer-seq", "1")],
    [("producer-id", "p"), ("producer-epoch", "x"), ("producer-seq", "1")],
    [("producer-id", "p"), ("producer-epoch", "1"), ("producer-seq", "-1")],
    [("producer-id", "p"), ("producer-epoch", "1"), ("producer-seq", "18446744073709551616")],
    [("idempotency-key", "")], [("idempotency-key", String(repeating: "k", count: 256))],
    [("if-match", "1044")], [("if-match", "\"x\"")], [("if-match", "*")], [("if-match", "\"")],
    [("if-match", "\"1\", \"2\"")],
  ])
  func `headers that make no sense are refused`(headers: [(String, String)]) async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let answer = try await gateway.append(shard0, json, "1", headers)
      #expect(answer.status == 400)
      #expect(answer.code == "bad_header", "\(answer.text)")
      #expect(await gateway.records(of: "s") == [])
    }
  }

  @Test func `an idempotency key answers as the first did`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s", shards: 8)
      let key = [("idempotency-key", "k1")]
      let first = try await gateway.append(records, json, "1", key).json
      let again = try await gateway.append(records, json, "1", key).json
      #expect(again["ranges"] == first["ranges"])
      #expect(again["duplicate"] == true)
      let other = try await gateway.append(records, json, "2", key)
      #expect(other.status == 422)
      #expect(other.code == "idempotency_mismatch")
      #expect(await gateway.records(of: "s").count == 1)
    }
  }

  @Test func `an append at an expected tail`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      #expect(try await gateway.append(shard0, json, "1", [("if-match", "\"0\"")]).status == 200)
      let moved = try await gateway.append(shard0, json, "1", [("if-match", "\"0\"")])
      #expect(moved.status == 412)
      #expect(moved.code == "tail_moved")
      #expect(moved.json["tail"] == "1")
      let stream = try await gateway.append(records, json, "1", [("if-match", "\"1\"")])
      #expect(stream.code == "bad_header")
    }
  }

  @Test func `appending to nothing is not found`() async throws {
    try await TestGateway.with { gateway in
      for path in [records, shard0] {
        let answer = try await gateway.append(path, json, "1")
        #expect(answer.status == 404)
        #expect(answer.code == "stream_not_found")
      }
    }
  }
}

struct AppendLimitTests {
  private static var small: GatewayConfiguration {
    var configuration = GatewayConfiguration()
    configuration.limits.recordBytesMax = 100
    configuration.limits.bodyBytesMax = 1000
    configuration.limits.batchRecordsMax = 3
    configuration.limits.recordHeadersMax = 2
    return configuration
  }

  @Test func `a batch that no frame of the log can hold is refused, and the server lives`()
    async throws
  {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let line = "\"" + String(repeating: "x", count: 1000) + "\"\n"
      let body = String(repeating: line, count: 3000)
      let answer = try await gateway.append(records, "application/x-ndjson", body)
      #expect(answer.status == 413 && answer.code == "batch_too_large")
      #expect(answer.json["limit"] == "frame_bytes_max" && answer.json["applied"] == "no")
      #expect(try await gateway.append(records, json, "1").status == 200)
    }
  }

  @Test func `each limit is named with what it allows`() async throws {
    try await TestGateway.with(Self.small) { gateway in
      try await gateway.makeStream("s")
      func refusal(
        _ type: String, _ body: String, _ headers: [(String, String)] = []
      ) async throws -> String {
        let answer = try await gateway.append(records, type, body, headers)
        let facts = [answer.json["limit"], answer.json["max"]].compactMap { $0?.asString }
        return "\(answer.status) \(facts.joined(separator: " "))"
      }
      let hundred = String(repeating: "9", count: 100)
      #expect(try await refusal(json, hundred) == "200 ")
      #expect(try await refusal(json, hundred + "9") == "413 record_bytes_max 100")
      #expect(
        try await refusal(json, hundred, [("record-key", "k")]) == "413 record_bytes_max 100")
      #expect(try await refusal("text/plain", hundred + "9") == "413 record_bytes_max 100")
      #expect(
        try await refusal("application/x-ndjson", "1\n\(hundred)9") == "413 record_bytes_max 100")
      #expect(
        try await refusal("application/x-ndjson", "1\n2\n3\n4") == "413 batch_records_max 3")
      let four = #"{"records":[{"value":1},{"value":1},{"value":1},{"value":1}]}"#
      #expect(
        try await refusal("application/vnd.millrace.records+json", four)
          == "413 batch_records_max 3")
      let headers = ["a", "b", "c"].map { ("record-header-\($0)", "1") }
      #expect(try await refusal(json, "1", headers) == "413 record_headers_max 2")
      #expect(
        try await refusal("text/plain", String(repeating: "x", count: 1001))
          == "413 body_bytes_max 1000")
      #expect(await gateway.records(of: "s").count == 1)
    }
  }

  @Test func `gzip is inflated, and its limit holds for what comes out`() async throws {
    try await TestGateway.with(Self.small) { gateway in
      try await gateway.makeStream("s")
      func send(_ base64: String, _ encoding: String = "gzip") async throws -> TestAnswer {
        let bytes = try #require(Base64.decode(base64))
        return try await gateway.send(
          "POST", records, [("content-type", json), ("content-encoding", encoding)],
          body: ByteBuffer(bytes: bytes))
      }
      // {"a":1}
      let good = "H4sIAAAAAAACA6tWSlSyMqwFAK+sG1YHAAAA"
      #expect(try await send(good).status == 200)
      #expect(try await send(good, "X-GZIP").status == 200)
      #expect(await gateway.records(of: "s") == [#"0/0 {"a":1}"#, #"0/1 {"a":1}"#])
      #expect(try await send("H4sIAAAAAAACA6tWSlSyMqwFAC4=").code == "bad_encoding")
      #expect(try await send("AAAA").code == "bad_encoding")
      // 2,000 nines.
      let bomb =
        "H4sIAAAAAAACA7O0HAWjYBSMglEwCkbBUAcAaZEN1NAHAAA="
      let answer = try await send(bomb)
      #expect(answer.code == "body_too_large", "\(answer.text)")
      let brotli = try await send(good, "br")
      #expect(brotli.status == 415)
      #expect(brotli.headers["accept-encoding"] == "gzip")
    }
  }
}

struct CloudEventTests {
  private static let event =
    #"{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"p1","data":{"a":1}}"#

  @Test func `an event in the JSON format is kept whole, its partition key is the key`()
    async throws
  {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let event = Self.event
      _ = try await gateway.append(records, "application/cloudevents+json", event)
      let bare = #"{"specversion":"1.0","id":"2","source":"/s","type":"t"}"#
      let batch = try await gateway.append(
        records, "application/cloudevents-batch+json", "[\(event),\n\(bare)]")
      #expect(batch.json["appended"] == 2, "\(batch.text)")
      #expect(
        await gateway.records(of: "s") == [
          "0/0 key=p1 \(event)", "0/1 key=p1 \(event)", "0/2 \(bare)",
        ])
    }
  }

  @Test func `in binary mode attributes are headers and the data is the value`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let attributes = [
        ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t%C3%A9"),
      ]
      _ = try await gateway.append(
        records, json, "{\n\"a\":1}", attributes + [("ce-partitionkey", "p1")])
      _ = try await gateway.append(records, "text/xml", "<a/>", attributes + [("record-key", "k")])
      _ = try await gateway.send("POST", records, attributes)
      let headers = "ce-specversion:1.0 ce-id:1 ce-source:/s ce-type:té"
      #expect(
        await gateway.records(of: "s") == [
          "0/0 key=p1 \(headers) ce-partitionkey:p1 { \"a\":1}",
          "0/1 key=k \(headers) type=text/xml <a/>",
          "0/2 \(headers) type=application/octet-stream ",
        ])
      let two = try await gateway.append(
        records, json, "1", attributes + [("ce-partitionkey", "p1"), ("record-key", "k")])
      #expect(two.code == "bad_header")
      let missing = try await gateway.append(records, json, "1", Array(attributes.dropLast()))
      #expect(missing.code == "bad_cloudevent")
      #expect(missing.json["header"] == "ce-type")
    }
  }

  @Test(arguments: [
    ("[]", ""), ("1", ""), ("{}", "/specversion"),
    (#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#, "/specversion"),
    (#"{"specversion":"1.0","id":"","source":"s","type":"t"}"#, "/id"),
    (#"{"specversion":"1.0","id":1,"source":"s","type":"t"}"#, "/id"),
    (#"{"specversion":"1.0","id":"1","source":"s","type":null}"#, "/type"),
    (#"{"specversion":"1.0","id":"1","source":"s","type":"t","type":"t"}"#, "/type"),
    (
      #"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":""}"#,
      "/data_base64"
    ),
    (#"{"specversion":"1.0","id":"1","source":"s","type":"t","partitionkey":1}"#, "/partitionkey"),
  ])
  func `what is no event is told by its pointer`(body: String, pointer: String) async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let answer = try await gateway.append(records, "application/cloudevents+json", body)
      #expect(answer.status == 400)
      #expect(answer.code == "bad_cloudevent", "\(answer.text)")
      #expect(answer.json["pointer"]?.asString == pointer)
    }
  }
}
