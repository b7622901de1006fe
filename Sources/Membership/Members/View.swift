// Who is in the cluster, as placement is told: a set of members that has a name.
import Wire

/// Two nodes that hold the same members, each in the same generation, hold a view of the same id.
public struct View: Hashable, Sendable {
  public let id: UInt64
  /// In the order of their ids.
  public let members: [MemberID]

  /// - Parameter members: Each once, in any order.
  public init(members: some Sequence<(id: MemberID, generation: UInt64)>) {
    var hash: UInt64 = 0
    var ids: [MemberID] = []
    for (id, generation) in members {
      hash ^= ViewDigest.mixed(id.place, generation)
      ids.append(id)
    }
    self.id = ViewDigest.mixed(hash, UInt64(ids.count))
    self.members = ids.sorted()
  }
}
