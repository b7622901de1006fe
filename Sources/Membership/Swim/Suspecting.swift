// Suspicions: raised, confirmed, and ended in a death when nobody refutes them (SWIM §4.2, Lifeguard §IV-B).

extension Swim {
  /// This node finds that a member does not answer, and says so to it first.
  mutating func accuse(_ member: Member, isRefused: Bool, silentSince: Instant) {
    guard departure == nil else { return }
    counters.accusations += 1
    let rumour = member.suspicion(by: id, isRefused: isRefused)
    if member.status == .suspect {
      confirm(rumour)
    } else if let change = roster.merge(rumour, at: clock) {
      apply(change, rumour, silentSince: silentSince)
    }
    if has(.buddy) { notify(member, of: rumour) }
  }

  /// Tells a member what is said of it.
  mutating func notify(_ member: Member, of rumour: Rumour) {
    post(
      .gossip(Gossip(from: id)), to: member.endpoint, for: member.id,
      first: [Codec.encode(rumour)])
  }

  /// A suspicion that is new here.
  mutating func suspect(_ member: Member, _ rumour: Rumour, silentSince: Instant) {
    let members = roster.presentCount
    let least = Suspicion.min(members: members, gossipInterval: configuration.gossipInterval)
    let decays = has(.decayingSuspicion)
    let suspicion = Suspicion(
      startedAt: silentSince,
      furtherExpected: decays ? Suspicion.furtherExpected(members: members) : 0, min: least,
      max: decays ? least * Suspicion.maxFactor : least, by: rumour.accuser,
      isRefused: rumour.isRefused)
    suspicions[member.id] = suspicion
    timers.add(.suspicion(member.id), at: suspicion.deadline)
    guard decays, rumour.accuser != id, now >= mutedUntil else { return }
    // One more than are needed, for the accuser may be among them.
    let confirmers = max(ceilingOfLog2(members), suspicion.furtherExpected + 1)
    if Successors.confirmers(of: member, confirmers, among: roster).contains(where: {
      $0.id == id
    }) {
      examine(member.id)
    }
  }

  /// Since when a member is silent of which others say so. A verdict takes a period, unless it is a refusal: what is
  /// heard of a silence began at least so long ago, and all who hear of it end it at about the same time.
  func heardSilence(_ rumour: Rumour) -> Instant {
    rumour.accuser == nil || rumour.isRefused ? now : now - probePeriod
  }

  /// Another accuser, of the very claim that is held for suspect.
  mutating func confirm(_ rumour: Rumour) {
    guard let accuser = rumour.accuser,
      suspicions[rumour.id]?.confirm(by: accuser, isRefused: rumour.isRefused) == true
    else { return }
    dissemination.enqueue(rumour, encoded: Codec.encode(rumour))
    timers.add(.suspicion(rumour.id), at: suspicions[rumour.id]!.deadline)
  }

  mutating func pursueSuspicion(of suspect: MemberID) {
    guard let suspicion = suspicions[suspect], let member = roster[suspect] else { return }
    let deadline = max(suspicion.deadline, mutedUntil)
    guard deadline <= now else { return timers.add(.suspicion(suspect), at: deadline) }
    guard departure == nil else { return }
    let rumour = Rumour(id: suspect, claim: member.claim.with(.dead), profile: member.profile)
    guard let change = roster.merge(rumour, at: clock) else { return }
    apply(change, rumour)
  }
}
