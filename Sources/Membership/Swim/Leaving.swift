// Leaving on purpose: it is told until three know, and nobody takes it for a death.

struct Departure: Sendable {
  static let acknowledgements = 3
  static let longest = Duration.milliseconds(900)
  static let roundInterval = Duration.milliseconds(100)

  let startedAt: Instant
  let sequence: UInt32
  var acknowledged: [MemberID] = []
}

extension Swim {
  mutating func leave() {
    guard departure == nil else { return }
    let end = clock
    setOwn {
      $0.claim.status = .left
      $0.since = end
    }
    // Nobody who holds a lifeline wonders at its end.
    for id in streams.ids(where: { $0.role.isLifeline && $0.isConnected }) {
      write(.gossip(Gossip(from: self.id)), rumours: [encoded(own)], on: id)
      if id.isOwn { write(.bye, on: id) }
    }
    let number = probes.nextNumber()
    departure = Departure(
      startedAt: now, sequence: ProbeTable.sequence(number, attempt: Probe.helpersAttempt))
    contest = nil
    if timers[.snapshot] != nil { persist() }
    for alarm in [Alarm.contacts, .lifelines, .watch, .show, .view, .contest, .snapshot, .expiry] {
      timers[alarm] = nil
    }
    pursueDeparture()
  }

  /// Three more are told.
  mutating func pursueDeparture() {
    guard let departure else { return }
    let others = roster.others(.present).count
    if departure.acknowledged.count >= min(Departure.acknowledgements, others)
      || now >= departure.startedAt + Departure.longest
    {
      return stop(.left)
    }
    let told = roster.draw(Departure.acknowledgements, from: .present, random: &random)
    for member in told {
      let ping = Ping(
        sequence: departure.sequence, from: id, generation: claim.generation,
        target: member.id, targetGeneration: member.claim.generation, view: mark)
      post(.ping(ping), to: member.endpoint, for: member.id, first: [encoded(own)])
    }
    timers[.leaving] = now + Departure.roundInterval
  }

  /// - Returns: Whether the ack was an answer to that.
  mutating func takeOfDeparture(_ ack: Ack) -> Bool {
    guard let departure, ack.sequence == departure.sequence else { return false }
    if !departure.acknowledged.contains(ack.from), roster[ack.from] != nil {
      self.departure!.acknowledged.append(ack.from)
      let others = roster.others(.present).count
      if self.departure!.acknowledged.count >= min(Departure.acknowledgements, others) {
        stop(.left)
      }
    }
    return true
  }

  mutating func stop(_ reason: StopReason) {
    for id in streams.ids { close(id) }
    actions.append(.stop(reason))
    isStopped = true
  }
}
