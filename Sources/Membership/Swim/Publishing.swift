// What is told and kept of the whole: stable views, and the snapshot for the next life.

extension Swim {
  /// A snapshot is written once for the many changes of a join.
  static let snapshotDelay = Duration.seconds(2)
  /// Those gone for less may be back when this node is.
  private static let goneKept = Duration.seconds(3600)

  mutating func publishView() {
    guard departure == nil else { return }
    let present = roster.members.lazy.filter { $0.status.isPresent }
    let members = present.map { (id: $0.id, generation: $0.claim.generation) }
    guard let view = stable.publish(members, at: now) else { return }
    self.view = view
    emit(.view(view))
  }

  /// Peers that are there before those that are gone.
  mutating func persist() {
    timers[.snapshot] = nil
    var peers: [Snapshot.Peer] = []
    for kind in [Roster.Kind.present, .dead, .left] {
      for member in roster.others(kind) where peers.count < Snapshot.peersMax {
        if kind != .present, clock - member.since > Self.goneKept { continue }
        peers.append(Snapshot.Peer(id: member.id, endpoint: member.endpoint))
      }
    }
    peers.sort { $0.id < $1.id }
    actions.append(
      .persist(
        Snapshot(generation: claim.generation, peers: peers, keys: own.profile.keys)))
  }
}
