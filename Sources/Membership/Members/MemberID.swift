// The name of a member, as its operator gave it.
import Wire

/// 1 to 64 letters, digits, dots, underscores and hyphens of ASCII: fit for a log line, a file name, a metric's label.
public struct MemberID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public static let bytesMax = 64

  public let text: String
  /// Where it lies on the ring of all members, the same for everyone: XXH64 of the text. Worked out once, for nearly
  /// all that is done with an id begins with it.
  public let place: UInt64

  /// nil for what is empty, too long, or has other characters.
  public init?(_ text: String) {
    var text = text
    guard text.withUTF8({ Self.isName(UnsafeRawBufferPointer($0)) }) else { return nil }
    place = KeyHash.xxh64(text)
    self.text = text
  }

  public init?(_ bytes: UnsafeRawBufferPointer) {
    guard Self.isName(bytes) else { return nil }
    place = KeyHash.xxh64(bytes)
    text = String(decoding: bytes, as: UTF8.self)
  }

  /// By bytes.
  public static func < (left: MemberID, right: MemberID) -> Bool { left.text < right.text }

  public static func == (left: MemberID, right: MemberID) -> Bool {
    left.place == right.place && left.text == right.text
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(place) }

  public var description: String { text }

  static func isName(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard 1...bytesMax ~= bytes.count else { return false }
    for byte in bytes {
      let word = byte < 64 ? lowSet : byte < 128 ? highSet : 0
      guard word >> (UInt64(byte) & 63) & 1 == 1 else { return false }
    }
    return true
  }

  /// The characters below 64, a bit each: - . 0…9
  private static let lowSet: UInt64 = 0x03ff_6000_0000_0000
  /// Those from 64 on: A…Z _ a…z
  private static let highSet: UInt64 = 0x07ff_fffe_87ff_fffe
}
