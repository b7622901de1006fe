// Unsigned LEB128 varints: seven bits a byte, lowest first, at most ten bytes.
import NIOCore

public enum Varint {
  /// The bytes that `write` writes: 1 to 10.
  @inlinable
  public static func byteCount(_ value: UInt64) -> Int {
    (70 &- (value | 1).leadingZeroBitCount) / 7
  }

  /// Writes to `target` at `position`, where `byteCount` bytes are free, and moves it past.
  @inlinable
  static func write(
    _ value: UInt64, to target: UnsafeMutableRawBufferPointer, at position: inout Int
  ) {
    var rest = value
    while rest >= 0x80 {
      target[position] = UInt8(truncatingIfNeeded: rest) | 0x80
      position &+= 1
      rest >>= 7
    }
    target[position] = UInt8(truncatingIfNeeded: rest)
    position &+= 1
  }

  @inlinable
  public static func write(_ value: UInt64, into buffer: inout ByteBuffer) {
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 10) { target in
      var position = 0
      write(value, to: target, at: &position)
      return position
    }
  }

  /// Reads one varint at `position` and moves it past; nil if it is cut off, above 64 bits, or longer than
  /// it need be: a number has one form.
  @inlinable
  public static func read(_ bytes: UnsafeRawBufferPointer, at position: inout Int) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      if shift == 63, byte > 1 { return nil }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return byte == 0 && shift > 0 ? nil : value }
      shift += 7
      if shift > 63 { return nil }
    }
    return nil
  }
}
