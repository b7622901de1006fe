// Looking whether somebody is there: a ping, then helpers and a ping over TCP, then a verdict (SWIM §3.1, Lifeguard
// §IV-A).

extension Swim {
  var probePeriod: Duration { configuration.probePeriod }

  /// In bad health a node gives others more time, and itself less to do.
  var patience: Int { has(.localHealth) ? health.multiplier : 1 }

  /// The regular probe, and now and then one of the dead.
  mutating func beginPeriod() {
    timers[.period] = now + probePeriod * patience
    guard departure == nil else { return }
    if let target = schedule.next(in: roster, random: &random),
      probes.number(for: target.id) == nil, !probes.isFull
    {
      probe(target, isUrgent: false)
    }
    pingTheDead()
  }

  /// Looks at once, by all means, because of something that was noticed.
  mutating func examine(_ id: MemberID) {
    guard departure == nil, id != self.id, let member = roster[id], member.status.isPresent
    else { return }
    if let number = probes.number(for: id) {
      guard !probes[number]!.isUrgent else { return }
      probes.update(number) { $0.isUrgent = true }
      counters.probesUrgent += 1
      attempt(number)
    } else if !probes.isFull {
      counters.probesUrgent += 1
      probe(member, isUrgent: true)
    } else {
      counters.refused[.limit] += 1
    }
  }

  /// A gateway that is broken beside a member that lives fails with each request; one look a period is enough.
  mutating func isFirstHint(about member: MemberID) -> Bool {
    let period = probePeriod
    let now = now
    hints.removeAll { now - $0.at >= period }
    guard hints.count < ProbeTable.countMax, !hints.contains(where: { $0.member == member })
    else { return false }
    hints.append(Hint(member: member, at: now))
    return true
  }

  mutating func probe(_ target: Member, isUrgent: Bool) {
    counters.probes += 1
    let timeout = roundTrips.timeout * patience
    let period = probePeriod * patience
    let number = probes.insert(
      Probe(
        target: target.id, endpoint: target.endpoint, claim: target.claim, startedAt: now,
        verdictAt: now + period, isUrgent: isUrgent, attemptAt: now,
        nextAttemptAt: now + min(timeout, period)))
    timers.add(.probe(number), at: probes[number]!.dueAt)
    if isUrgent { attempt(number) } else { ping(number) }
  }

  /// The next ping, by a datagram.
  private mutating func ping(_ number: UInt32) {
    guard let probe = probes[number], probe.attempts < Probe.attemptsMax else { return }
    let sequence = ProbeTable.sequence(number, attempt: UInt32(probe.attempts))
    probes.update(number) {
      $0.attempts += 1
      $0.attemptAt = now
    }
    // The first of a regular probe is not worth a socket of its own.
    let isAsking = has(.evidence) && (probe.isUrgent || probe.attempts > 0)
    post(
      .ping(question(probe, sequence: sequence)), to: probe.endpoint, for: probe.target,
      first: accusation(of: probe.target), asking: isAsking)
  }

  private func question(_ probe: Probe, sequence: UInt32) -> Ping {
    Ping(
      sequence: sequence, from: id, generation: claim.generation, target: probe.target,
      targetGeneration: probe.claim.generation, view: mark)
  }

  /// A suspect hears with each ping what it is accused of (Lifeguard §IV-C).
  func accusation(of target: MemberID) -> [[UInt8]] {
    guard has(.buddy), let member = roster[target], member.status == .suspect else { return [] }
    return [encoded(member)]
  }

  /// A ping in a way that tells refusals, and one over TCP.
  private mutating func attempt(_ number: UInt32) {
    ping(number)
    guard has(.tcpPing), let probe = probes[number], probe.stream == nil,
      !probe.isRefusedByStream
    else { return }
    let stream = open(.ping(probe: number), to: probe.endpoint)
    probes.update(number) { $0.stream = stream }
  }

  /// Something is due for it.
  mutating func pursueProbe(_ number: UInt32) {
    guard let probe = probes[number] else { return }
    if now >= probe.verdictAt { return judge(number) }
    guard now >= probe.nextAttemptAt else { return timers.add(.probe(number), at: probe.dueAt) }
    if !probe.hasAskedHelpers { askHelpers(number) }
    if has(.tcpPing) || has(.evidence) { attempt(number) }
    probes.update(number) { probe in
      // A process that is ending closes its lifelines before its other sockets: the first ping may find them half
      // open, so it is asked again while there are signs of an end.
      let hasSigns =
        probe.hasBrokenStream || probe.isRefusedByStream || probe.isRefusedByDatagram
      let isAgain = hasSigns && probe.attempts < Probe.attemptsMax
      probe.nextAttemptAt = isAgain ? now + roundTrips.timeout : probe.verdictAt
    }
    timers.add(.probe(number), at: probes[number]!.dueAt)
  }

