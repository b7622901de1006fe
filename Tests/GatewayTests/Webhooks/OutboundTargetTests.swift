// Which URLs can be endpoints, and which are refused before anything is dialled.
import Testing

@testable import Gateway

@Suite struct OutboundTargetTests {
  @Test(arguments: [
    ("https://svc.example/hook", "https://svc.example:443", "svc.example"),
    ("http://Svc.Example:8080/a?b=c", "http://svc.example:8080", "Svc.Example"),
    ("http://[2001:db8::1]:80/", "http://[2001:db8::1]:80", "2001:db8::1"),
    ("http://127.1/", "http://127.0.0.1:80", "127.0.0.1"),
    ("HTTP://0x7f.1/", "http://127.0.0.1:80", "127.0.0.1"),
  ])
  func `an endpoint is read as libcurl reads it`(url: String, origin: String, host: String) throws {
    let target = try OutboundTarget(url: url)
    #expect(target.origin == origin)
    #expect(target.host == host)
    #expect(target.isTLS == origin.hasPrefix("https"))
  }

  @Test(arguments: [
    "", "svc.example", "/hook", "//svc.example/", "http:", "http://", "https:///hook",
    "ftp://svc.example/", "file:///etc/passwd", "unix:/run/a", "gopher://svc.example/1",
    "http://user@svc.example/", "http://user:secret@svc.example/", "http://:@svc.example/",
    "http://svc.example/#a", "http://svc.example/#", "http://svc.example:0x50/",
    "http://svc.example:65536/", "http://svc.example/a b", "http://svc.example/\r\nX: y",
    "http://svc.example/\u{0}", "http://[::1", "http://[::1]x/", "http://a\u{7f}b/",
    "javascript:alert(1)", "http:/svc.example/", "http:\\\\svc.example/", "http:////svc.example/",
    "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", "http://127\u{3002}0.0.1/",
    "http://b\u{fc}cher.example/", "http://" + String(repeating: "a", count: 2048),
  ])
  func `anything else is no endpoint`(url: String) {
    #expect(throws: OutboundURLFault.self) { try OutboundTarget(url: url) }
  }

  @Test func `what is wrong is said without the URL's secrets`() {
    do {
      _ = try OutboundTarget(url: "http://user:hunter2@svc.example/?token=hunter2")
      Issue.record("a user was let through")
    } catch {
      #expect(!error.reason.contains("hunter2"))
    }
  }

  @Test(arguments: [
    "http://127.0.0.1/", "http://127.1/", "http://0x7f.1/", "http://0x7f000001/",
    "http://2130706433/", "http://017700000001/", "http://0/", "http://0.0.0.0/",
    "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:7f00:0001]:8420/", "http://[fe80::1%25eth0]/", "http://localhost/",
    "http://LOCALHOST:8420/", "http://localhost./", "http://a.localhost/", "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/", "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/", "https://192.168.1.1/", "http://127.0.0.%31/",
  ])
  func `a literal that is not public is refused at once, with the way out`(url: String) throws {
    let fault = try #require(
      throws: OutboundURLFault.self
    ) { try EgressPolicy().check(url: url) }
    #expect(fault.reason.contains("--webhook-allow"))
  }

  @Test(arguments: ["https://svc.example/hook", "http://8.8.8.8/", "http://[2606:4700::1111]/"])
  func `a public literal passes, and a name, which is judged when it is dialled`(url: String) {
    #expect(throws: Never.self) { try EgressPolicy().check(url: url) }
  }

  @Test func `what the operator allows passes`() throws {
    let range = try #require(AddressRange("127.0.0.0/8"))
    let policy = EgressPolicy(allowing: [range])
    for url in ["http://127.0.0.1:1/", "http://2130706433/", "http://localhost/"] {
      #expect(throws: Never.self) { try policy.check(url: url) }
    }
    #expect(throws: OutboundURLFault.self) { try policy.check(url: "http://[::1]/") }
  }
}
