// HTTP/2 over real sockets, in frames made by hand: what clients that keep the rules never bring about.
import Testing

@testable import Gateway

private let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
private let headers: UInt8 = 1
private let reset: UInt8 = 3
private let settings: UInt8 = 4
private let windowUpdate: UInt8 = 8

private func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
  [0, UInt8(payload.count >> 8), UInt8(payload.count & 255), type, flags, 0, 0, 0, stream] + payload
}

/// A GET as a whole stream; fields are literals that are never indexed.
private func request(_ stream: UInt8, _ path: String) -> [UInt8] {
  var block: [UInt8] = []
  for text in [":method", "GET", ":scheme", "http", ":path", path, ":authority", "a"] {
    if text.first == ":" { block.append(0x10) }
    block += [UInt8(text.utf8.count)] + Array(text.utf8)
  }
  return frame(headers, 5, stream, block)
}

extension Client {
  /// Skips frames until one of this type and stream.
  fileprivate func frame(_ type: UInt8, _ stream: UInt8) throws -> [UInt8] {
    while true {
      let head = try receive(count: 9)
      let count = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
      let payload = try receive(count: count)
      if head[3] == type, head[8] == stream { return payload }
    }
  }
}

@Test func `an answer breaks off while its next frame waits for the socket`() async throws {
  try await withServer { server in
    let client = try Client(port: server.port, receiveBufferBytes: 4096)
    // Windows as wide as they go: the socket alone holds the answer back.
    let wide: [UInt8] = [0, 4, 0x7f, 0xff, 0xff, 0xff]
    try client.send(
      preface + frame(settings, 0, 0, wide) + frame(windowUpdate, 0, 0, [0x7f, 0xff, 0, 0])
        + request(1, "/breaks"))
    _ = try client.frame(headers, 1)
    // Read no more until the answer must have broken off: a second connection's later answer says when.
    let other = try Client(port: server.port)
    #expect(try other.get("/later?150").body == "later")
    _ = try client.frame(reset, 1)
    try client.send(request(3, "/head"))
    _ = try client.frame(headers, 3)
    #expect(try await server.counters().heldAnswerBytes == 0)
  }
}
