// The outbound client against peers that misbehave, over real sockets.
import NIOCore
import Synchronization
import Testing

@testable import Gateway

@Suite struct OutboundClientTests {
  @Test func `a request arrives as it was made, with nothing added that was not asked for`()
    async throws
  {
    let peer = try await Peer.start { channel, _, _ in channel.send(.ok) }
    try await withOutbound { caller in
      var headers = OutboundHeaders()
      headers.add("content-type", "application/json")
      headers.add("webhook-id", "msg_1")
      headers.add("X-Empty", "")
      headers.add("X-Forged", "a\r\nX-Evil: b\u{0}c")
      let url = "http://127.0.0.1:\(peer.port)/hook?x=%20y"
      let answer = try await caller.post(url, headers, body: #"{"a":1}"#).get()
      #expect(answer.status == 200)
      #expect(String(buffer: answer.body) == "ok")
      #expect(!answer.isCut)
      #expect(answer.remoteAddress == "127.0.0.1")
      #expect(answer.protocolVersion == .http1)
      #expect(answer.latency > .zero)
    }
    let lines = try #require(peer.requests.first).split(
      separator: "\r\n", omittingEmptySubsequences: false
    ).map(String.init)
    #expect(lines.first == "POST /hook?x=%20y HTTP/1.1")
    #expect(
      lines.dropFirst().dropLast(2).sorted() == [
        "Accept: */*", "Content-Length: 7", "Host: 127.0.0.1:\(peer.port)",
        "User-Agent: millrace/test", "X-Empty:", "X-Forged: a  X-Evil: b c",
        "content-type: application/json", "webhook-id: msg_1",
      ])
    #expect(lines.last == #"{"a":1}"#)
    try await peer.stop()
  }

  @Test func `an empty body and no headers are a request too`() async throws {
    let peer = try await Peer.start { channel, _, _ in channel.send(.ok) }
    try await withOutbound { caller in
      let answer = try await caller.post("http://127.0.0.1:\(peer.port)", body: "").get()
      #expect(answer.status == 200)
    }
    let request = try #require(peer.requests.first)
    #expect(request.contains("Content-Length: 0\r\n"))
    #expect(!request.lowercased().contains("content-type"))
    try await peer.stop()
  }

  @Test func `requests one after another share a connection`() async throws {
    let peer = try await Peer.start { channel, _, _ in channel.send(.ok) }
    try await withOutbound { caller in
      for _ in 0..<50 {
        let status = try await caller.post("http://127.0.0.1:\(peer.port)/").get().status
        #expect(status == 200)
      }
      #expect(caller.client.figures.connections == 1)
    }
    #expect(peer.connections == 1)
    try await peer.stop()
  }

  @Test func `a connection that the peer closes while it is idle costs a new one, no failure`()
    async throws
  {
    let peer = try await Peer.start { channel, _, number in
      channel.send(.ok)
      if number == 2 { channel.close(promise: nil) }
    }
    try await withOutbound { caller in
      for _ in 0..<10 {
        let status = try await caller.post("http://127.0.0.1:\(peer.port)/").get().status
        #expect(status == 200)
      }
    }
    #expect(peer.connections == 5)
    try await peer.stop()
  }

  @Test(arguments: [201, 204, 301, 302, 307, 308, 400, 401, 410, 429, 500, 503])
  func `any status is an answer, and nothing is followed`(status: Int) async throws {
    let peer = try await Peer.start { channel, _, _ in
      let body = status == 204 ? "" : "Content-Length: 0\r\n"
      channel.send(
        "HTTP/1.1 \(status) X\r\n\(body)Location: http://127.0.0.1/else\r\nRetry-After: 7\r\n"
          + "Set-Cookie: a=b\r\nWWW-Authenticate: Basic\r\n\r\n")
    }
    try await withOutbound { caller in
      for _ in 0..<2 {
        let answer = try await caller.post("http://127.0.0.1:\(peer.port)/").get()
        #expect(answer.status == status)
        #expect(answer.retryAfter == ([429, 503].contains(status) ? "7" : nil))
      }
    }
    #expect(peer.requests.count == 2)
    #expect(!peer.requests.contains { $0.contains("Cookie") || $0.contains("Authorization") })
    try await peer.stop()
  }

  @Test func `a gigabyte for an answer is cut after 64 KiB`() async throws {
    let sent = Mutex(0)
    let chunk = ByteBuffer(repeating: 120, count: 64 << 10)
    let peer = try await Peer.start { channel, _, _ in
      channel.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
      @Sendable func pump() {
        channel.writeAndFlush(chunk).whenSuccess {
          sent.withLock { $0 += chunk.readableBytes }
          pump()
        }
      }
      pump()
    }
    try await withOutbound { caller in
      let answer = try await caller.post("http://127.0.0.1:\(peer.port)/").get()
      #expect(answer.status == 200)
      #expect(answer.isCut)
      #expect(answer.body.readableBytes == 64 << 10)
    }
    try await peer.stop()
    // What fits into the sockets' buffers beside it.
    #expect(sent.withLock { $0 } < 32 << 20)
  }

  @Test func `an answer of exactly 64 KiB is whole`() async throws {
    let peer = try await Peer.start { channel, _, _ in
      channel.send("HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n")
      channel.send(String(repeating: "x", count: 64 << 10))
    }
    try await withOutbound { caller in
      for _ in 0..<2 {
        let answer = try await caller.post("http://127.0.0.1:\(peer.port)/").get()
        #expect(!answer.isCut)
        #expect(answer.body.readableBytes == 64 << 10)
      }
    }
    #expect(peer.connections == 1)
    try await peer.stop()
  }

  @Test func `a peer that never answers, or never ends, is given up in time`() async throws {
    let peer = try await Peer.start { channel, request, _ in
      if request.contains("/trickle") {
        channel.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
      } else if request.contains("/head") {
        channel.send("HTTP/1.1 200 OK\r\nX-Slow: ")
      }
    }
    try await withOutbound { caller in
      for path in ["silence", "trickle", "head"] {
        let failure = try await caller.failure(
          "http://127.0.0.1:\(peer.port)/\(path)", timeout: .milliseconds(300))
        #expect(failure.reason == .timeout)
        #expect(failure.remoteAddress == "127.0.0.1")
        #expect(failure.latency >= .milliseconds(300))
        #expect(failure.latency < .seconds(5))
        #expect(failure.isAboutEndpoint)
      }
    }
    try await peer.stop()
  }

  @Test(arguments: [
    ("", OutboundFailure.Reason.closed), ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", .closed),
    ("HTTP/1.1 200 OK\r\nX: ", .closed), ("no HTTP at all\r\n\r\n", .badAnswer),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab", .closed),
  ])
  func `an answer that breaks off is none`(text: String, reason: OutboundFailure.Reason)
    async throws
  {
    let peer = try await Peer.start { channel, _, _ in
      channel.writeAndFlush(ByteBuffer(string: text)).whenComplete { _ in
        channel.close(promise: nil)
      }
    }
    try await withOutbound { caller in
      let failure = try await caller.failure("http://127.0.0.1:\(peer.port)/secret-path")
      #expect(failure.reason == reason)
      #expect(!failure.text.contains("secret"))
    }
    try await peer.stop()
  }

  @Test func `headers without end are not kept`() async throws {
    let line = ByteBuffer(string: "X-More: " + String(repeating: "y", count: 8000) + "\r\n")
    let sent = Mutex(0)
    let peer = try await Peer.start { channel, _, _ in
      channel.send("HTTP/1.1 200 OK\r\n")
      @Sendable func pump() {
        channel.writeAndFlush(line).whenSuccess {
          sent.withLock { $0 += line.readableBytes }
          pump()
        }
      }
      pump()
    }
    try await withOutbound { caller in
      let failure = try await caller.failure(
        "http://127.0.0.1:\(peer.port)/", timeout: .seconds(10))
      #expect(failure.reason == .badAnswer)
    }
    try await peer.stop()
    #expect(sent.withLock { $0 } < 32 << 20)
  }

  @Test func `a port where nobody listens, and a name that stands for nothing`() async throws {
    try await withOutbound { caller in
      // tcpmux: the port of a peer that has stopped may be another's by then.
      let failure = try await caller.failure("http://127.0.0.1:1/")
      #expect(failure.reason == .connect)
      let other = try await caller.failure("http://nothing.invalid/")
      #expect(other.reason == .resolve)
    }
  }

  @Test func `many requests at once all get their own answers, over bounded connections`()
    async throws
  {
    let peer = try await Peer.start { channel, request, _ in
      let body = request.split(separator: "\r\n\r\n").last!
      channel.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }
    try await withOutbound { settings in
      settings.requestsPerOriginMax = 16
    } _: { caller in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for number in 0..<2000 {
          group.addTask {
            let answer = try await caller.post(
              "http://127.0.0.1:\(peer.port)/", body: "body \(number)"
            ).get()
            return String(buffer: answer.body) == "body \(number)"
          }
        }
        for try await isOwn in group { #expect(isOwn) }
      }
      #expect(caller.client.figures.requests == 2000)
      #expect(caller.client.figures.inFlight == 0)
    }
    #expect(peer.connections <= 16)
    try await peer.stop()
  }

  @Test func `a large body goes out whole`() async throws {
    let peer = try await Peer.start { channel, request, _ in
      channel.send("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 7\r\n\r\n\(request.utf8.count)")
    }
    try await withOutbound { caller in
      let answer = try await caller.post(
        "http://127.0.0.1:\(peer.port)/", body: String(repeating: "z", count: 4_000_000)
      ).get()
      let bytes = try #require(Int(String(buffer: answer.body)))
      #expect((4_000_000..<4_001_000).contains(bytes))
    }
    #expect(!peer.requests[0].contains("Expect"))
    try await peer.stop()
  }
}
