// What web pages may do: hosts, origins, forms, preflights.
import NIOCore
import Testing

@testable import Gateway

private func head(
  _ headers: [(String, String)] = [], host: String = "localhost:8420", isTLS: Bool = false
) -> RequestHead {
  RequestHead(
    method: "POST", path: "/v1/streams", headers: Headers(headers.map { ($0.0, $0.1) }),
    authority: host, isTLS: isTLS)
}

private func rules(_ origins: [String] = [], loopbackOnly: Bool = true) -> BrowserRules {
  var configuration = GatewayConfiguration()
  configuration.allowedOrigins = origins
  configuration.loopbackHostsOnly = loopbackOnly
  return BrowserRules(configuration)
}

extension BrowserRules {
  fileprivate func refusal(_ head: RequestHead) -> ProblemCode? {
    do throws(Problem) {
      try admit(head)
      return nil
    } catch {
      return error.code
    }
  }
}

struct BrowserRulesTests {
  @Test(arguments: [
    "localhost", "LOCALHOST", "localhost:8420", "127.0.0.1", "127.0.0.1:1", "127.255.0.3:8420",
    "[::1]", "[::1]:8420",
  ])
  func `loopback names are hosts of this machine`(host: String) {
    #expect(BrowserRules.isLoopback(host))
    #expect(rules().refusal(head(host: host)) == nil)
  }

  @Test(arguments: [
    "evil.example", "127.evil.example", "127.0.0.1.evil.example", "localhost.evil.example",
    "127.0.0.256", "127.0.0", "0.0.0.0", "10.0.0.1", "[::2]", "[::1]evil", "[::1", "::1",
    "localhost:80a", "localhost:", "127.0.0.1:8420:1", "127.0.0.01", "127.1.1.1.1",
  ])
  func `other names are refused without tokens`(host: String) {
    // A colon without digits is an empty port, which RFC 3986 allows.
    let isAllowed = host == "localhost:"
    #expect(BrowserRules.isLoopback(host) == isAllowed)
    #expect(rules().refusal(head(host: host)) == (isAllowed ? nil : .foreignHost))
    #expect(rules(loopbackOnly: false).refusal(head(host: host)) == nil)
  }

  @Test func `a page of this very server may call`() {
    #expect(rules().refusal(head([("origin", "http://localhost:8420")])) == nil)
    #expect(rules().refusal(head([("origin", "https://localhost:8420")], isTLS: true)) == nil)
  }

  @Test(arguments: [
    "https://evil.example", "null", "http://localhost:8421", "https://localhost:8420",
    "http://localhost:8420.evil.example", "file://", "",
  ])
  func `a page of elsewhere may not`(origin: String) {
    #expect(rules().refusal(head([("origin", origin)])) == .foreignOrigin)
  }

  @Test func `a named origin may call, and is let see the answer`() {
    let rules = rules(["https://app.example"])
    let named = head([("origin", "https://app.example")])
    #expect(rules.refusal(named) == nil)
    #expect(rules.refusal(head([("origin", "https://app.example.evil")])) == .foreignOrigin)
    let dressed = rules.dress(Headers(), for: named)
    #expect(dressed["access-control-allow-origin"] == "https://app.example")
    #expect(dressed["vary"] == "Origin")
    #expect(dressed["access-control-expose-headers"]?.contains("Millrace-Cursor") == true)
    // Caches must know that the answer depends on it even when there was none.
    #expect(rules.dress(Headers(), for: head())["vary"] == "Origin")
    #expect(rules.dress(Headers(), for: head())["access-control-allow-origin"] == nil)
  }

  @Test func `without named origins answers carry nothing of CORS`() {
    let dressed = rules().dress(
      Headers([("etag", "1")]), for: head([("origin", "http://localhost:8420")]))
    #expect(dressed.fields.count == 1)
  }

  @Test func `any origin may be named`() {
    #expect(rules(["*"]).refusal(head([("origin", "https://any.example")])) == nil)
  }

  @Test func `a preflight is told methods and headers`() {
    let rules = rules(["https://app.example"])
    var headers = Headers()
    rules.answerPreflight(
      head([
        ("origin", "https://app.example"), ("access-control-request-method", "POST"),
        ("access-control-request-headers", "last-event-id, record-header-trace, ce-id, x-odd"),
      ]), allow: "GET, HEAD, POST, OPTIONS", into: &headers)
    #expect(headers["access-control-allow-methods"] == "GET, HEAD, POST, OPTIONS")
    let taken = headers["access-control-allow-headers"] ?? ""
    for name in ["Last-Event-ID", "Content-Type", "Producer-Seq", "record-header-trace", "ce-id"] {
      #expect(taken.contains(name), "\(name)")
    }
    #expect(!taken.contains("x-odd"))
  }

  @Test func `a preflight without a named origin gets nothing`() {
    var headers = Headers()
    rules().answerPreflight(
      head([("origin", "http://localhost:8420"), ("access-control-request-method", "POST")]),
      allow: "GET", into: &headers)
    #expect(headers.fields.isEmpty)
  }

  @Test(arguments: [
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "Application/X-WWW-Form-Urlencoded ; charset=utf-8",
  ])
  func `form types are refused, whoever sends them`(type: String) {
    #expect(rules().refusal(head([("content-type", type)])) == .unsupportedMediaType)
  }
}
