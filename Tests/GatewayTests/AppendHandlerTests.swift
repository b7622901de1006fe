// Appends over their handlers, a real engine behind them: content types, keys, stamps, limits.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

private let records = "/v1/streams/s/records"
private let ndjson = "application/x-ndjson"
private let envelope = "application/vnd.millrace.records+json"

struct AppendHandlerTests {
  @Test func `one JSON value is answered with its place, and kept byte for byte`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let value = #"{ "b" : 1.0e5,"a":"\u00e9é", "a":[ ] }"#
      let first = try await gateway.append(records, "application/json", "  \(value)\n")
      #expect(first.status == 200)
      #expect(
        first.text
          == #"{"appended":1,"duplicate":false,"ranges":[{"shard":0,"start":"0","end":"1"}]}"#)
      #expect(first.headers["content-type"] == "application/json")
      _ = try await gateway.append(
        records, "application/json; charset=utf-8", "{\r\n \"a\":\n1}")
      #expect(await gateway.records(of: "s") == ["0/0 \(value)", "0/1 {   \"a\": 1}"])
    }
  }

  @Test(arguments: [
    ("1\n2\n3\n", ["1", "2", "3"]), ("1\n2\n3", ["1", "2", "3"]), ("1", ["1"]), ("1\n", ["1"]),
    ("\n 1 \r\n\r\n{\"a\": 2}\t\n", ["1", "{\"a\": 2}"]), ("[1,\r2]\n3", ["[1, 2]", "3"]),
  ])
  func `NDJSON is a record a line, however the lines end`(
    body: String, values: [String]
  ) async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let answer = try await gateway.append(records, ndjson, body)
      #expect(answer.json["appended"] == .integer(Int64(values.count)), "\(answer.text)")
      #expect(
        await gateway.records(of: "s") == values.enumerated().map { "0/\($0.offset) \($0.element)" }
      )
    }
  }

  @Test func `a bad line is named, and nothing is appended`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let answer = try await gateway.append(records, ndjson, "1\n\n{\"a\":}\n4\n")
      #expect(answer.status == 400)
      #expect(answer.code == "bad_json")
      #expect(answer.json["line"] == 3)
      #expect(answer.json["position"] == "5")
      #expect(await gateway.records(of: "s") == [])
    }
  }

  @Test(arguments: [
    "", " ", "{", "[1,]", "1 2", "nul", "\"\\x\"",
  ])
  func `what is no JSON is refused`(body: String) async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let answer = try await gateway.append(records, "application/json", body)
      #expect(answer.status == 400)
      #expect(answer.code == (body.isEmpty ? "empty_body" : "bad_json"))
    }
  }

  @Test(arguments: [
    (ndjson, "\n \n"), (envelope, #"{"records":[]}"#),
    ("application/cloudevents-batch+json", "[]"), ("text/plain", ""),
  ])
  func `a body without a record is refused`(type: String, body: String) async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let answer = try await gateway.append(records, type, body)
      #expect(answer.status == 400)
      #expect(answer.code == "empty_body")
    }
  }

  @Test func `an envelope carries keys, headers and bytes`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let body = """
        {"records":[
          {"key":"u\\u00e91","headers":{"trace":"a","b":""},"value":{"x":
            1}},
          {"value_base64":"YWI="}, {"value_base64":"","content_type":"image/png","key":""},
          {"key":null,"value":null}
        ]}
        """
      let answer = try await gateway.append(records, envelope, body)
      #expect(answer.json["appended"] == 4, "\(answer.text)")
      let found = await gateway.records(of: "s")
      #expect(found[0] == "0/0 key=ué1 trace:a b: {\"x\":     1}")
      #expect(found[1] == "0/1 type=application/octet-stream ab")
      #expect(found[2] == "0/2 key= type=image/png ")
      #expect(found[3] == "0/3 null")
    }
  }

  @Test(arguments: [
    ("[]", "wrong_type", ""), (#"{"records":{}}"#, "wrong_type", "/records"),
    ("{}", "missing_field", "/records"), (#"{"recs":[]}"#, "unknown_field", "/recs"),
    (#"{"records":[1]}"#, "wrong_type", "/records/0"),
    (#"{"records":[{"value":1},{}]}"#, "missing_field", "/records/1/value"),
    (#"{"records":[{"value":1,"vlaue":2}]}"#, "unknown_field", "/records/0/vlaue"),
    (#"{"records":[{"value":1,"key":7}]}"#, "wrong_type", "/records/0/key"),
    (#"{"records":[{"value":1,"headers":[]}]}"#, "wrong_type", "/records/0/headers"),
    (#"{"records":[{"value":1,"headers":{"a/b":1}}]}"#, "wrong_type", "/records/0/headers/a~1b"),
    (#"{"records":[{"value":1,"headers":{"a":"1","a":"2"}}]}"#, "bad_json", "/records/0/headers/a"),
    (#"{"records":[{"value":1,"value":2}]}"#, "bad_json", "/records/0/value"),
    (#"{"records":[{"value":1,"value_base64":""}]}"#, "bad_value", "/records/0"),
    (#"{"records":[{"value":1,"content_type":"a/b"}]}"#, "bad_value", "/records/0"),
    (#"{"records":[{"value_base64":"a"}]}"#, "bad_value", "/records/0/value_base64"),
    (
      #"{"records":[{"value_base64":"","content_type":""}]}"#, "bad_value",
      "/records/0/content_type"
    ),
  ])
  func `a wrong envelope is told by its pointer`(
    body: String, code: String, pointer: String
  ) async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let answer = try await gateway.append(records, envelope, body)
      #expect(answer.status == 400)
      #expect(answer.code == code, "\(answer.text)")
      #expect(answer.json["pointer"]?.asString == pointer)
      #expect(await gateway.records(of: "s") == [])
    }
  }

  @Test func `any other type is one record of opaque bytes`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      _ = try await gateway.append(records, "text/plain; charset=utf-8", "hello\n")
      _ = try await gateway.send("POST", records, [], "raw")
      #expect(
        await gateway.records(of: "s") == [
          "0/0 type=text/plain; charset=utf-8 hello\n", "0/1 type=application/octet-stream raw",
        ])
    }
  }

  @Test func `headers give a single record its key and headers`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let extra = [("record-key", "u1"), ("record-header-trace", "a"), ("record-header-b", "c")]
      _ = try await gateway.append(records, "application/json", "1", extra)
      _ = try await gateway.append(records, "text/plain", "2", extra)
      #expect(
        await gateway.records(of: "s") == [
          "0/0 key=u1 trace:a b:c 1", "0/1 key=u1 trace:a b:c type=text/plain 2",
        ])
      for type in [ndjson, envelope, "application/cloudevents-batch+json"] {
        for header in extra {
          let answer = try await gateway.append(records, type, "1", [header])
          #expect(answer.code == "bad_header", "\(type) \(header): \(answer.text)")
          #expect(answer.json["header"]?.asString == header.0)
        }
      }
      let twice = try await gateway.append(
        records, "application/json", "1", [("record-key", "a"), ("record-key", "b")])
      #expect(twice.code == "bad_header")
    }
  }

  @Test func `a key pointer takes keys from the values`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let path = records + "?key_pointer=/u/id"
      let lines =
        #"{"u":{"id":"a"}}"# + "\n" + #"{"u":{"id":12.50}}"# + "\n" + #"{"u":{"id":"\u00e9\n"}}"#
      #expect(try await gateway.append(path, ndjson, lines).json["appended"] == 3)
      #expect(
        try await gateway.append(
          path, "application/json", #"{"u":{"id":true}}"#, [("record-header-h", "x")]
        ).status == 200)
      #expect(
        await gateway.records(of: "s") == [
          #"0/0 key=a {"u":{"id":"a"}}"#, #"0/1 key=12.50 {"u":{"id":12.50}}"#,
          "0/2 key=é\n {\"u\":{\"id\":\"\\u00e9\\n\"}}", #"0/3 key=true h:x {"u":{"id":true}}"#,
        ])
      for bad in [#"{"u":{}}"#, #"{"u":{"id":null}}"#, #"{"u":{"id":{}}}"#, "[1]"] {
        let answer = try await gateway.append(path, ndjson, #"{"u":{"id":"a"}}"# + "\n" + bad)
        #expect(answer.code == "key_not_found", "\(bad)")
        #expect(answer.json["record"] == 1)
      }
      for (type, pointer) in [
        ("application/json", "u"), ("application/json", "/~2"), (envelope, "/u"),
      ] {
        let answer = try await gateway.append(records + "?key_pointer=\(pointer)", type, "{}")
        #expect(answer.code == "bad_parameter")
      }
      let both = try await gateway.append(path, "application/json", "{}", [("record-key", "a")])
      #expect(both.code == "bad_parameter")
      #expect(await gateway.records(of: "s").count == 4)
    }
  }

  @Test func `keys choose shards by their hash, and one answer covers them all`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s", shards: 4)
      let stream = try #require(gateway.engine.stream(named: "s"))
      let lines = (0..<64).map { "{\"k\":\"u\($0 % 16)\",\"n\":\($0)}\n" }.joined()
      let answer = try await gateway.append(records + "?key_pointer=/k", ndjson, lines).json
      #expect(answer["appended"] == 64)
      #expect(answer["ranges"]?.asArray?.map { $0["shard"] } == [0, 1, 2, 3])
      let found = await gateway.records(of: "s")
      #expect(found.count == 64)
      for line in found {
        let key = line.split(separator: " ")[1].dropFirst(4)
        let shard = stream.shard(forKeyHash: KeyHash.xxh64(String(key))).index
        #expect(line.hasPrefix("\(shard)/"), "\(line)")
      }
      let single = try await gateway.append(
        records, "application/json", "1", [("record-key", "u3")]
      ).json
      #expect(
        single["ranges"]?[0]?["shard"]
          == .integer(Int64(stream.shard(forKeyHash: KeyHash.xxh64("u3")).index)))
    }
  }

  @Test func `records without a key go to one shard, and the next request's to another`()
    async throws
  {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s", shards: 4)
      var used: [Int64] = []
      for _ in 0..<4 {
        let ranges = try await gateway.append(records, ndjson, "1\n2\n").json["ranges"]
        #expect(ranges?.asArray?.count == 1)
        used.append(ranges?[0]?["shard"]?.asInteger ?? -1)
      }
      #expect(used.sorted() == [0, 1, 2, 3])
    }
  }

  @Test func `a shard's own URL takes whatever keys there are`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s", shards: 4)
      let lines = (0..<16).map { "{\"k\":\($0)}\n" }.joined()
      let path = "/v1/streams/s/shards/2/records?key_pointer=/k"
      let ranges = try await gateway.append(path, ndjson, lines).json["ranges"]
      #expect(ranges == [["shard": 2, "start": "0", "end": "16"]])
      for bad in ["4", "-1", "00", "x", "99999999999999999999"] {
        let answer = try await gateway.append(
          "/v1/streams/s/shards/\(bad)/records", "application/json", "1")
        #expect(answer.code == "shard_not_found", "\(bad)")
      }
    }
  }
}