  private mutating func askHelpers(_ number: UInt32) {
    guard let probe = probes[number] else { return }
    let helpers = roster.draw(
      configuration.helpers, from: .present, except: probe.target, random: &random)
    probes.update(number) {
      $0.hasAskedHelpers = true
      $0.helpers = helpers.map(\.id)
    }
    let remaining = (probe.verdictAt - now).nanoseconds / 1_000_000
    let request = PingRequest(
      sequence: ProbeTable.sequence(number, attempt: Probe.helpersAttempt), from: id,
      target: probe.target, endpoint: probe.endpoint,
      remainingMilliseconds: UInt16(clamping: remaining))
    for helper in helpers { post(.pingRequest(request), to: helper.endpoint, for: helper.id) }
  }

  // MARK: - What comes back

  mutating func take(_ ack: Ack, from source: Endpoint?) {
    compare(ack.view, of: ack.from)
    if ack.sequence & Relay.sequenceBit != 0 { return passOn(ack) }
    if takeOfContest(ack, from: source) || takeOfDeparture(ack) { return }
    let number = ack.sequence >> Probe.attemptBits
    guard let probe = probes[number], probe.target == ack.from,
      ack.generation >= probe.claim.generation
    else { return }
    let attempt = Int(ack.sequence & (1 << Probe.attemptBits - 1))
    if source == probe.endpoint, attempt < probe.attempts {
      if attempt == probe.attempts - 1 {
        roundTrips.add(now - probe.attemptAt)
      } else if attempt == 0 {
        roundTrips.add(now - probe.startedAt)
      }
    } else {
      counters.probesHelped += 1
    }
    health.note(.success)
    endProbe(number)
  }

  mutating func take(_ nack: Nack) {
    let number = nack.sequence >> Probe.attemptBits
    guard let probe = probes[number], probe.helpers.contains(nack.from),
      !probe.nacks.contains(nack.from)
    else { return }
    probes.update(number) { $0.nacks.append(nack.from) }
  }

  mutating func noteRefusal(ofDatagramsAt endpoint: Endpoint) {
    for number in probes.numbers(at: endpoint) {
      probes.update(number) { $0.isRefusedByDatagram = true }
      judgeIfRefused(number)
    }
  }

  /// The stream of a probe ended by itself.
  mutating func noteEnd(_ end: StreamEnd, ofStreamOf number: UInt32) {
    probes.update(number) {
      $0.stream = nil
      switch end {
      case .refused: $0.isRefusedByStream = true
      case .reset, .ended: $0.hasBrokenStream = true
      case .timedOut, .unreachable: break
      }
    }
    judgeIfRefused(number)
  }

  // MARK: - Ends

  private mutating func judgeIfRefused(_ number: UInt32) {
    guard has(.evidence), let probe = probes[number], probe.isUrgent || probe.attempts > 1
    else { return }
    if probe.isRefused { return judge(number) }
    // Refused by one means: look by the other, soon and again.
    let again = min(probe.nextAttemptAt, max(now, probe.attemptAt + roundTrips.timeout))
    guard probe.attempts < Probe.attemptsMax, again < probe.nextAttemptAt else { return }
    probes.update(number) { $0.nextAttemptAt = again }
    timers.add(.probe(number), at: again)
  }

  private mutating func judge(_ number: UInt32) {
    guard let probe = probes[number] else { return }
    endProbe(number)
    guard let member = roster[probe.target], member.status.isPresent,
      member.claim.generation == probe.claim.generation
    else { return }
    counters.probesFailed += 1
    if !probe.isRefused, probe.claim.status == .alive {
      // With helpers that are heard, the silence is the target's (memberlist counts so, too).
      if has(.nacks), !probe.helpers.isEmpty {
        health.note(.missedNacks(probe.helpers.count - probe.nacks.count))
      } else {
        health.note(.missedAck)
      }
    }
    guard now >= mutedUntil else { return }
    // One in bad health waits long for its verdict; that may not eat up the time to refute.
    accuse(
      member, isRefused: probe.isRefused && has(.evidence),
      silentSince: max(probe.startedAt, now - probePeriod))
  }

  private mutating func endProbe(_ number: UInt32) {
    guard let probe = probes.remove(number) else { return }
    if let stream = probe.stream { close(stream) }
  }

  /// What it asks is answered, or of no interest, by what is now known.
  mutating func endProbe(outdatedBy member: Member) {
    guard let number = probes.number(for: member.id), let claim = probes[number]?.claim
    else { return }
    let isOtherLife =
      !member.status.isPresent || member.claim.generation != claim.generation
      || member.claim.incarnation > claim.incarnation
    if isOtherLife { endProbe(number) }
  }
}
