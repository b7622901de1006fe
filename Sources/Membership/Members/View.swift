// Who is in the cluster, as placement is told: a set of members that has a name.
import Wire

/// Two nodes that hold the same members, each in the same generation, hold a view of the same id.
public struct View: Hashable, Sendable {
  public let id: UInt64
  private let ids: [MemberID]

  /// - Parameter members: Each once, in any order.
  public init(members: some Sequence<(id: MemberID, generation: UInt64)>) {
    var hash: UInt64 = 0
    var ids: [MemberID] = []
    for (id, generation) in members {
      hash ^= ViewDigest.mixed(id.place, generation)
      ids.append(id)
    }
    id = ViewDigest.mixed(hash, UInt64(ids.count))
    self.ids = ids
  }

  public var count: Int { ids.count }

  /// In the order of their ids; sorted when asked, since most ask for the view's id alone.
  public var members: [MemberID] { ids.sorted() }

  public static func == (left: View, right: View) -> Bool { left.id == right.id }

  public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}
