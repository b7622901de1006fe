// A hash of all that a node holds of the members, kept up change by change: equal hashes, equal views.

/// The exclusive or of a hash of each record's id and claim: taking one out and putting one in costs the same at any
/// size, and the order does not matter. The same on every machine and in every version, or nodes would exchange views
/// for ever.
public struct ViewDigest: Hashable, Sendable {
  public static let bucketCount = 256

  public private(set) var hash: UInt64 = 0
  /// The same, over the ids of each bucket alone: which 256th of the members differs.
  public private(set) var buckets = [UInt64](repeating: 0, count: bucketCount)

  public init() {}

  /// Puts in a record that is not there, or takes out one that is.
  mutating func toggle(place: UInt64, claim: Claim) {
    let record = Self.hash(place: place, claim: claim)
    hash ^= record
    buckets[Self.bucket(place: place)] ^= record
  }

  /// Of one record; `place` is that of the id.
  static func hash(place: UInt64, claim: Claim) -> UInt64 {
    mixed(
      mixed(place, claim.generation),
      UInt64(claim.incarnation) << 8 | UInt64(claim.status.rawValue))
  }

  public static func bucket(of id: MemberID) -> Int { bucket(place: id.place) }

  static func bucket(place: UInt64) -> Int { Int(place >> 56) }

  /// The finish of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) over both: a bit changed in either changes half of all.
  static func mixed(_ left: UInt64, _ right: UInt64) -> UInt64 {
    var mixed = (left ^ right &* 0x9e37_79b9_7f4a_7c15) &+ 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
