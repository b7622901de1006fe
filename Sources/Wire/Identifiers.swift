// The small words that every room shares: places, terms and times that must never be mixed up.

/// A shard for ever: given once by the catalog and never used again, even after its stream is deleted.
public struct ShardID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  public var description: String { String(rawValue) }
}

/// A record's place in its shard: 0, 1, 2, … without holes.
public struct Offset: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static let zero = Offset(0)
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  public static func + (left: Self, count: Int) -> Self { Offset(left.rawValue + UInt64(count)) }
  public static func += (left: inout Self, count: Int) { left.rawValue += UInt64(count) }
  /// The number of records from `earlier` up to this one; traps if `earlier` is later.
  public func distance(from earlier: Offset) -> Int { Int(rawValue - earlier.rawValue) }
  public var description: String { String(rawValue) }
}

/// An owner's term over a shard. Of two owners the one with the higher epoch may write.
public struct Epoch: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  public var description: String { String(rawValue) }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
public struct Timestamp: Hashable, Comparable, Sendable {
  public var milliseconds: Int64
  public init(milliseconds: Int64) { self.milliseconds = milliseconds }
  public static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
}
