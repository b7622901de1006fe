// This node's name and life: what others say of it is refuted, outlived, or, when it is true, obeyed.

/// Somebody may have this node's id and a later generation, at another address: it is asked.
struct Contest: Sendable {
  static let questions = 3
  static let interval = Duration.milliseconds(500)

  let claim: Claim
  let endpoint: Endpoint
  let sequence: UInt32
  var asked = 0
}

extension Rumour {
  /// The same id and claim at two addresses.
  func isTwin(of member: Member) -> Bool {
    id == member.id && claim == member.claim && profile.endpoint != member.endpoint
  }
}

extension Swim {
  /// - Returns: Whether whoever says so is behind, or is now. Not if this node cannot outdo what is said: two that tell
  /// each other what neither takes would do so for ever.
  mutating func hearOfSelf(_ rumour: Rumour, from source: Endpoint?) -> Bool {
    let heard = rumour.claim
    guard departure == nil else { return heard < claim }
    if heard.generation < claim.generation { return true }
    if heard.generation > claim.generation {
      if !heard.status.isPresent || rumour.profile.endpoint == own.endpoint {
        // An earlier life of this node, when the clock was ahead.
        return outlive(heard)
      }
      meet(heard, at: rumour.profile.endpoint)
      return true
    }
    if heard.incarnation < claim.incarnation { return heard.status != .alive }
    if heard == claim, rumour.profile == own.profile { return false }
    if heard.status == .alive, rumour.profile.endpoint != own.endpoint {
      // Two lives of one id that began in the same millisecond; of the next two generations one is later.
      return outlive(heard, by: 1 + UInt64(random.below(16)))
    }
    return refute(rumour, from: source)
  }

  private mutating func refute(_ rumour: Rumour, from source: Endpoint?) -> Bool {
    guard rumour.claim.incarnation < .max else { return outlive(rumour.claim) }
    counters.refutations += 1
    if rumour.claim.status != .alive { health.note(.refuted) }
    setOwn { $0.claim.incarnation = rumour.claim.incarnation + 1 }
    // Whoever sent this hears it in the answer.
    if let accuser = rumour.accuser.flatMap({ roster[$0] }), accuser.endpoint != source {
      post(
        .gossip(Gossip(from: id)), to: accuser.endpoint, for: accuser.id,
        first: [encoded(own)])
    }
    return true
  }

  /// Begins a life that is later than any that is spoken of; false if there is none.
  private mutating func outlive(_ heard: Claim, by difference: UInt64 = 1) -> Bool {
    guard heard.generation <= Codec.generationMax - difference else { return false }
    contest = nil
    timers[.contest] = nil
    let start = clock
    setOwn {
      $0.claim = Claim(
        generation: heard.generation + difference, incarnation: 0, status: .alive)
      $0.since = start
    }
    stable.changed(at: now)
    persist()
    return true
  }

  /// Somebody else is said to live under this id.
  private mutating func meet(_ heard: Claim, at endpoint: Endpoint) {
    if let contest, contest.claim >= heard { return }
    let number = probes.nextNumber()
    contest = Contest(
      claim: heard, endpoint: endpoint,
      sequence: ProbeTable.sequence(number, attempt: Probe.helpersAttempt))
    pursueContest()
  }

  mutating func pursueContest() {
    guard let contest else { return }
    guard contest.asked < Contest.questions else {
      _ = outlive(contest.claim)
      return
    }
    let ping = Ping(
      sequence: contest.sequence, from: id, generation: claim.generation, target: id,
      targetGeneration: contest.claim.generation, view: mark)
    post(.ping(ping), to: contest.endpoint, for: nil, carriesNews: false)
    self.contest!.asked += 1
    timers[.contest] = now + Contest.interval
  }

  /// - Returns: Whether the ack was an answer to that.
  mutating func takeOfContest(_ ack: Ack, from source: Endpoint?) -> Bool {
    guard let contest, ack.sequence == contest.sequence, ack.from == id else { return false }
    // Sealed, it can only have come from there, whichever of its addresses it was sent by.
    if ack.generation >= contest.claim.generation, isSealed || source == contest.endpoint {
      emit(.superseded(by: contest.claim, at: contest.endpoint))
      stop(.superseded)
    }
    return true
  }

  /// Changes what this node says of itself, and says it.
  mutating func setOwn(_ change: (inout Member) -> Void) {
    var own = own
    change(&own)
    roster.updateOwn(own)
    digestChangedAt = now
    tellOwn()
  }

  mutating func tellOwn() {
    let rumour = own.rumour(at: clock)
    dissemination.enqueue(rumour, encoded: Codec.encode(rumour))
  }
}
