// The one source of chance: seeded, so that a simulation can be played again.

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). Not for secrets: those come from OpenSSL.
public struct Random: RandomNumberGenerator, Sendable {
  private var state: UInt64
  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  /// A number in 0..<bound.
  public mutating func below(_ bound: Int) -> Int { Int(next(upperBound: UInt64(bound))) }
  /// True once in `n` on average.
  public mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }
}
