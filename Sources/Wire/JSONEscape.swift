// What JSON strings mean: escapes turned back into the bytes they stand for.
import NIOCore

enum JSONEscape {
  /// The UTF-16 unit that `\uXXXX` at `place` names; nil if that is not there.
  static func unit(_ base: UnsafePointer<UInt8>, at place: Int, end: Int) -> UInt32? {
    guard place + 6 <= end, base[place] == UInt8(ascii: "\\"), base[place + 1] == UInt8(ascii: "u")
    else { return nil }
    var unit: UInt32 = 0
    for index in 2..<6 {
      guard let digit = hexDigit(base[place + index]) else { return nil }
      unit = unit << 4 | digit
    }
    return unit
  }

  private static func hexDigit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
  }
}

extension JSONScanner {
  /// What stands between the quotes of a checked JSON string, if nothing in it is escaped: the string's own UTF-8
  /// bytes without a copy. nil if an escape must be undone first, or if `string` is not a string.
  public static func plainContent(of string: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    guard string.count >= 2, string[0] == UInt8(ascii: "\"") else { return nil }
    let content = UnsafeRawBufferPointer(rebasing: string[1..<(string.count - 1)])
    return content.contains(UInt8(ascii: "\\")) ? nil : content
  }

  /// The UTF-8 bytes that a checked JSON string (quotes included) stands for: `"a\u00e9"` gives 61 C3 A9.
  public static func unescaped(_ string: UnsafeRawBufferPointer) -> [UInt8] {
    precondition(string.first == UInt8(ascii: "\""), "only strings can be unescaped")
    guard string.count >= 2 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: string.count) { target, count in
      let base = string.baseAddress!.assumingMemoryBound(to: UInt8.self)
      let end = string.count - 1
      var position = 1
      func put(_ byte: UInt8) {
        target[count] = byte
        count += 1
      }
      while position < end {
        let byte = base[position]
        guard byte == UInt8(ascii: "\\"), position + 1 < end else {
          put(byte)
          position += 1
          continue
        }
        guard base[position + 1] == UInt8(ascii: "u") else {
          put(simpleEscape(base[position + 1]))
          position += 2
          continue
        }
        var scalar = JSONEscape.unit(base, at: position, end: end) ?? 0xfffd
        position = min(position + 6, end)
        if (0xd800..<0xdc00).contains(scalar),
          let low = JSONEscape.unit(base, at: position, end: end), (0xdc00..<0xe000).contains(low)
        {
          scalar = 0x10000 + (scalar - 0xd800) << 10 + (low - 0xdc00)
          position += 6
        }
        for byte in UTF8.encode(Unicode.Scalar(scalar) ?? "\u{fffd}")! { put(byte) }
      }
    }
  }

  /// As `unescaped`, as text.
  public static func text(of string: UnsafeRawBufferPointer) -> String {
    if let plain = plainContent(of: string) { return String(decoding: plain, as: UTF8.self) }
    return String(decoding: unescaped(string), as: UTF8.self)
  }

  private static func simpleEscape(_ letter: UInt8) -> UInt8 {
    switch letter {
    case UInt8(ascii: "b"): 0x08
    case UInt8(ascii: "t"): 0x09
    case UInt8(ascii: "n"): 0x0a
    case UInt8(ascii: "f"): 0x0c
    case UInt8(ascii: "r"): 0x0d
    default: letter
    }
  }
}
