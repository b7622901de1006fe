// Subscriptions over their handlers, a real engine behind them: documents, conditions, secrets, and what streams owe.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

private let path = "/v1/subscriptions/billing"
private let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
private let otherSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"

struct SubscriptionHandlerTests {
  @Test func `a subscription is made with the contract's defaults, and then found to be so`()
    async throws
  {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders", shards: 2)
      let made = try await gateway.json("PUT", path, #"{"stream":"orders"}"#)
      #expect(made.status == 201, "\(made.text)")
      #expect(made.headers["location"] == path)
      let tag = try #require(made.headers["etag"])
      let document = made.json
      #expect(document["name"] == "billing")
      #expect(document["stream"] == "orders")
      #expect(document["start"] == "earliest")
      #expect(document["ordering"] == "key")
      #expect(document["ack_deadline"] == "30s")
      #expect(document["max_in_flight"] == 1000)
      #expect(document["max_deliveries"] == 16)
      #expect(document["backoff"] == ["1s", "5s", "30s"])
      #expect(document["dead_letter"] == .null)
      #expect(document["delivery"] == ["type": "pull"])
      #expect(document["state"] == "active")

      for same in [#"{"stream":"orders"}"#, "{}", #"{"delivery":{"type":"pull"}}"#, ""] {
        let again = try await gateway.json("PUT", path, same)
        #expect(again.status == 200, "\(same): \(again.text)")
        #expect(again.headers["etag"] == tag)
      }
      let shown = try await gateway.send("GET", path)
      #expect(shown.status == 200)
      // And what it is at work, behind all else.
      #expect(shown.text.hasPrefix(made.text.dropLast() + ",\"status\":{"))
      #expect(shown.json["status"]?["in_flight"]?.asInteger == 0)
      #expect(try await gateway.send("HEAD", path).status == 200)

      try await gateway.makeStream("clicks")
      let other = try await gateway.json(
        "PUT", path, #"{"stream":"clicks","backoff":[],"delivery":{"type":"webhook"}}"#)
      #expect(other.status == 409)
      #expect(other.code == "exists_differently")
      #expect(other.json["fields"] == ["stream", "backoff", "delivery.type"])
      let createOnly = try await gateway.json(
        "PUT", path, #"{"stream":"orders"}"#, [("if-none-match", "*")])
      #expect(createOnly.code == "already_exists")
    }
  }

  @Test func `where it starts is fixed when it is made`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s", shards: 2)
      _ = try await gateway.append("/v1/streams/s/shards/0/records", "application/json", "1")
      for (start, places) in [
        ("earliest", [0, 0]), ("tail", [1, 0]), ("@1999-01-01T00:00:00Z", [0, 0]),
        ("@2999-01-01T00:00:00Z", [1, 0]),
      ] as [(String, [UInt64])] {
        let name = "at-\(places[0])-\(start.count)"
        let made = try await gateway.json(
          "PUT", "/v1/subscriptions/\(name)", #"{"stream":"s","start":"\#(start)"}"#)
        #expect(made.status == 201, "\(made.text)")
        let spec = try #require(gateway.engine.subscription(named: name)).spec
        #expect(spec.startPlaces.map(\.rawValue) == places, "\(start)")
      }
      let shown = try await gateway.send("GET", "/v1/subscriptions/at-0-21")
      #expect(shown.json["start"] == "@1999-01-01T00:00:00.000Z")
      let same = try await gateway.json(
        "PUT", "/v1/subscriptions/at-0-21", #"{"start":"@1999-01-01T01:00:00+01:00"}"#)
      #expect(same.status == 200)
    }
  }

  @Test func `a patch merges, and is refused when the race is lost`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders")
      try await gateway.makeStream("orders.dead")
      let tag = try #require(
        try await gateway.json("PUT", path, #"{"stream":"orders"}"#).headers["etag"])
      let changed = try await gateway.send(
        "PATCH", path, [("content-type", "application/merge-patch+json"), ("if-match", tag)],
        #"{"ack_deadline":"60s","dead_letter":{"stream":"orders.dead"},"stream":"orders"}"#)
      #expect(changed.status == 200, "\(changed.text)")
      #expect(changed.json["ack_deadline"] == "1m")
      #expect(changed.json["max_deliveries"] == 16)
      #expect(changed.json["dead_letter"] == ["stream": "orders.dead"])
      #expect(changed.headers["etag"] != tag)

      let lost = try await gateway.json("PATCH", path, "{}", [("if-match", tag)])
      #expect(lost.code == "revision_mismatch")
      #expect(lost.json["etag"]?.asString == changed.headers["etag"])
      let dropped = try await gateway.json("PATCH", path, #"{"dead_letter":null}"#)
      #expect(dropped.json["dead_letter"] == .null)
      for (body, field) in [
        (#"{"stream":"orders.dead"}"#, "/stream"), (#"{"start":"tail"}"#, "/start"),
        (#"{"ordering":"none"}"#, "/ordering"),
      ] {
        let fixed = try await gateway.json("PATCH", path, body)
        #expect(fixed.code == "fixed_field")
        #expect(fixed.json["pointer"]?.asString == field)
      }
      #expect(try await gateway.json("PATCH", "/v1/subscriptions/none", "{}").status == 404)
    }
  }

  @Test func `a webhook's secret is shown once, and never again`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders")
      let body = #"{"stream":"orders","delivery":{"type":"webhook","url":"https://a.example/h"}}"#
      let made = try await gateway.json("PUT", path, body)
      #expect(made.status == 201, "\(made.text)")
      #expect(made.headers["cache-control"] == "no-store")
      let text = try #require(made.json["delivery"]?["secret"]?.asString)
      #expect(SigningSecret(text) != nil, "\(text)")
      #expect(made.json["ack_deadline"] == nil)
      #expect(made.json["delivery"]?["retry"]?.asArray?.count == 9)
      #expect(made.json["delivery"]?["batch"] == ["max_records": 100, "linger": "100ms"])
      #expect(made.json["delivery"]?["disable_after"] == "5d")

      for again in [
        try await gateway.json("PUT", path, body), try await gateway.send("GET", path),
        try await gateway.json("PATCH", path, #"{"delivery":{"secret":"****","concurrency":2}}"#),
      ] {
        #expect(again.status == 200, "\(again.text)")
        #expect(again.json["delivery"]?["secret"] == "****")
        #expect(!again.text.contains("whsec_"))
      }
      let list = try await gateway.send("GET", "/v1/subscriptions")
      #expect(list.json["items"]?[0]?["delivery"]?["secret"] == "****")
      #expect(!list.text.contains("whsec_"))
      let stored = try #require(gateway.engine.subscription(named: "billing")?.spec.webhook)
      #expect(stored.secrets.map(\.key.text) == [text])
      #expect(stored.concurrency == 2)

      let same = #"{"delivery":{"type":"webhook","secret":"\#(text)"}}"#
      #expect(try await gateway.json("PUT", path, same).status == 200)
      let guess = #"{"delivery":{"type":"webhook","secret":"\#(secret)"}}"#
      #expect(try await gateway.json("PUT", path, guess).json["fields"] == ["delivery.secret"])
    }
  }

  @Test func `secrets rotate: the old one signs beside the new one, a third is forgotten`()
    async throws
  {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders")
      let delivery = #"{"type":"webhook","url":"http://a.example/h","secret":"\#(secret)"}"#
      _ = try await gateway.json("PUT", path, #"{"stream":"orders","delivery":\#(delivery)}"#)
      func keys() throws -> [String] {
        try #require(gateway.engine.subscription(named: "billing")?.spec.webhook)
          .secrets.map(\.key.text)
      }
      #expect(try keys() == [secret])
      let rotate = path + "/secrets:rotate"
      let first = try await gateway.json("POST", rotate, #"{"secret":"\#(otherSecret)"}"#)
      #expect(first.status == 200, "\(first.text)")
      #expect(first.json["secret"]?.asString == otherSecret)
      #expect(first.json["previous"]?["expires_at"] == .null)
      #expect(try keys() == [otherSecret, secret])
      let again = try await gateway.json("POST", rotate, #"{"secret":"\#(otherSecret)"}"#)
      #expect(again.json == first.json)

      let made = try await gateway.json("POST", rotate, #"{"expire_after":"24h"}"#)
      let fresh = try #require(made.json["secret"]?.asString)
      #expect(made.json["previous"]?["expires_at"]?.asString != nil)
      #expect(try keys() == [fresh, otherSecret])
      let webhook = try #require(gateway.engine.subscription(named: "billing")?.spec.webhook)
      let expiry = try #require(webhook.secrets[1].expiresAt)
      #expect(webhook.keys(at: Timestamp(milliseconds: expiry.milliseconds - 1)).count == 2)
      #expect(webhook.keys(at: expiry).map(\.text) == [fresh])

      for bad in [#"{"secret":"****"}"#, #"{"secret":"whsec_AA=="}"#] {
        let answer = try await gateway.json("POST", rotate, bad)
        #expect(answer.code == "bad_value")
        #expect(answer.json["pointer"] == "/secret")
      }
      _ = try await gateway.json("PUT", "/v1/subscriptions/p", #"{"stream":"orders"}"#)
      let pull = try await gateway.send("POST", "/v1/subscriptions/p/secrets:rotate")
      #expect(pull.code == "wrong_delivery")
      #expect(try await gateway.send("GET", rotate).status == 405)
    }
  }

  @Test func `the way of delivery may change, and back`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders")
      _ = try await gateway.json("PUT", path, #"{"stream":"orders","ack_deadline":"5s"}"#)
      let incarnation = gateway.engine.subscription(named: "billing")?.incarnation
      let bare = try await gateway.json("PATCH", path, #"{"delivery":{"type":"webhook"}}"#)
      #expect(bare.code == "missing_field")
      #expect(bare.json["pointer"] == "/delivery/url")
      let pushed = try await gateway.json(
        "PATCH", path, #"{"delivery":{"type":"webhook","url":"http://a.example/"}}"#)
      #expect(pushed.json["delivery"]?["secret"]?.asString?.hasPrefix("whsec_") == true)
      let both = try await gateway.json("PATCH", path, #"{"ack_deadline":"1s"}"#)
      #expect(both.code == "bad_value")
      #expect(both.json["pointer"] == "/ack_deadline")
      let header = try await gateway.json(
        "PATCH", path, #"{"delivery":{"headers":{"X-Env":"prod","x-a":"1"}}}"#)
      #expect(header.json["delivery"]?["headers"] == ["x-a": "1", "x-env": "prod"])
      #expect(header.json["delivery"]?["secret"] == "****")
      let removed = try await gateway.json(
        "PATCH", path, #"{"delivery":{"headers":{"X-A":null}}}"#)
      #expect(removed.json["delivery"]?["headers"] == ["x-env": "prod"])

      let pulled = try await gateway.json("PATCH", path, #"{"delivery":{"type":"pull"}}"#)
      #expect(pulled.json["delivery"] == ["type": "pull"])
      #expect(pulled.json["ack_deadline"] == "5s")
      let stray = try await gateway.json(
        "PATCH", path, #"{"delivery":{"url":"http://b.example/"}}"#)
      #expect(stray.code == "bad_value")
      #expect(stray.json["pointer"] == "/delivery/url")
      #expect(gateway.engine.subscription(named: "billing")?.incarnation == incarnation)
    }
  }

  @Test func `a stream that a subscription needs is not deleted, but by force`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders")
      try await gateway.makeStream("dead")
      for number in 10..<22 {
        let made = try await gateway.json(
          "PUT", "/v1/subscriptions/s\(number)",
          #"{"stream":"orders","dead_letter":{"stream":"dead"}}"#)
        #expect(made.status == 201)
      }
      for stream in ["orders", "dead"] {
        let kept = try await gateway.send("DELETE", "/v1/streams/\(stream)")
        #expect(kept.status == 409)
        #expect(kept.code == "stream_in_use")
        #expect(
          kept.json["subscriptions"]?.asArray == (10..<20).map { .string("s\($0)") })
        #expect(kept.json["subscription_count"] == 12)
      }
      let users = try await gateway.send(
        "GET", "/v1/subscriptions?stream=dead&page_size=5&prefix=s1")
      #expect(users.json["items"]?.asArray?.count == 5)
      #expect(users.json["next_page_token"] != "")
      #expect(
        try await gateway.send("GET", "/v1/subscriptions?stream=none").json["items"] == [])

      #expect(try await gateway.send("DELETE", "/v1/streams/orders?force=true").status == 204)
      for isMadeAgain in [false, true] {
        if isMadeAgain { try await gateway.makeStream("orders") }
        let shown = try await gateway.send("GET", "/v1/subscriptions/s10")
        #expect(shown.json["state"] == "stream_replaced")
        for method in ["PUT", "PATCH"] {
          let answer = try await gateway.json(
            method, "/v1/subscriptions/s10", #"{"stream":"orders"}"#)
          #expect(answer.status == 410, "\(answer.text)")
          #expect(answer.code == "stream_replaced")
        }
      }
      // Those of the old stream do not hold the new one.
      #expect(try await gateway.send("DELETE", "/v1/streams/orders").status == 204)
      for number in 10..<22 {
        #expect(
          try await gateway.send("DELETE", "/v1/subscriptions/s\(number)").status == 204)
      }
      #expect(try await gateway.send("DELETE", "/v1/streams/dead").status == 204)
    }
  }

  @Test func `a subscription made again is another one`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders")
      let first = try await gateway.json("PUT", path, #"{"stream":"orders"}"#)
      let stale = try await gateway.send("DELETE", path, [("if-match", "\"0-0\"")])
      #expect(stale.code == "revision_mismatch")
      let old = try #require(gateway.engine.subscription(named: "billing"))
      #expect(
        try await gateway.send("DELETE", path, [("if-match", first.headers["etag"]!)]).status
          == 204)
      #expect(try await gateway.send("GET", path).code == "subscription_not_found")
      #expect(try await gateway.send("DELETE", path).status == 404)
      let second = try await gateway.json("PUT", path, #"{"stream":"orders"}"#)
      #expect(second.status == 201)
      #expect(second.json["incarnation"] != first.json["incarnation"])
      let state: Result<Subscription, CatalogError> = await withCheckedContinuation { done in
        gateway.engine.setState(of: old, to: .paused, on: old.journal.executor) {
          done.resume(returning: $0)
        }
      }
      #expect(throws: CatalogError.notFound) { try state.get() }
      #expect(old.journal.isRemoved)
    }
  }

  @Test func `states are kept and shown`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders")
      _ = try await gateway.json("PUT", path, #"{"stream":"orders"}"#)
      let subscription = try #require(gateway.engine.subscription(named: "billing"))
      func set(_ state: SubscriptionSpec.State) async throws -> Subscription {
        try await withCheckedContinuation { done in
          gateway.engine.setState(of: subscription, to: state, on: subscription.journal.executor) {
            done.resume(returning: $0)
          }
        }.get()
      }
      _ = try await set(.paused)
      #expect(try await gateway.send("GET", path).json["state"] == "paused")
      let reason = "the endpoint answered 410 \"gone\""
      let disabled = try await set(
        .disabled(reason: reason, at: Timestamp(milliseconds: 1_767_225_600_000)))
      let shown = try await gateway.send("GET", path)
      #expect(shown.json["state"] == "disabled")
      #expect(
        shown.json["disabled"]
          == ["reason": .string(reason), "at": "2026-01-01T00:00:00.000Z"])
      #expect(try await set(disabled.spec.state).revision == disabled.revision)
      _ = try await set(.active)
      #expect(try await gateway.send("GET", path).json["state"] == "active")
    }
  }

  @Test func `lists come in pages, by name and prefix`() async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders")
      for name in ["b.1", "b.2", "b.3", "a", "c"] {
        _ = try await gateway.json(
          "PUT", "/v1/subscriptions/\(name)", #"{"stream":"orders"}"#)
      }
      var names: [String] = []
      var token = ""
      repeat {
        let page = try await gateway.send(
          "GET", "/v1/subscriptions?page_size=2&prefix=b.&page_token=\(token)"
        ).json
        names += (page["items"]?.asArray ?? []).compactMap { $0["name"]?.asString }
        token = page["next_page_token"]?.asString ?? ""
      } while !token.isEmpty
      #expect(names == ["b.1", "b.2", "b.3"])
      let unknown = try await gateway.send("GET", "/v1/subscriptions?color=red")
      #expect(unknown.code == "unknown_field")
      #expect(
        try await gateway.send("GET", "/v1/subscriptions?page_token=!").code == "bad_page_token")
    }
  }
}

struct SubscriptionFieldTests {
  @Test(arguments: [
    ("{}", "missing_field", "/stream"),
    (#"{"stream":"none"}"#, "stream_not_found", "/stream"),
    (#"{"stream":"_x"}"#, "bad_value", "/stream"),
    (#"{"stream":null}"#, "wrong_type", "/stream"),
    (#"{"streams":"s"}"#, "unknown_field", "/streams"),
    (#"{"start":"12"}"#, "bad_value", "/start"),
    (#"{"start":"@soon"}"#, "bad_value", "/start"),
    (#"{"start":0}"#, "wrong_type", "/start"),
    (#"{"ordering":"keys"}"#, "bad_value", "/ordering"),
    (#"{"ack_deadline":"99ms"}"#, "bad_value", "/ack_deadline"),
    (#"{"ack_deadline":"13h"}"#, "bad_value", "/ack_deadline"),
    (#"{"ack_deadline":30}"#, "wrong_type", "/ack_deadline"),
    (#"{"max_in_flight":0}"#, "bad_value", "/max_in_flight"),
    (#"{"max_in_flight":1000001}"#, "bad_value", "/max_in_flight"),
    (#"{"max_deliveries":"16"}"#, "wrong_type", "/max_deliveries"),
    (#"{"max_deliveries":1001}"#, "bad_value", "/max_deliveries"),
    (#"{"backoff":"1s"}"#, "wrong_type", "/backoff"),
    (#"{"backoff":["1s",5]}"#, "wrong_type", "/backoff/1"),
    (#"{"backoff":["1s","8d"]}"#, "bad_value", "/backoff/1"),
    (#"{"dead_letter":"dead"}"#, "wrong_type", "/dead_letter"),
    (#"{"dead_letter":{}}"#, "missing_field", "/dead_letter/stream"),
    (#"{"stream":"s","dead_letter":{"stream":"none"}}"#, "stream_not_found", "/dead_letter/stream"),
    (#"{"stream":"s","dead_letter":{"stream":"s"}}"#, "bad_value", "/dead_letter/stream"),
    (#"{"delivery":{}}"#, "missing_field", "/delivery/type"),
    (#"{"delivery":{"type":"push"}}"#, "bad_value", "/delivery/type"),
    (#"{"stream":"s","delivery":{"type":"webhook"}}"#, "missing_field", "/delivery/url"),
    (
      #"{"stream":"s","delivery":{"type":"pull","timeout":"1s"}}"#, "bad_value", "/delivery/timeout"
    ),
    ("[]", "wrong_type", ""),
  ])
  func `a wrong field is named and nothing is made`(
    body: String, code: String, pointer: String
  ) async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let answer = try await gateway.json("PUT", path, body)
      #expect(answer.code == code, "\(answer.text)")
      #expect(answer.json["pointer"]?.asString == pointer, "\(answer.text)")
      #expect(answer.json["applied"] == "no")
      #expect(gateway.engine.subscription(named: "billing") == nil)
    }
  }

  @Test(arguments: [
    (#""url":"ftp://a/""#, "/delivery/url"),
    (#""url":"https://""#, "/delivery/url"),
    (#""url":"https://:80/""#, "/delivery/url"),
    (#""url":"https://u:p@a.example/""#, "/delivery/url"),
    (#""url":"https://a.example/#x""#, "/delivery/url"),
    (#""url":"https://a.example/ b""#, "/delivery/url"),
    (#""url":"http://127.0.0.1/""#, "/delivery/url"),
    (#""url":"http://[::ffff:169.254.169.254]/""#, "/delivery/url"),
    (#""url":"http://0x7f.1/""#, "/delivery/url"),
    (#""url":"https://hooks.localhost/""#, "/delivery/url"),
    (#""secret":"abc""#, "/delivery/secret"),
    (#""secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=""#, "/delivery/secret"),
    (#""secret":"whsec_c2hvcnQ=""#, "/delivery/secret"),
    (#""secret":"****""#, "/delivery/secret"),
    (#""timeout":"3m""#, "/delivery/timeout"),
    (#""concurrency":257"#, "/delivery/concurrency"),
    (#""rate_limit":0"#, "/delivery/rate_limit"),
    (#""batch":{"max_records":1001}"#, "/delivery/batch/max_records"),
    (#""batch":{"linger":"2m"}"#, "/delivery/batch/linger"),
    (#""retry":["5s","8d"]"#, "/delivery/retry/1"),
    (#""disable_after":"1s""#, "/delivery/disable_after"),
    (#""headers":{"Host":"b"}"#, "/delivery/headers/Host"),
    (#""headers":{"Webhook-Id":"b"}"#, "/delivery/headers/Webhook-Id"),
    (#""headers":{"ce-type":"b"}"#, "/delivery/headers/ce-type"),
    (#""headers":{"Content-Type":"b"}"#, "/delivery/headers/Content-Type"),
    (#""headers":{"Transfer-Encoding":"b"}"#, "/delivery/headers/Transfer-Encoding"),
    (#""headers":{"x y":"b"}"#, "/delivery/headers/x y"),
    (#""headers":{"x":"a\r\nb: c"}"#, "/delivery/headers/x"),
    (#""headers":{"x":"1","X":"2"}"#, "/delivery/headers/X"),
  ])
  func `a webhook's fields are read strictly`(field: String, pointer: String) async throws {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("s")
      let url = field.hasPrefix(#""url""#) ? "" : #","url":"https://a.example/""#
      let answer = try await gateway.json(
        "PUT", path, #"{"stream":"s","delivery":{"type":"webhook",\#(field)\#(url)}}"#)
      #expect(answer.code == "bad_value", "\(answer.text)")
      #expect(answer.json["pointer"]?.asString == pointer, "\(answer.text)")
      #expect(gateway.engine.subscription(named: "billing") == nil)
    }
  }

  @Test func `an address that the operator allows may be named`() async throws {
    var configuration = GatewayConfiguration()
    configuration.egressPolicy = EgressPolicy(allowing: [try #require(AddressRange("127.0.0.0/8"))])
    try await TestGateway.with(configuration) { gateway in
      try await gateway.makeStream("s")
      func webhook(_ url: String) async throws -> TestAnswer {
        try await gateway.json(
          "PUT", path, #"{"stream":"s","delivery":{"type":"webhook","url":"\#(url)"}}"#)
      }
      #expect(try await webhook("http://10.0.0.1/").code == "bad_value")
      let made = try await webhook("http://127.0.0.1:9000/hook")
      #expect(made.status == 201, "\(made.text)")
      #expect(made.json["delivery"]?["url"] == "http://127.0.0.1:9000/hook")
    }
  }
}
