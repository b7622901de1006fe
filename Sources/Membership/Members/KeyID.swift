// The name of a key, which may be shown; the key may not.

/// The first four bytes of a hash of the key, as a big-endian number.
public struct KeyID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: UInt32

  public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  public static func < (left: KeyID, right: KeyID) -> Bool { left.rawValue < right.rawValue }

  /// Eight hexadecimal digits: 0badc0de.
  public var description: String {
    let digits = String(rawValue, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }
}
