// Compressed bodies: good ones, broken ones, bombs.
import NIOCore
import Testing

@testable import Wire

/// "hello, hello, hello" by Python's gzip module.
private let hello = "1f8b08000000000002ffcb48cdc9c9d751c840a2009fa1ca0913000000"
private let json = "1f8b08000000000002ffab564a54b232ac0500afac1b5607000000"

private func inflate(_ hexadecimal: String..., limit: Int = 1000) throws -> String {
  String(buffer: try Gzip.inflate(buffer(hexadecimal.joined()), limit: limit))
}

private func buffer(_ hexadecimal: String) -> ByteBuffer {
  var buffer = ByteBuffer()
  var rest = hexadecimal[...]
  while !rest.isEmpty {
    buffer.writeInteger(UInt8(rest.prefix(2), radix: 16)!)
    rest = rest.dropFirst(2)
  }
  return buffer
}

@Suite struct GzipTests {
  @Test func `a member is inflated, and several one after another`() throws {
    #expect(try inflate(hello) == "hello, hello, hello")
    #expect(try inflate(json, hello, json) == "{\"a\":1}hello, hello, hello{\"a\":1}")
  }

  @Test func `the limit holds for what comes out`() throws {
    #expect(try inflate(hello, limit: 19).utf8.count == 19)
    #expect(throws: GzipFault.tooLarge(bytesMax: 18)) { try inflate(hello, limit: 18) }
    #expect(throws: GzipFault.tooLarge(bytesMax: 20)) { try inflate(hello, json, limit: 20) }
  }

  @Test func `a bomb is stopped at the limit`() throws {
    var end = buffer("af069ecb791240420f00")
    // A million zero bytes, compressed to 1,003.
    var bomb = buffer("1f8b08000000000002ffedc101010000008220ffaf6e484001")
    bomb.writeRepeatingByte(0, count: 1003 - 25 - 10)
    bomb.writeBuffer(&end)
    #expect(try Gzip.inflate(bomb, limit: 1_000_000).readableBytes == 1_000_000)
    #expect(throws: GzipFault.tooLarge(bytesMax: 10_000)) {
      try Gzip.inflate(bomb, limit: 10_000)
    }
  }

  @Test func `what is broken is refused wherever it breaks`() throws {
    let bytes = buffer(hello).array
    for end in 0..<bytes.count {
      #expect(throws: GzipFault.malformed) {
        try Gzip.inflate(ByteBuffer(bytes: bytes[..<end]), limit: 1000)
      }
    }
    // Header (but for time, flags of speed and system, which say nothing), data, checksum, length.
    for place in [0, 1, 2] + (12..<bytes.count) {
      var broken = bytes
      broken[place] ^= 0x10
      #expect(throws: GzipFault.self, "byte \(place)") {
        try Gzip.inflate(ByteBuffer(bytes: broken), limit: 1000)
      }
    }
    #expect(throws: GzipFault.malformed) { try inflate(hello, "00") }
    #expect(throws: GzipFault.malformed) { try Gzip.inflate(ByteBuffer(string: "{}"), limit: 10) }
  }
}
