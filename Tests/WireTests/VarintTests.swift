// Varints: every number has one form, and only that one is read.
import NIOCore
import Testing

@testable import Wire

@Suite struct VarintTests {
  @Test func `numbers come back in as many bytes as foretold`() {
    var random = Random(seed: 6)
    var numbers: [UInt64] = [0, 127, 128, 16_383, 16_384, .max, 1 << 63, (1 << 63) - 1]
    for _ in 0..<2000 { numbers.append(random.anySize()) }
    for number in numbers {
      var buffer = ByteBuffer()
      Varint.write(number, into: &buffer)
      #expect(buffer.readableBytes == Varint.byteCount(number))
      var position = 0
      let read = withBytes(of: buffer.array) { Varint.read($0, at: &position) }
      #expect(read == number && position == buffer.readableBytes)
      for count in 0..<buffer.readableBytes {
        var start = 0
        let cut = withBytes(of: Array(buffer.array[..<count])) { Varint.read($0, at: &start) }
        #expect(cut == nil)
      }
    }
  }

  @Test(
    arguments: [
      [0x80, 0x00], [0xff, 0x80, 0x00],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 0x00],
    ] as [[UInt8]])
  func `longer forms and larger numbers are refused`(bytes: [UInt8]) {
    var position = 0
    #expect(withBytes(of: bytes) { Varint.read($0, at: &position) } == nil)
  }
}
