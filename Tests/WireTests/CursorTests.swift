// Cursors: one text a place, small, and never another place when damaged.
import NIOCore
import Testing

@testable import Wire

extension Random {
  mutating func cursor() -> Cursor {
    let place: Cursor.Place =
      oneIn(2)
      ? .shard(below(1024), Offset(anySize()))
      : .allShards((0..<(below(64) + 1)).map { _ in Offset(anySize()) })
    return Cursor(incarnation: anySize(), place: place, isEnded: oneIn(2))
  }
}

@Suite struct CursorTests {
  @Test(arguments: 0..<20 as Range<UInt64>) func `a cursor comes back`(seed: UInt64) throws {
    var random = Random(seed: seed)
    for _ in 0..<100 {
      let cursor = random.cursor()
      let text = cursor.encoded()
      #expect(text.hasPrefix("c1"))
      #expect(try Cursor(decoding: text) == cursor)
      #expect(try Cursor(decoding: text).encoded() == text)
    }
  }

  @Test func `the ends of 64 bits come back`() throws {
    for offsets: [UInt64] in [[.max, 0, .max], [0, 1 << 63, .max - 1, 1]] {
      let cursor = Cursor(incarnation: .max, place: .allShards(offsets.map { Offset($0) }))
      #expect(try Cursor(decoding: cursor.encoded()) == cursor)
    }
    let ends = Cursor(
      incarnation: .max, place: .allShards((0..<64).map { Offset($0 % 2 == 0 ? 0 : 1 << 63) }))
    #expect(try Cursor(decoding: ends.encoded()) == ends)
  }

  @Test func `any changed, lost or added letter is noticed`() throws {
    var random = Random(seed: 11)
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    for _ in 0..<30 {
      let cursor = random.cursor()
      let text = Array(cursor.encoded().utf8)
      for place in text.indices {
        for letter in [random.element(of: letters), UInt8(ascii: "="), 0, 0xff]
        where letter != text[place] {
          var broken = text
          broken[place] = letter
          #expect(throws: CursorFault.self) {
            try Cursor(decoding: String(decoding: broken, as: UTF8.self))
          }
        }
      }
      for count in 0..<text.count {
        #expect(throws: CursorFault.damaged) {
          try Cursor(decoding: String(decoding: text[..<count], as: UTF8.self))
        }
      }
      for tail in ["A", "AAAA", "=", " ", "\n", cursor.encoded()] {
        #expect(throws: CursorFault.damaged) { try Cursor(decoding: cursor.encoded() + tail) }
      }
    }
  }

  @Test(arguments: ["", "c1", "earliest", "AAAAAAAA", "hello world", "c1éé", "123", "-1"])
  func `what is no cursor is refused`(text: String) {
    #expect(throws: CursorFault.damaged) { try Cursor(decoding: text) }
  }

  /// The bytes before the checksum, and what comes of them.
  @Test(
    arguments: [
      ([0x73, 0x60, 1, 0, 0], .unknownVersion), ([0x73, 0x54, 1, 0, 0], .unknownVersion),
      ([0x73, 0x58, 1, 0, 0], .unknownVersion), ([0x72, 0x50, 1, 0, 0], .damaged),
      ([0x73, 0x50], .damaged), ([0x73, 0x50, 1], .damaged), ([0x73, 0x50, 1, 0], .damaged),
      ([0x73, 0x50, 1, 0, 0, 0], .damaged), ([0x73, 0x52, 1, 0], .damaged),
      ([0x73, 0x52, 1, 2, 0], .damaged), ([0x73, 0x52, 1, 1, 0, 0], .damaged),
      ([0x73, 0x52, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0], .damaged),
      ([0x73, 0x50, 1, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], .damaged),
      // Numbers longer than need be: another text of the same place.
      ([0x73, 0x50, 0x81, 0, 0, 0], .damaged), ([0x73, 0x50, 1, 0, 0x80, 0], .damaged),
    ] as [([UInt8], CursorFault)])
  func `bytes that nobody wrote are refused under a good checksum too`(
    bytes: [UInt8], fault: CursorFault
  ) {
    var whole = ByteBuffer(bytes: bytes)
    whole.writeInteger(withBytes(of: bytes) { CRC32C.checksum($0) }, endianness: .little)
    let text = whole.withUnsafeReadableBytes { Base64.encode($0, .url) }
    #expect(throws: fault) { try Cursor(decoding: text) }
  }

  @Test func `cursors stay small`() {
    func length(_ place: Cursor.Place, incarnation: UInt64 = 1 << 40) -> Int {
      Cursor(incarnation: incarnation, place: place, isEnded: true).encoded().utf8.count
    }
    var random = Random(seed: 2)
    #expect(length(.shard(1023, Offset(.max)), incarnation: .max) <= 38)
    #expect(length(.shard(0, Offset(1_000_000_000))) <= 28)
    // 32 shards within 2^13 records of each other, anywhere: no preflight (128 bytes).
    let near = (0..<32).map { _ in Offset(1 << 40 + UInt64(random.below(1 << 13))) }
    #expect(length(.allShards(near)) < 128)
    // 64 shards anywhere below 2^34.
    let far = (0..<64).map { Offset($0 % 2 == 0 ? 0 : 1 << 34 - 1) }
    #expect(length(.allShards(far), incarnation: .max) <= 512)
  }

  @Test func `the golden cursors still mean what they meant`() throws {
    let expected: [Cursor] = [
      Cursor(incarnation: 1, place: .shard(0, .zero)),
      Cursor(incarnation: 300, place: .shard(3, Offset(1044)), isEnded: true),
      Cursor(incarnation: .max, place: .shard(1023, Offset(.max))),
      Cursor(incarnation: 7, place: .allShards([Offset(5)])),
      Cursor(
        incarnation: 1_234_567,
        place: .allShards([Offset(1000), Offset(998), Offset(1_000_000), .zero]),
        isEnded: true),
    ]
    let lines = try goldenLines("cursor-v1.txt").filter { !$0.hasPrefix("#") }
    #expect(lines == expected.map { $0.encoded() })
    for (line, cursor) in zip(lines, expected) { #expect(try Cursor(decoding: line) == cursor) }
  }
}
