// The dead are not forgotten: one may only have been cut off.

extension Swim {
  static let expiryInterval = Duration.seconds(60)

  /// All together ping one of the dead in each period, however many they are.
  mutating func pingTheDead() {
    guard roster.count(.dead) > 0, random.oneIn(max(1, roster.presentCount)),
      let member = roster.draw(1, from: .dead, random: &random).first
    else { return }
    counters.probesOfTheDead += 1
    ask(member, first: [encoded(member)])
  }

  /// A ping whose answer counts only for what comes with it.
  mutating func ask(_ member: Member, first: [[UInt8]] = []) {
    let number = probes.nextNumber()
    let ping = Ping(
      sequence: ProbeTable.sequence(number, attempt: Probe.helpersAttempt), from: id,
      generation: claim.generation, target: member.id,
      targetGeneration: member.claim.generation, view: mark)
    post(.ping(ping), to: member.endpoint, for: member.id, first: first)
  }

  mutating func forgetExpired() {
    let forgotten = roster.expire(at: clock)
    for member in forgotten { dissemination.remove(member.id) }
    if !forgotten.isEmpty { digestChangedAt = now }
    if roster.nextExpiry != nil { timers[.expiry] = now + Self.expiryInterval }
  }
}
