// What members tell of themselves, as pairs and as bytes.
import Membership
import NIOCore
import Testing
import Wire

@Suite struct `What a member tells` {
  @Test func `holds pairs by name, in whatever order they came`() throws {
    let metadata = try Metadata(pairs: [("zone", "b"), ("gateway", "10.0.0.7:8420"), ("load", "")])
    #expect(metadata.pairs.map(\.name) == ["gateway", "load", "zone"])
    #expect(metadata["gateway"] == "10.0.0.7:8420")
    #expect(metadata["load"] == "")
    #expect(metadata["capacity"] == nil)
    #expect(try metadata == Metadata(pairs: metadata.pairs.reversed()))
    #expect(Metadata().isEmpty && Metadata().pairs.isEmpty)
  }

  @Test func `is written as an object of JSON`() throws {
    var buffer = ByteBuffer()
    try Metadata(pairs: [("zone", "\"b\"\n"), ("a", "é")]).writeJSON(into: &buffer)
    Metadata().writeJSON(into: &buffer)
    #expect(String(buffer: buffer) == #"{"a":"é","zone":"\"b\"\n"}{}"#)
  }

  @Test func `refuses names that are none, names said twice, and more than 512 bytes`() throws {
    #expect(throws: MetadataError.invalidName("a b")) { try Metadata(pairs: [("a b", "")]) }
    #expect(throws: MetadataError.invalidName("")) { try Metadata(pairs: [("", "x")]) }
    #expect(throws: MetadataError.repeatedName("a")) {
      try Metadata(pairs: [("a", "1"), ("b", "2"), ("a", "1")])
    }
    // A length of one byte, a name of one, a length of two.
    let full = String(repeating: "v", count: 508)
    #expect(try Metadata(pairs: [("a", full)]).encoded.count == 512)
    #expect(throws: MetadataError.tooLarge(bytes: 513, bytesMax: 512)) {
      try Metadata(pairs: [("a", full + "v")])
    }
  }

  @Test(arguments: UInt64(1)...40)
  func `is read back from its bytes, and from no others`(seed: UInt64) throws {
    var random = Random(seed: seed)
    let names = (0..<random.below(12)).map { "n\($0)" }
    let metadata = try Metadata(
      pairs: names.map { ($0, String(repeating: "é", count: random.below(12))) })
    #expect(metadata.encoded.withUnsafeBytes { Metadata(encoded: $0) } == metadata)
    for _ in 0..<200 {
      var bytes = metadata.encoded
      for _ in 0...random.below(3) {
        switch random.below(3) {
        case 0 where !bytes.isEmpty:
          bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
        case 1 where !bytes.isEmpty: bytes.remove(at: random.below(bytes.count))
        default: bytes.insert(UInt8(random.below(256)), at: random.below(bytes.count + 1))
        }
      }
      // What is taken has one form.
      guard let read = bytes.withUnsafeBytes({ Metadata(encoded: $0) }) else { continue }
      #expect(read.encoded == bytes)
      #expect(try Metadata(pairs: read.pairs).encoded == bytes)
    }
  }

  @Test(arguments: [
    [1], [1, 0x61], [1, 0x61, 1], [1, 0x61, 1, 0xff], [0, 0], [1, 0x20, 0],
    [1, 0x62, 0, 1, 0x61, 0],
    [1, 0x61, 0, 1, 0x61, 0], [0x81, 0, 0x61, 0], [1, 0x61, 0, 0],
  ])
  func `is refused when it is cut, out of order, twice said or no text`(bytes: [UInt8]) {
    #expect(bytes.withUnsafeBytes { Metadata(encoded: $0) } == nil)
  }
}
