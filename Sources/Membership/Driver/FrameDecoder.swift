// From a stream's bytes to frames: four bytes of length, most significant first, then the frame.
import NIOCore

/// Holds at most one frame that is not whole, and what came in the same read behind it.
struct FrameDecoder {
  static let frameBytesMax = 65_536
  static let lengthBytes = 4

  struct TooLong: Error, Equatable { var bytes: Int }

  private var pending = ByteBuffer()

  /// Whether a frame has begun and is not whole: whoever sends it may be asked to hurry.
  var isWithinFrame: Bool { pending.readableBytes > 0 }

  mutating func append(_ bytes: inout ByteBuffer) {
    if pending.readableBytes == 0 {
      pending = bytes
    } else {
      // What was read is let go of, or a stream of many frames would grow the buffer for ever.
      pending.discardReadBytes()
      pending.writeBuffer(&bytes)
    }
  }

  /// The next whole frame, without its length; nil if more bytes are needed.
  /// - Throws: for a length of nothing or above `frameBytesMax`; the stream is of no use from there on.
  mutating func next() throws(TooLong) -> ByteBuffer? {
    guard let length = pending.getInteger(at: pending.readerIndex, as: UInt32.self) else {
      return nil
    }
    guard 1...Self.frameBytesMax ~= Int(length) else { throw TooLong(bytes: Int(length)) }
    guard pending.readableBytes >= Self.lengthBytes + Int(length) else { return nil }
    pending.moveReaderIndex(forwardBy: Self.lengthBytes)
    let frame = pending.readSlice(length: Int(length))
    // An idle stream keeps no memory.
    if pending.readableBytes == 0 { pending = ByteBuffer() }
    return frame
  }

  /// `frame` behind its length.
  static func encode(_ frame: ByteBuffer) -> ByteBuffer {
    precondition(1...frameBytesMax ~= frame.readableBytes, "a frame of \(frame.readableBytes)")
    var whole = ByteBuffer()
    whole.reserveCapacity(lengthBytes + frame.readableBytes)
    whole.writeInteger(UInt32(frame.readableBytes))
    whole.writeImmutableBuffer(frame)
    return whole
  }
}
