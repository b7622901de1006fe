// Streams over their handlers, a real engine behind them: documents, conditions, pages, trims, strictness.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

struct StreamHandlerTests {
  @Test func `a stream is made once, and then found to be so`() async throws {
    try await TestGateway.with { gateway in
      let path = "/v1/streams/orders"
      let made = try await gateway.json("PUT", path, #"{"shards":4,"labels":{"team":"a"}}"#)
      #expect(made.status == 201)
      #expect(made.headers["location"] == path)
      #expect(made.json["shards"] == 4)
      #expect(made.json["retention"] == ["age": "7d", "bytes": nil])
      #expect(made.json["labels"] == ["team": "a"])
      let tag = try #require(made.headers["etag"])

      let again = try await gateway.json("PUT", path, #"{"shards":4}"#)
      #expect(again.status == 200)
      #expect(again.headers["etag"] == tag)
      #expect(try await gateway.send("PUT", path).status == 200)

      let other = try await gateway.json("PUT", path, #"{"shards":5,"retention":{"age":"1d"}}"#)
      #expect(other.status == 409)
      #expect(other.code == "exists_differently")
      #expect(other.json["fields"]?.asArray?.count == 2)

      let createOnly = try await gateway.send("PUT", path, [("if-none-match", "*")])
      #expect(createOnly.status == 412)
      #expect(createOnly.code == "already_exists")
    }
  }

  @Test func `a stream is shown with an ETag that answers 304`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let shown = try await gateway.send("GET", "/v1/streams/s")
      #expect(shown.status == 200)
      let tag = try #require(shown.headers["etag"])
      for condition in [tag, "W/" + tag, "\"x\", " + tag, "*"] {
        let same = try await gateway.send("GET", "/v1/streams/s", [("if-none-match", condition)])
        #expect(same.status == 304, "\(condition)")
        #expect(same.body.readableBytes == 0)
      }
      #expect(
        try await gateway.send("GET", "/v1/streams/s", [("if-none-match", "\"x\"")]).status == 200)
      let missing = try await gateway.send("GET", "/v1/streams/nosuch")
      #expect(missing.status == 404)
      #expect(missing.code == "stream_not_found")
    }
  }

  @Test func `a patch merges, and is refused when the race is lost`() async throws {
    try await TestGateway.with { gateway in
      let path = "/v1/streams/s"
      _ = try await gateway.json("PUT", path, #"{"labels":{"team":"a","tier":"x"}}"#)
      let tag = try #require(try await gateway.send("GET", path).headers["etag"])
      let changed = try await gateway.send(
        "PATCH", path, [("content-type", "application/merge-patch+json"), ("if-match", tag)],
        #"{"labels":{"tier":null,"zone":"b"},"retention":{"age":null,"bytes":"50000000000"}}"#)
      #expect(changed.status == 200)
      #expect(changed.json["labels"] == ["team": "a", "zone": "b"])
      #expect(changed.json["retention"] == ["age": nil, "bytes": "50000000000"])
      #expect(changed.headers["etag"] != tag)

      let lost = try await gateway.json("PATCH", path, #"{"labels":{}}"#, [("if-match", tag)])
      #expect(lost.status == 412)
      #expect(lost.code == "revision_mismatch")
      #expect(lost.json["etag"]?.asString == changed.headers["etag"])
      #expect(try await gateway.json("PATCH", path, "{}", [("if-match", "*")]).status == 200)

      let fixed = try await gateway.json("PATCH", path, #"{"shards":9}"#)
      #expect(fixed.status == 409)
      #expect(fixed.code == "fixed_field")
    }
  }

  @Test func `a deleted stream is gone, and its condition is minded`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let stale = try await gateway.send("DELETE", "/v1/streams/s", [("if-match", "\"0-0\"")])
      #expect(stale.status == 412)
      #expect(try await gateway.send("DELETE", "/v1/streams/s?force=true").status == 204)
      #expect(try await gateway.send("GET", "/v1/streams/s").status == 404)
      #expect(try await gateway.send("DELETE", "/v1/streams/s").status == 404)
    }
  }

  @Test func `lists come in pages, by name and prefix`() async throws {
    try await TestGateway.with { gateway in
      for name in ["b.1", "b.2", "b.3", "a", "c"] { try await gateway.makeStream(name) }
      var names: [String] = []
      var token = ""
      repeat {
        let page = try await gateway.send(
          "GET", "/v1/streams?page_size=2&prefix=b.&page_token=\(token)"
        ).json
        let items = try #require(page["items"]?.asArray)
        #expect(items.count <= 2)
        names += items.compactMap { $0["name"]?.asString }
        token = page["next_page_token"]?.asString ?? ""
      } while !token.isEmpty
      #expect(names == ["b.1", "b.2", "b.3"])

      for bad in ["page_size=0", "page_size=1001", "page_size=x"] {
        #expect(try await gateway.send("GET", "/v1/streams?\(bad)").code == "bad_parameter")
      }
      for bad in ["!", "cDE6", "eA", "cDE6Li4"] {
        let answer = try await gateway.send("GET", "/v1/streams?page_token=\(bad)")
        #expect(answer.code == "bad_page_token", "\(bad): \(answer.text)")
      }
    }
  }

  @Test func `shards are listed with the keys that belong to them`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s", shards: 3)
      let first = try await gateway.send("GET", "/v1/streams/s/shards?page_size=2").json
      #expect(first["items"]?.asArray?.count == 2)
      let token = try #require(first["next_page_token"]?.asString)
      let second = try await gateway.send("GET", "/v1/streams/s/shards?page_token=\(token)").json
      #expect(second["next_page_token"] == "")
      let items = (first["items"]?.asArray ?? []) + (second["items"]?.asArray ?? [])
      #expect(items.map { $0["shard"] } == [0, 1, 2])
      #expect(items[0]["key_range"] == ["0000000000000000", "5555555555555555"])
      #expect(items[1]["key_range"] == ["5555555555555556", "aaaaaaaaaaaaaaaa"])
      #expect(items[2]["key_range"] == ["aaaaaaaaaaaaaaab", "ffffffffffffffff"])
      for item in items {
        #expect(item["earliest"] == "0")
        #expect(item["tail"] == "0")
        #expect(item["bytes"]?.asString != nil)
        #expect(item["epoch"]?.asString != nil)
      }
    }
  }

