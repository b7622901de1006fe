// Rumours on their way to everyone (SWIM §4.1), in rounds that run only while there is something to tell.

extension Swim {
  /// Of a death one member knows first, and all others wait for it: with so many told by each at once, a hundred know
  /// it after three steps, without a pause in between.
  private static let urgentFanout = 8
  /// Deaths that come together go together.
  private static let urgentInterval = Duration.milliseconds(20)

  private var hasListeners: Bool { !roster.others(.present).isEmpty }

  /// After a pause the first rumour goes out at once.
  mutating func gossipIfNew() {
    guard timers[.gossip] == nil || hasUrgentNews, !dissemination.isEmpty, hasListeners
    else { return }
    let pause = hasUrgentNews ? Self.urgentInterval : configuration.gossipInterval
    let next = lastGossipAt.map { $0 + pause } ?? now
    if next <= now {
      gossip()
    } else {
      timers[.gossip] = next
    }
  }

  mutating func gossip() {
    guard !dissemination.isEmpty, hasListeners else { return }
    lastGossipAt = now
    let fanout = hasUrgentNews ? Self.urgentFanout : configuration.gossipFanout
    hasUrgentNews = false
    let listeners = roster.draw(
      max(fanout, configuration.gossipFanout), from: .present, random: &random)
    for listener in listeners where !dissemination.isEmpty {
      post(.gossip(Gossip(from: id)), to: listener.endpoint, for: listener.id)
    }
    if !dissemination.isEmpty { timers[.gossip] = now + configuration.gossipInterval }
  }
}
