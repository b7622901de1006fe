// The server over real sockets: what a client of HTTP/1.1 sees.
import Testing

@testable import Gateway

@Test func `a connection is kept and carries one request after another`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    for _ in 0..<3 {
      let answer = try client.get("/head?q")
      #expect(answer.status == 200)
      #expect(answer.body.hasPrefix("GET q localhost "))
      #expect(answer.headers["request-id"]?.utf8.count == RequestID.generatedBytes)
      #expect(answer.body.hasSuffix(answer.headers["request-id"]!))
      #expect(answer.headers["date"]?.hasSuffix(" GMT") == true)
      #expect(answer.headers["connection"] == nil)
    }
    let counters = try await server.counters()
    #expect(counters.requestsHTTP1 == 3)
    #expect(counters.connectionsTotal == 1)
    #expect(counters.bytesIn > 0 && counters.bytesOut > 0 && counters.heldBodyBytes == 0)
  }
}

@Test func `a client's own request id is kept if it is sane`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    let kept = try client.get("/head", "Request-Id: my.own_id~1\r\n")
    #expect(kept.headers["request-id"] == "my.own_id~1")
    #expect(kept.body.hasSuffix(" my.own_id~1"))
    let made = try client.get("/head", "Request-Id: a b\r\n")
    #expect(made.headers["request-id"]?.utf8.count == RequestID.generatedBytes)
    let long = String(repeating: "a", count: 129)
    let other = try client.get("/head", "Request-Id: \(long)\r\n")
    #expect(other.headers["request-id"]?.utf8.count == RequestID.generatedBytes)
  }
}

@Test(arguments: [0, 1, 1000, 5000, 100_000, 4 << 20])
func `a body comes whole, by length and in chunks`(count: Int) async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    let body = String(repeating: "0123456789abcdef", count: (count + 15) / 16).prefix(count)
    try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n\(body)")
    let first = try client.answer()
    #expect(first.status == 200 && first.body == body)
    var chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    if count > 1 {
      let half = count / 2
      chunked += String(half, radix: 16) + "\r\n\(body.prefix(half))\r\n"
      chunked += String(count - half, radix: 16) + "\r\n\(body.dropFirst(half))\r\n0\r\n\r\n"
    } else {
      chunked += count == 0 ? "0\r\n\r\n" : "1\r\n\(body)\r\n0\r\n\r\n"
    }
    try client.send(chunked)
    let second = try client.answer()
    #expect(second.status == 200 && second.body == body)
    #expect(try await server.counters().heldBodyBytes == 0)
  }
}

@Test func `pipelined requests are answered in their order, whatever takes longer`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    var text = ""
    for index in 0..<100 {
      let path = index % 10 == 0 ? "/later?20" : "/head?\(index)"
      text += "GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n"
    }
    try client.send(text)
    for index in 0..<100 {
      let answer = try client.answer()
      #expect(answer.body.hasPrefix(index % 10 == 0 ? "later" : "GET \(index) a"))
    }
  }
}

@Test func `an unsafe request waits for those before it, a streamed answer too`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    try client.send(
      "GET /later?30 HTTP/1.1\r\nHost: a\r\n\r\n"
        + "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok"
        + "GET /stream?3 HTTP/1.1\r\nHost: a\r\n\r\nGET /head HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try client.answer().body == "later")
    #expect(try client.answer().body == "ok")
    #expect(try client.answer().body == "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n")
    #expect(try client.answer().body.hasPrefix("GET - a"))
  }
}

@Test func `answers without a body say so`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    try client.send("HEAD /large?5000 HTTP/1.1\r\nHost: a\r\n\r\n")
    let head = try client.answer(toHEAD: true)
    #expect(head.status == 200 && head.headers["content-length"] == "5000")
    let empty = try client.get("/empty")
    #expect(empty.status == 204 && empty.headers["content-length"] == nil)
    let unchanged = try client.get("/unchanged")
    #expect(unchanged.status == 304 && unchanged.headers["etag"] == "\"1\"")
    try client.send("HEAD /stream?3 HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try client.answer(toHEAD: true).status == 200)
    #expect(try client.get("/large?3").body == "xxx")
  }
}

@Test func `a value cannot forge a header`() async throws {
  try await withServer { server in
    let answer = try Client(port: server.port).get("/forged")
    #expect(answer.headers["x"] == "a  set-cookie: b")
    #expect(answer.headers["set-cookie"] == nil)
  }
}

