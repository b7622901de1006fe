// Pinging in another's place, whose own ping was not answered (SWIM §3.1).

/// A ping in another's place.
struct Relay: Sendable {
  static let countMax = 1024
  /// Marks the sequences of relayed pings.
  static let sequenceBit: UInt32 = 1 << 31

  let asker: MemberID
  let endpoint: Endpoint
  let sequence: UInt32
  let target: MemberID
  /// When to tell that there is no answer so far; then when to forget it.
  var dueAt: Instant
  let endsAt: Instant
  var hasSaidNo = false
  /// It stays until its time is over, so that there are never more timers than relays.
  var isAnswered = false
}

extension Swim {
  mutating func relay(_ request: PingRequest, from source: Endpoint) {
    guard request.target != id, request.endpoint != own.endpoint else {
      return counters.refused[.unexpected] += 1
    }
    // In clear nobody makes this node ping who is no member.
    guard isSealed || roster.member(at: request.endpoint) != nil else {
      return counters.refused[.unexpected] += 1
    }
    guard relays.count < Relay.countMax else { return counters.refused[.limit] += 1 }
    let asked = Duration.milliseconds(Int64(request.remainingMilliseconds))
    let remaining = min(asked, probePeriod * (LocalHealth.scoreMax + 1))
    nextRelay = (nextRelay + 1) & ~Relay.sequenceBit
    relays[nextRelay] = Relay(
      asker: request.from, endpoint: source, sequence: request.sequence, target: request.target,
      // Lifeguard §IV-A: early enough to arrive before the verdict.
      dueAt: now + remaining * 4 / 5, endsAt: now + remaining)
    timers.add(.relay(nextRelay), at: now + remaining * 4 / 5)
    let ping = Ping(
      sequence: nextRelay | Relay.sequenceBit, from: id, generation: claim.generation,
      target: request.target, targetGeneration: roster[request.target]?.claim.generation ?? 0,
      view: mark)
    post(
      .ping(ping), to: request.endpoint, for: request.target,
      first: accusation(of: request.target))
  }

  mutating func passOn(_ ack: Ack) {
    let number = ack.sequence & ~Relay.sequenceBit
    guard let relay = relays[number], relay.target == ack.from, !relay.isAnswered else { return }
    relays[number]!.isAnswered = true
    let answer = Ack(
      sequence: relay.sequence, from: ack.from, generation: ack.generation, view: ack.view)
    post(.ack(answer), to: relay.endpoint, for: relay.asker)
  }

  mutating func pursueRelay(_ number: UInt32) {
    guard var relay = relays[number] else { return }
    guard now >= relay.dueAt else { return timers.add(.relay(number), at: relay.dueAt) }
    guard !relay.hasSaidNo, !relay.isAnswered, has(.nacks) else {
      relays[number] = nil
      return
    }
    relay.hasSaidNo = true
    relay.dueAt = relay.endsAt
    relays[number] = relay
    timers.add(.relay(number), at: relay.endsAt)
    post(
      .nack(Nack(sequence: relay.sequence, from: id)), to: relay.endpoint, for: relay.asker)
  }
}
