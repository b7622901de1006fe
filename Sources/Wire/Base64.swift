// Base64, RFC 4648: the standard alphabet with padding, and the one for URLs without.
import NIOCore

public enum Base64 {
  public enum Alphabet: Sendable {
    /// `+` and `/`, padded with `=`.
    case standard
    /// `-` and `_`, no padding.
    case url
  }

  public static func encode(
    _ bytes: UnsafeRawBufferPointer, _ alphabet: Alphabet = .standard, into buffer: inout ByteBuffer
  ) {
    let letters = alphabet == .standard ? standardLetters : urlLetters
    let capacity = (bytes.count + 2) / 3 * 4
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: capacity) { target in
      letters.utf8Start.withMemoryRebound(to: UInt8.self, capacity: 64) { letters in
        encode(bytes, letters, isPadded: alphabet == .standard, to: target)
      }
    }
  }

  public static func encode(
    _ bytes: UnsafeRawBufferPointer, _ alphabet: Alphabet = .standard
  ) -> String {
    var buffer = ByteBuffer()
    encode(bytes, alphabet, into: &buffer)
    return String(buffer: buffer)
  }

  /// The bytes that `text` stands for; nil unless it is exactly what `encode` writes: a letter of the other alphabet,
  /// a padding missing or too much, whitespace, or bits set beyond the last byte are refused.
  public static func decode(
    _ text: UnsafeRawBufferPointer, _ alphabet: Alphabet = .standard
  ) -> [UInt8]? {
    var isGood = false
    let bytes = [UInt8](unsafeUninitializedCapacity: text.count / 4 * 3 + 3) { target, count in
      guard let written = decode(text, alphabet, into: UnsafeMutableRawBufferPointer(target)) else {
        return
      }
      count = written
      isGood = true
    }
    return isGood ? bytes : nil
  }

  /// Writes them to `target`, where there is room for three for each four letters begun; how many they were.
  static func decode(
    _ text: UnsafeRawBufferPointer, _ alphabet: Alphabet, into target: UnsafeMutableRawBufferPointer
  ) -> Int? {
    var letters = text
    if alphabet == .standard {
      guard letters.count % 4 == 0 else { return nil }
      for _ in 0..<2 where letters.last == UInt8(ascii: "=") {
        letters = UnsafeRawBufferPointer(rebasing: letters.dropLast())
      }
    }
    guard letters.count % 4 != 1 else { return nil }
    precondition(target.count >= letters.count * 3 / 4, "\(letters.count) in \(target.count)")
    var count = 0
    var group: UInt32 = 0
    var bits = 0
    for letter in letters {
      let value = value(of: letter, alphabet)
      guard value < 64 else { return nil }
      group = group << 6 | UInt32(value)
      bits += 6
      if bits >= 8 {
        bits -= 8
        target[count] = UInt8(truncatingIfNeeded: group >> UInt32(bits))
        count += 1
      }
    }
    return group & (1 << UInt32(bits) - 1) == 0 ? count : nil
  }

  public static func decode(_ text: String, _ alphabet: Alphabet = .standard) -> [UInt8]? {
    var text = text
    return text.withUTF8 { decode(UnsafeRawBufferPointer($0), alphabet) }
  }

  private static let standardLetters: StaticString =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  private static let urlLetters: StaticString =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

  private static func encode(
    _ bytes: UnsafeRawBufferPointer, _ letters: UnsafePointer<UInt8>, isPadded: Bool,
    to target: UnsafeMutableRawBufferPointer
  ) -> Int {
    var written = 0
    func put(_ group: UInt32, _ count: Int) {
      for place in 0..<count {
        target[written] = letters[Int(group >> UInt32(18 - 6 * place) & 63)]
        written += 1
      }
    }
    var position = 0
    while position + 3 <= bytes.count {
      put(
        UInt32(bytes[position]) << 16 | UInt32(bytes[position + 1]) << 8
          | UInt32(bytes[position + 2]), 4)
      position += 3
    }
    let left = bytes.count - position
    guard left > 0 else { return written }
    put(
      UInt32(bytes[position]) << 16 | (left == 2 ? UInt32(bytes[position + 1]) << 8 : 0), left + 1)
    if isPadded {
      for _ in left..<3 {
        target[written] = UInt8(ascii: "=")
        written += 1
      }
    }
    return written
  }

  /// 64 and above for what is not a letter.
  private static func value(of letter: UInt8, _ alphabet: Alphabet) -> UInt8 {
    switch letter {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): letter - UInt8(ascii: "A")
    case UInt8(ascii: "a")...UInt8(ascii: "z"): letter - UInt8(ascii: "a") + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): letter - UInt8(ascii: "0") + 52
    case UInt8(ascii: "+") where alphabet == .standard: 62
    case UInt8(ascii: "/") where alphabet == .standard: 63
    case UInt8(ascii: "-") where alphabet == .url: 62
    case UInt8(ascii: "_") where alphabet == .url: 63
    default: 64
    }
  }
}
