// Opens compressed request bodies with zlib, and never makes more of them than a limit allows.
import CZlib
import NIOCore

public enum GzipFault: Error, Equatable, Sendable {
  /// The inflated bytes would be more than the limit.
  case tooLarge(bytesMax: Int)
  /// Not gzip, cut off, a wrong checksum, or something after the last member.
  case malformed
}

public enum Gzip {
  /// Inflates a gzip stream (RFC 1952) of one member or several, one after another.
  public static func inflate(_ compressed: ByteBuffer, limit: Int) throws(GzipFault) -> ByteBuffer {
    try compressed.withUnsafeReadableBytes { bytes throws(GzipFault) in
      try inflate(bytes, limit: limit)
    }
  }

  private static func inflate(
    _ bytes: UnsafeRawBufferPointer, limit: Int
  ) throws(GzipFault) -> ByteBuffer {
    guard !bytes.isEmpty else { throw .malformed }
    precondition(bytes.count <= UInt32.max && limit < UInt32.max, "bodies are below 4 GiB")
    var stream = z_stream()
    // 16 more than the window's 15 bits: a gzip header, and nothing else, is expected.
    let size = CInt(MemoryLayout<z_stream>.size)
    precondition(inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, size) == Z_OK, "out of memory")
    defer { inflateEnd(&stream) }
    stream.next_in = UnsafeMutablePointer(
      mutating: bytes.baseAddress!.assumingMemoryBound(to: UInt8.self))
    stream.avail_in = UInt32(bytes.count)
    // JSON shrinks to about a quarter; one byte more than the limit shows that it is passed.
    var output = ByteBuffer()
    output.reserveCapacity(min(limit + 1, max(bytes.count * 4, 1024)))
    while true {
      let room = min(max(output.writableBytes, 16 << 10), limit + 1 - output.readableBytes)
      var state = Z_OK
      output.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
        stream.next_out = target.baseAddress!.assumingMemoryBound(to: UInt8.self)
        stream.avail_out = UInt32(room)
        state = CZlib.inflate(&stream, Z_NO_FLUSH)
        return room - Int(stream.avail_out)
      }
      guard output.readableBytes <= limit else { throw .tooLarge(bytesMax: limit) }
      switch state {
      case Z_STREAM_END where stream.avail_in == 0: return output
      case Z_STREAM_END: guard inflateReset(&stream) == Z_OK else { throw .malformed }
      case Z_OK where stream.avail_out == 0 || stream.avail_in > 0: continue
      default: throw .malformed
      }
    }
  }
}
