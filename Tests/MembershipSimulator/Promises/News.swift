// Something that everyone has to know before long: a crash, a start, a leave, new metadata.
import Membership

struct News {
  enum Kind: Int, CaseIterable, Sendable {
    /// A process ended, and its kernel said so to whoever asked.
    case killed
    /// The machine went silent.
    case silenced
    case joined, left, updated
  }

  let kind: Kind
  let member: Int
  let id: MemberID
  /// Known is this, or more.
  let claim: Claim
  let since: Int64
  let deadline: Int64
  /// The numbers of the processes that do not know yet.
  var waiting: Set<Int>
  /// When the first knew.
  var firstKnown: Int64?

  /// Deaths and leaves hold for any incarnation of the life.
  func isKnown(_ known: Claim?) -> Bool {
    guard let known else { return false }
    if known.generation != claim.generation { return known.generation > claim.generation }
    return claim.status.isPresent ? known >= claim : known.status >= claim.status
  }
}

/// How long news took, in nanoseconds, each until the last knew.
public struct Spans: Sendable {
  public private(set) var all: [Int64] = []

  mutating func add(_ span: Int64) { all.append(span) }
  static func += (sum: inout Spans, other: Spans) { sum.all += other.all }

  public var count: Int { all.count }
  public var most: Int64 { all.max() ?? 0 }
  /// - Parameter part: 0.5 for the median.
  public func quantile(_ part: Double) -> Int64 {
    guard !all.isEmpty else { return 0 }
    return all.sorted()[min(all.count - 1, Int(Double(all.count) * part))]
  }
}