@Test func `HTTP 1.0 gets its answer and the end of the connection`() async throws {
  try await withServer { server in
    let plain = try Client(port: server.port)
    try plain.send("GET /stream?2 HTTP/1.0\r\n\r\n")
    let text = try plain.receiveToEnd()
    #expect(text.contains("connection: close\r\n"))
    #expect(text.hasSuffix("\r\n\r\n{\"n\":0}\n{\"n\":1}\n"))
    let kept = try Client(port: server.port)
    try kept.send("GET /head HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    #expect(try kept.answer().headers["connection"] == "keep-alive")
    try kept.send("GET /head HTTP/1.0\r\n\r\n")
    #expect(try kept.answer().headers["connection"] == "close")
    #expect(try kept.receiveToEnd() == "")
  }
}

@Test func `connection close is obeyed, and nothing behind it is read`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    try client.send("GET /head?1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    try client.send("GET /head?2 HTTP/1.1\r\nHost: a\r\n\r\n")
    let answer = try client.answer()
    #expect(answer.headers["connection"] == "close")
    #expect(try client.receiveToEnd() == "")
    #expect(try await server.counters().requestsHTTP1 == 1)
  }
}

@Test func `a malformed request gets a problem document and the end`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    try client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
    let answer = try client.answer()
    #expect(answer.status == 400)
    #expect(answer.headers["content-type"] == "application/problem+json")
    #expect(answer.headers["connection"] == "close")
    #expect(answer.body.contains("\"code\":\"malformed_request\""))
    #expect(answer.body.contains("\"request_id\":\"\(answer.headers["request-id"]!)\""))
    #expect(try client.receiveToEnd() == "")
  }
}

@Test func `good requests before a malformed one are answered first`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port)
    try client.send("GET /later?20 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\r\n\r\n")
    #expect(try client.answer().body == "later")
    #expect(try client.answer().status == 400)
    #expect(try client.receiveToEnd() == "")
  }
}

@Test func `an oversized body is refused before it is sent, and the answer can be read`()
  async throws
{
  try await withServer { server in
    let client = try Client(port: server.port)
    try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
    // A client that goes on sending must not lose the answer to a reset.
    for _ in 0..<20 { try client.send([UInt8](repeating: 97, count: 100_000)) }
    let answer = try client.answer()
    #expect(answer.status == 413)
    #expect(answer.body.contains("4194304 bytes"))
    client.endSending()
    #expect(try client.receiveToEnd() == "")
  }
}

@Test func `a body is asked for only if its request is admitted`() async throws {
  try await withServer(configure: { configuration in
    configuration.admit = { head, length, _ in
      head.headers["content-type"] == "text/html"
        ? Answer(415, Headers([("x-length", "\(length ?? -1)")])) : nil
    }
  }) { server in
    let client = try Client(port: server.port)
    try client.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    #expect(try client.answer().status == 100)
    try client.send("ok")
    #expect(try client.answer().body == "ok")

    // Refused with its body already here: passed over, and the connection kept.
    let refused = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/html\r\n"
    try client.send(refused + "Content-Length: 2\r\n\r\nno")
    let early = try client.answer()
    #expect(early.status == 415 && early.headers["x-length"] == "2")
    #expect(early.headers["connection"] == nil)

    // Refused while the client waits for leave: nobody knows whether the body will come.
    try client.send(refused + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    let last = try client.answer()
    #expect(last.status == 415 && last.headers["connection"] == "close")
    client.endSending()
    #expect(try client.receiveToEnd() == "")

    let other = try Client(port: server.port)
    try other.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: a-pony\r\nContent-Length: 2\r\n\r\n")
    #expect(try other.answer().status == 417)
  }
}

@Test func `a client that ends its side still gets its answer`() async throws {
  try await withServer { server in
    for target in ["/later?30", "/stream?5", "/head"] {
      let client = try Client(port: server.port)
      try client.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
      client.endSending()
      #expect(try client.answer().status == 200)
      #expect(try client.receiveToEnd() == "")
    }
    let half = try Client(port: server.port)
    try half.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    half.endSending()
    #expect(try half.receiveToEnd() == "")
    #expect(try await server.counters().heldBodyBytes == 0)
  }
}

@Test func `a stream larger than all buffers flows at its reader's pace`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port, receiveBufferBytes: 16 << 10)
    try client.send("GET /flood?20000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    var bytes = 0
    while let piece = try client.receive() { bytes += piece.count }
    #expect(bytes > 20_000_000)
  }
}
