// Doubt of oneself: a node that misses much is likely to be the slow one.

/// Lifeguard's local health multiplier (Dadgar, Phillips, Currey, DSN 2018, §IV.A): a saturating count. What the node
/// waits for, it waits for `multiplier` times as long.
public struct LocalHealth: Sendable {
  /// Lifeguard's S, as in memberlist: nine times as long at most.
  public static let scoreMax = 8

  public enum Sign: Hashable, Sendable {
    /// A probe was answered in time.
    case success
    /// A probe was answered by nobody.
    case missedAck
    /// So many helpers did not even say that they had no answer.
    case missedNacks(Int)
    /// Others suspected this node.
    case refuted
    /// The node did not run for a while.
    case stalled
  }

  /// 0 is healthy.
  public private(set) var score = 0

  public init() {}

  public var multiplier: Int { score + 1 }

  public mutating func note(_ sign: Sign) {
    switch sign {
    case .success: score -= 1
    case .missedAck, .refuted, .stalled: score += 1
    case .missedNacks(let count): score += min(max(0, count), Self.scoreMax)
    }
    score = min(max(0, score), Self.scoreMax)
  }
}
