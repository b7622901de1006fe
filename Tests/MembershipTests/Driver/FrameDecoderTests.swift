// Frames from a stream's bytes, however they are cut.
import NIOCore
import Testing

@testable import Membership

@Suite struct FrameDecoderTests {
  private func frames(_ decoder: inout FrameDecoder) throws -> [String] {
    var found: [String] = []
    while let frame = try decoder.next() { found.append(String(buffer: frame)) }
    return found
  }

  @Test func `two frames come out whole, wherever the bytes are cut`() throws {
    var wire = FrameDecoder.encode(ByteBuffer(string: "first"))
    wire.writeImmutableBuffer(FrameDecoder.encode(ByteBuffer(string: "second one")))
    for cut in 0...wire.readableBytes {
      var decoder = FrameDecoder()
      var front = wire.getSlice(at: 0, length: cut)!
      var back = wire.getSlice(at: cut, length: wire.readableBytes - cut)!
      decoder.append(&front)
      var found = try frames(&decoder)
      decoder.append(&back)
      found += try frames(&decoder)
      #expect(found == ["first", "second one"])
      #expect(!decoder.isWithinFrame)
    }
  }

  @Test func `a frame that has begun is known to be owed`() throws {
    var decoder = FrameDecoder()
    #expect(!decoder.isWithinFrame)
    var bytes = ByteBuffer(bytes: [0])
    decoder.append(&bytes)
    #expect(try decoder.next() == nil)
    #expect(decoder.isWithinFrame)
  }

  @Test(arguments: [0, 65_537, UInt32.max])
  func `a length that no frame has is refused before anything is kept for it`(length: UInt32) {
    var decoder = FrameDecoder()
    var bytes = ByteBuffer()
    bytes.writeInteger(length)
    decoder.append(&bytes)
    #expect(throws: FrameDecoder.TooLong(bytes: Int(length))) { try decoder.next() }
  }

  @Test func `the longest frame passes`() throws {
    let longest = ByteBuffer(repeating: 7, count: FrameDecoder.frameBytesMax)
    var decoder = FrameDecoder()
    var wire = FrameDecoder.encode(longest)
    decoder.append(&wire)
    #expect(try decoder.next() == longest)
  }
}
