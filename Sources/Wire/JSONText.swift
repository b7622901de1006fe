// Writes JSON on hot paths, straight into buffers: strings with their escapes and numbers.
import CPlatform
import NIOCore

public enum JSONText {
  /// Writes `bytes` as a JSON string, quotes included. What is not UTF-8 becomes U+FFFD, so that the result is
  /// always JSON.
  public static func writeEscapedString(
    _ bytes: UnsafeRawBufferPointer, into buffer: inout ByteBuffer
  ) {
    if writePlainString(bytes, into: &buffer) { return }
    let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    buffer.writeInteger(UInt8(ascii: "\""))
    var runStart = 0
    var position = 0
    func flush() {
      guard runStart < position else { return }
      buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[runStart..<position]))
    }
    while position < bytes.count {
      while position + Int(MILLRACE_STRING_BLOCK) <= bytes.count, let base {
        let hits = millrace_string_hits(base + position)
        if hits == 0 {
          position += Int(MILLRACE_STRING_BLOCK)
          continue
        }
        position += hits.trailingZeroBitCount >> Int(MILLRACE_STRING_SHIFT)
        break
      }
      guard position < bytes.count, let base else { break }
      let byte = base[position]
      if byte >= 0x80 {
        let count = UTF8Check.sequence(base + position, bytes.count - position)
        if count > 0 {
          position += count
          continue
        }
        flush()
        buffer.writeStaticString("\u{fffd}")
      } else if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
        position += 1
        continue
      } else {
        flush()
        writeEscape(byte, into: &buffer)
      }
      position += 1
      runStart = position
    }
    flush()
    buffer.writeInteger(UInt8(ascii: "\""))
  }

  /// The common case in one step: short enough to be looked at while it is copied, and nothing to escape.
  @inline(always)
  private static func writePlainString(
    _ bytes: UnsafeRawBufferPointer, into buffer: inout ByteBuffer
  ) -> Bool {
    guard let base = bytes.baseAddress, bytes.count <= 256 else { return false }
    let block = Int(MILLRACE_STRING_BLOCK)
    var position = 0
    while position + block <= bytes.count {
      guard millrace_string_hits(base + position) == 0 else { return false }
      position += block
    }
    while position < bytes.count {
      let byte = bytes[position]
      guard byte >= 0x20, byte < 0x80, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\")
      else { return false }
      position += 1
    }
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes.count + 2) { target in
      target[0] = UInt8(ascii: "\"")
      UnsafeMutableRawBufferPointer(rebasing: target[1...]).copyMemory(from: bytes)
      target[bytes.count + 1] = UInt8(ascii: "\"")
      return bytes.count + 2
    }
    return true
  }

  public static func writeEscapedString(_ text: String, into buffer: inout ByteBuffer) {
    var text = text
    text.withUTF8 { writeEscapedString(UnsafeRawBufferPointer($0), into: &buffer) }
  }

  private static func writeEscape(_ byte: UInt8, into buffer: inout ByteBuffer) {
    switch byte {
    case UInt8(ascii: "\""): buffer.writeStaticString("\\\"")
    case UInt8(ascii: "\\"): buffer.writeStaticString("\\\\")
    case 0x08: buffer.writeStaticString("\\b")
    case 0x09: buffer.writeStaticString("\\t")
    case 0x0a: buffer.writeStaticString("\\n")
    case 0x0c: buffer.writeStaticString("\\f")
    case 0x0d: buffer.writeStaticString("\\r")
    default:
      buffer.writeStaticString("\\u00")
      buffer.writeInteger(hexDigit(byte >> 4))
      buffer.writeInteger(hexDigit(byte & 15))
    }
  }

  private static func hexDigit(_ nibble: UInt8) -> UInt8 {
    nibble < 10 ? nibble + UInt8(ascii: "0") : nibble - 10 + UInt8(ascii: "a")
  }

  /// Writes `number` in decimal: 1044.
  public static func writeDecimal(_ number: UInt64, into buffer: inout ByteBuffer) {
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 20) { target in
      write(number, to: target)
    }
  }

  /// Writes `number` as a JSON string of decimal digits: "1044".
  public static func writeDecimalString(_ number: UInt64, into buffer: inout ByteBuffer) {
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 22) { target in
      target[0] = UInt8(ascii: "\"")
      let count = write(number, to: UnsafeMutableRawBufferPointer(rebasing: target[1...]))
      target[count + 1] = UInt8(ascii: "\"")
      return count + 2
    }
  }

  /// Writes decimal digits to the start of `target`, which has room for 20; returns how many.
  @inline(always)
  private static func write(_ number: UInt64, to target: UnsafeMutableRawBufferPointer) -> Int {
    var count = 1
    var bound: UInt64 = 10
    while count < 20, number >= bound {
      count += 1
      bound = count < 20 ? bound &* 10 : bound
    }
    var rest = number
    for place in stride(from: count - 1, through: 0, by: -1) {
      let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
      target[place] = UInt8(truncatingIfNeeded: digit) + UInt8(ascii: "0")
      rest = quotient
    }
    return count
  }
}
