// What the client dials and what not, and whom it trusts: over real sockets, TLS and names.
import Glibc
import NIOCore
import Testing

@testable import Gateway

@Suite struct OutboundEgressTests {
  @Test(arguments: [
    "127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "0.0.0.0", "0", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost", "a.localhost", "127.0.0.%31",
  ])
  func `nothing that leads to this machine is dialled`(host: String) async throws {
    let peer = try await Peer.start { channel, _, _ in channel.send(.ok) }
    try await withOutbound(allowing: []) { caller in
      let failure = try await caller.failure("http://\(host):\(peer.port)/")
      guard case .refusedAddress(_, let range) = failure.reason else {
        Issue.record("\(host): \(failure)")
        return
      }
      #expect(["loopback", "unspecified"].contains(range))
      #expect(failure.isAboutEndpoint)
      #expect(caller.client.figures.connections == 0)
      #expect(caller.client.figures.refusedAddresses == 1)
    }
    #expect(peer.connections == 0)
    try await peer.stop()
  }

  @Test func `a name is judged by what it stands for when it is dialled`() async throws {
    let peer = try await Peer.start { channel, _, _ in channel.send(.ok) }
    let name = "svc.example:\(peer.port)"
    try await withOutbound(allowing: ["127.0.0.2/32"]) { settings in
      settings.pinnedNames = ["\(name):127.0.0.1"]
    } _: { caller in
      let failure = try await caller.failure("http://\(name)/")
      #expect(failure.reason == .refusedAddress(IPAddress("127.0.0.1")!, range: "loopback"))
    }
    // One of two addresses may be dialled: that one is.
    try await withOutbound(allowing: ["127.0.0.1/32"]) { settings in
      settings.pinnedNames = ["\(name):127.0.0.3,127.0.0.1"]
    } _: { caller in
      let answer = try await caller.post("http://\(name)/").get()
      #expect(answer.remoteAddress == "127.0.0.1")
      #expect(caller.client.figures.connections == 1)
    }
    #expect(peer.connections == 1)
    try await peer.stop()
  }

  @Test func `what the environment says about proxies does not count`() async throws {
    setenv("http_proxy", "http://127.0.0.1:1", 1)
    setenv("all_proxy", "http://127.0.0.1:1", 1)
    defer {
      unsetenv("http_proxy")
      unsetenv("all_proxy")
    }
    let peer = try await Peer.start { channel, _, _ in channel.send(.ok) }
    try await withOutbound { caller in
      let status = try await caller.post("http://127.0.0.1:\(peer.port)/").get().status
      #expect(status == 200)
    }
    try await peer.stop()
  }

  @Test func `TLS speaks HTTP/2 with whoever the operator trusts, many requests on a connection`()
    async throws
  {
    let certificates = try TestCertificates()
    let tls = certificates.tls
    let trust = try TrustStore(adding: certificates.authority)
    try await withServer {
      $0.tls = tls
    } _: { server in
      try await withOutbound(trust: trust) { caller in
        try await withThrowingTaskGroup(of: Void.self) { group in
          for number in 0..<100 {
            group.addTask {
              let answer = try await caller.post(
                "https://127.0.0.1:\(server.port)/echo", body: "number \(number)"
              ).get()
              #expect(answer.status == 200)
              #expect(answer.protocolVersion == .http2)
              #expect(String(buffer: answer.body) == "number \(number)")
            }
          }
          try await group.waitForAll()
        }
        let named = try await caller.post("https://localhost:\(server.port)/echo").get()
        #expect(named.status == 200)
        // One for each of the two names.
        #expect(caller.client.figures.connections <= 3)
      }
    }
  }

  @Test func `an endless answer over HTTP/2 is cut, and its connection goes on`() async throws {
    let certificates = try TestCertificates()
    let tls = certificates.tls
    let trust = try TrustStore(adding: certificates.authority)
    try await withServer {
      $0.tls = tls
    } _: { server in
      try await withOutbound(trust: trust) { caller in
        let answer = try await caller.post(
          "https://127.0.0.1:\(server.port)/flood?1073741824"
        ).get()
        #expect(answer.isCut)
        #expect(answer.body.readableBytes == 64 << 10)
        let next = try await caller.post("https://127.0.0.1:\(server.port)/echo", body: "on").get()
        #expect(String(buffer: next.body) == "on")
        #expect(caller.client.figures.connections == 1)
      }
    }
  }

  @Test func `a certificate of an authority that nobody trusts is refused, or of another name`()
    async throws
  {
    let certificates = try TestCertificates()
    let tls = certificates.tls
    try await withServer {
      $0.tls = tls
    } _: { server in
      try await withOutbound { caller in
        let failure = try await caller.failure("https://127.0.0.1:\(server.port)/echo")
        #expect(failure.reason == .tls)
        #expect(failure.text.contains("certificate"))
      }
      let trust = try TrustStore(adding: certificates.authority)
      try await withOutbound(trust: trust) { caller in
        let failure = try await caller.failure("https://127.0.0.2:\(server.port)/echo")
        #expect([.tls, .connect].contains(failure.reason))
      }
    }
  }

  @Test func `authorities that cannot be read are refused by the file's name`() {
    #expect(throws: TLSError.self) { try TrustStore(adding: "/nonexistent/ca.pem") }
    #expect(throws: TLSError.self) { try TrustStore(adding: "/dev/null") }
  }
}
