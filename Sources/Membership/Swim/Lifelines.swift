// Idle connections to three successors on the ring: a process that ends cannot hide it from its neighbours.

extension Swim {
  /// Members come and go in groups; the ring is looked at when they have.
  private static let settling = Duration.seconds(1)
  private static let settlingMax = Duration.seconds(3)
  /// Before one that could not be opened is tried again.
  private static let retryDelay = Duration.seconds(5)

  mutating func ringChanged() {
    let first = ringChangedAt ?? now
    ringChangedAt = first
    timers[.lifelines] = min(now + Self.settling, max(now, first + Self.settlingMax))
  }

  mutating func adjustRing() {
    ringChangedAt = nil
    adjustWatch()
    adjustLifelines()
  }

  private mutating func adjustLifelines() {
    guard has(.lifelines), departure == nil else { return }
    var wanted = Successors.next(Successors.lifelines, among: roster)
    for id in streams.ids(where: { if case .lifeline = $0.role { true } else { false } }) {
      guard let stream = streams[id], case .lifeline(let member, let generation) = stream.role
      else { continue }
      let index = wanted.firstIndex {
        $0.id == member && $0.claim.generation == generation && $0.endpoint == stream.endpoint
      }
      if let index {
        wanted.remove(at: index)
      } else {
        if stream.isConnected { write(.bye, on: id) }
        close(id)
      }
    }
    for member in wanted {
      _ = open(
        .lifeline(to: member.id, generation: member.claim.generation), to: member.endpoint)
    }
  }

  /// A lifeline of either direction ended, and nobody said bye.
  mutating func noteLifelineEnd(
    of id: MemberID, _ generation: UInt64, _ end: StreamEnd, wasConnected: Bool
  ) {
    guard let member = roster[id], member.status.isPresent,
      member.claim.generation == generation
    else { return }
    counters.lifelinesLost += 1
    let isSilent = end == .timedOut || end == .unreachable
    if has(.lifelines) {
      timers.bringForward(
        .lifelines, to: now + (wasConnected ? Self.settling : Self.retryDelay))
    }
    if wasConnected || !isSilent { examine(id) }
  }
}
