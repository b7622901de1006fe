// How long a suspected member has to refute: long for one accuser, shorter with each further one.
import Glibc

/// Lifeguard §IV.B: the time decays from `max` to `min` as independent accusers join,
/// max − (max − min) · log(C + 1) / log(K + 1) for C of K further ones. A node whose own packets get lost accuses alone
/// and has to wait; of a crash all are soon sure.
public struct Suspicion: Sendable {
  /// SWIM's suspicion time in memberlist's terms: gossip reaches everyone several times over.
  public static let leastMin = Duration.seconds(4)
  /// Lifeguard's beta, as in memberlist.
  public static let maxFactor = 6
  /// When two members saw UDP and TCP refused: the process is gone. Enough for it to refute if it is not.
  public static let refusedTimeout = Duration.milliseconds(500)
  /// Lifeguard's K.
  public static let furtherMax = 3

  /// When the silence began: at the accuser when the failed probe did, at others when they heard of it.
  public private(set) var startedAt: Instant
  /// How many further accusers shorten it, K.
  public let furtherExpected: Int
  public let min: Duration
  public let max: Duration
  /// Each counted once; not more than are needed: K + 1, and two that saw it refused.
  public private(set) var accusers: [MemberID] = []
  private var refusing: [MemberID] = []

  /// - Parameter accuser: None if it came without one, as part of a whole view.
  public init(
    startedAt: Instant, furtherExpected: Int, min: Duration, max: Duration, by accuser: MemberID?,
    isRefused: Bool
  ) {
    precondition(furtherExpected >= 0 && min <= max, "\(furtherExpected) further, \(min)…\(max)")
    self.startedAt = startedAt
    self.furtherExpected = furtherExpected
    self.min = min
    self.max = max
    if let accuser { confirm(by: accuser, isRefused: isRefused) }
  }

  /// Counts an accuser. True if that was news, and worth telling others.
  @discardableResult
  public mutating func confirm(by accuser: MemberID, isRefused: Bool) -> Bool {
    var isNews = false
    if accusers.count <= furtherExpected, !accusers.contains(accuser) {
      accusers.append(accuser)
      isNews = true
    }
    if isRefused, refusing.count < 2, !refusing.contains(accuser) {
      refusing.append(accuser)
      isNews = true
    }
    return isNews
  }

  /// Seen by two members, who cannot both be cut off from it in the same way by chance.
  public var isRefusedByTwo: Bool { refusing.count >= 2 }

  public var timeout: Duration {
    let decayed = Self.timeout(
      further: Swift.max(0, accusers.count - 1), of: furtherExpected, min: min, max: max)
    return isRefusedByTwo ? Swift.min(decayed, Self.refusedTimeout) : decayed
  }

  public var deadline: Instant { startedAt + timeout }

  /// Time in which the node did not run does not count.
  public mutating func shift(by lateness: Duration) { startedAt += lateness }

  /// Lifeguard's formula, in whole milliseconds.
  static func timeout(further: Int, of expected: Int, min: Duration, max: Duration) -> Duration {
    guard expected > 0, further < expected else { return min }
    let share = log(Double(further + 1)) / log(Double(expected + 1))
    let decay = Double((max - min).milliseconds) * share
    return Swift.max(min, max - .milliseconds(Int64(decay.rounded())))
  }

  /// The shortest time for a silent member of a cluster of `members`: at least 4 s, and four gossip rounds for each
  /// doubling of the cluster.
  public static func min(members: Int, gossipInterval: Duration) -> Duration {
    Swift.max(leastMin, gossipInterval * (4 * ceilingOfLog2(members)))
  }

  /// K for a cluster of `members`: with the accuser and the accused there are not more.
  public static func furtherExpected(members: Int) -> Int {
    Swift.min(furtherMax, Swift.max(0, members - 2))
  }
}

/// ⌈log2 count⌉; 0 for 1 and less.
func ceilingOfLog2(_ count: Int) -> Int {
  count <= 1 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount
}