  @Test func `a trim moves the earliest at once`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s", shards: 2)
      let lines = (0..<10).map { "\($0)\n" }.joined()
      _ = try await gateway.append("/v1/streams/s/shards/0/records", "application/x-ndjson", lines)
      let trim = "/v1/streams/s/shards/0:trim"
      let trimmed = try await gateway.json("POST", trim, #"{"before":"4"}"#)
      #expect(trimmed.text == #"{"shard":0,"earliest":"4"}"#)
      #expect(try await gateway.json("POST", trim, #"{"before":"2"}"#).json["earliest"] == "4")
      let beyond = try await gateway.json("POST", trim, #"{"before":"11"}"#)
      #expect(beyond.status == 416)
      #expect(beyond.json["tail"] == "10")
      for bad in [#"{"before":4}"#, #"{"before":null}"#] {
        #expect(try await gateway.json("POST", trim, bad).code == "wrong_type")
      }
      for bad in [#"{"before":"-1"}"#, #"{"before":"@yesterday"}"#, #"{"before":"04"}"#] {
        #expect(try await gateway.json("POST", trim, bad).code == "bad_value", "\(bad)")
      }
      #expect(try await gateway.json("POST", trim, "{}").code == "missing_field")

      let all = try await gateway.json(
        "POST", "/v1/streams/s:trim", #"{"before":"@2999-01-01T00:00:00Z"}"#)
      #expect(
        all.text == #"{"items":[{"shard":0,"earliest":"10"},{"shard":1,"earliest":"0"}]}"#)
      let early = try await gateway.json(
        "POST", "/v1/streams/s:trim", #"{"before":"@1999-01-01T00:00:00Z"}"#)
      #expect(early.json["items"]?[0]?["earliest"] == "10")
      let offset = try await gateway.json("POST", "/v1/streams/s:trim", #"{"before":"4"}"#)
      #expect(offset.code == "bad_value")
    }
  }

  @Test(arguments: [
    (#"{"shard":1}"#, "unknown_field", "/shard"),
    (#"{"retention":{"agee":"7d"}}"#, "unknown_field", "/retention/agee"),
    (#"{"shards":"4"}"#, "wrong_type", "/shards"),
    (#"{"shards":4.0}"#, "wrong_type", "/shards"),
    (#"{"shards":null}"#, "wrong_type", "/shards"),
    (#"{"shards":0}"#, "bad_value", "/shards"),
    (#"{"shards":1025}"#, "bad_value", "/shards"),
    (#"{"retention":"7d"}"#, "wrong_type", "/retention"),
    (#"{"retention":{"age":7}}"#, "wrong_type", "/retention/age"),
    (#"{"retention":{"age":"7"}}"#, "bad_value", "/retention/age"),
    (#"{"retention":{"age":"0s"}}"#, "bad_value", "/retention/age"),
    (#"{"retention":{"bytes":5}}"#, "wrong_type", "/retention/bytes"),
    (#"{"retention":{"bytes":"-5"}}"#, "bad_value", "/retention/bytes"),
    (#"{"labels":{"a/b~c":"x"}}"#, "bad_value", "/labels/a~1b~0c"),
    (#"{"labels":{"a":1}}"#, "wrong_type", "/labels/a"),
    (#"{"labels":{"a":null}}"#, "wrong_type", "/labels/a"),
    ("[]", "wrong_type", ""),
  ])
  func `a wrong field is named and nothing is made`(
    body: String, code: String, pointer: String
  ) async throws {
    try await TestGateway.with { gateway in
      let answer = try await gateway.json("PUT", "/v1/streams/s", body)
      #expect(answer.status == 400)
      #expect(answer.code == code, "\(answer.text)")
      #expect(answer.json["pointer"]?.asString == pointer)
      #expect(answer.json["applied"] == "no")
      #expect(gateway.engine.stream(named: "s") == nil)
    }
  }

  @Test func `labels have limits`() async throws {
    try await TestGateway.with { gateway in
      func labels(_ count: Int, from first: Int = 0) -> String {
        let members = (first..<(first + count)).map { "\"l\($0)\":\"v\"" }.joined(separator: ",")
        return "{\"labels\":{\(members)}}"
      }
      #expect(try await gateway.json("PUT", "/v1/streams/s", labels(65)).code == "bad_value")
      #expect(try await gateway.json("PUT", "/v1/streams/s", labels(64)).status == 201)
      let more = try await gateway.json("PATCH", "/v1/streams/s", labels(1, from: 64))
      #expect(more.code == "bad_value")
      let swap = try await gateway.json(
        "PATCH", "/v1/streams/s", #"{"labels":{"l0":null,"l64":"v"}}"#)
      #expect(swap.status == 200)
      let long = String(repeating: "x", count: 256)
      #expect(
        try await gateway.json("PUT", "/v1/streams/t", "{\"labels\":{\"a\":\"\(long)\"}}").code
          == "bad_value")
      #expect(
        try await gateway.json("PUT", "/v1/streams/t", "{\"labels\":{\"\(long)\":\"a\"}}").code
          == "bad_value")
    }
  }

  @Test func `what is no JSON document is refused with the place`() async throws {
    try await TestGateway.with { gateway in
      let broken = try await gateway.json("PUT", "/v1/streams/s", #"{"shards":}"#)
      #expect(broken.status == 400)
      #expect(broken.code == "bad_json")
      #expect(broken.json["position"]?.asString == "10")
      let twice = try await gateway.json("PUT", "/v1/streams/s", #"{"shards":1,"shards":2}"#)
      #expect(twice.code == "bad_json")
      let text = try await gateway.send(
        "PUT", "/v1/streams/s", [("content-type", "text/plain")], "{}")
      #expect(text.status == 415)
      let form = try await gateway.send(
        "PUT", "/v1/streams/s", [("content-type", "application/x-www-form-urlencoded")], "{}")
      #expect(form.status == 415)
      #expect(form.json["detail"]?.asString?.contains("--json") == true)
    }
  }

  @Test func `names, methods and paths that are not of the contract`() async throws {
    try await TestGateway.with { gateway in
      for bad in ["_x", "a:b", "..%2f..%2fetc", "%2e%2e", "a%20b", "a%", "%ff"] {
        let answer = try await gateway.json("PUT", "/v1/streams/\(bad)", "{}")
        #expect(answer.status == 400, "\(bad)")
        #expect(answer.code == "bad_name", "\(bad)")
      }
      let method = try await gateway.json("POST", "/v1/streams/s", "{}")
      #expect(method.status == 405)
      #expect(method.headers["allow"] == "PUT, GET, HEAD, PATCH, DELETE, OPTIONS")
      let options = try await gateway.send("OPTIONS", "/v1/streams/s")
      #expect(options.status == 204)
      #expect(options.headers["allow"] == "PUT, GET, HEAD, PATCH, DELETE, OPTIONS")
      #expect(try await gateway.send("GET", "/v1/nothing").code == "not_found")
      let unknown = try await gateway.send("GET", "/v1/streams?color=red")
      #expect(unknown.code == "unknown_field")
      #expect(unknown.json["parameter"] == "color")
    }
  }

  @Test func `operators get their answers`() async throws {
    try await TestGateway.with { gateway in
      #expect(try await gateway.send("GET", "/livez").text == #"{"status":"ok"}"#)
      #expect(try await gateway.send("GET", "/readyz").text == #"{"status":"ok"}"#)
      let contract = try await gateway.send("GET", "/openapi.yaml")
      #expect(contract.headers["content-type"] == "application/yaml")
      #expect(contract.text.hasPrefix("openapi: 3.1.0\n"))
      #expect(contract.text.hasSuffix("\n"))

      try await gateway.makeStream("s")
      _ = try await gateway.append("/v1/streams/s/records", "application/json", "1")
      _ = try await gateway.send("GET", "/v1/nothing")
      let metrics = try await gateway.send("GET", "/metrics").text
      for line in [
        #"millrace_http_requests_total{operation="livez",status="200"} 1"#,
        #"millrace_http_requests_total{operation="ensureStream",status="201"} 1"#,
        #"millrace_http_requests_total{operation="none",status="404"} 1"#,
        "millrace_append_duration_seconds_count 1",
        #"millrace_append_duration_seconds_bucket{le="+Inf"} 1"#,
        "millrace_streams 1",
      ] {
        #expect(metrics.contains(line + "\n"), "\(line)\n\(metrics)")
      }
    }
  }
}
