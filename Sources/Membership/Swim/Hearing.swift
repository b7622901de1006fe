// What others say of a member, held against what is known of it, and all that follows from a change.

extension Swim {
  /// - Parameters:
  ///   - inView: It came in an exchange of views, and may be old.
  ///   - isFirstHand: It came from the member itself.
  mutating func hear(_ rumour: Rumour, inView: Bool = false, isFirstHand: Bool = false) {
    let known = roster[rumour.id]
    if inView, rumour.claim.status == .dead, let known, known.status == .alive,
      known.claim == rumour.claim.with(.alive)
    {
      // Two sides of a partition that heals hold each other for dead. Nobody who is there dies of that: it is told, and
      // refutes. Whoever is not there does not answer, and is suspect when the next exchange says so again.
      notify(known, of: rumour)
      return examine(known.id)
    }
    let refusedBefore = roster.refusedCount
    if let change = roster.merge(rumour, at: clock) {
      // What one is told on joining is known to the others; `review` sees to those that joined in the same moment.
      apply(change, rumour, isNews: !inView || joinedAt != nil || !has(.antiEntropy))
      noteReturn(change, isFirstHand: isFirstHand)
    } else if roster.refusedCount != refusedBefore {
      counters.refused[.limit] += 1
    } else if rumour.claim.status == .suspect, rumour.claim == known?.claim {
      confirm(rumour)
    }
  }

  /// - Parameters:
  ///   - silentSince: Since when it did not answer, if this node accuses it.
  ///   - isNews: Whether it is worth telling others.
  mutating func apply(
    _ change: Roster.Change, _ rumour: Rumour, silentSince: Instant? = nil, isNews: Bool = true
  ) {
    let (before, after) = (change.before, change.after)
    let wasPresent = before?.status.isPresent ?? false
    let isPresent = after.status.isPresent
    let isNewLife = before?.claim.generation != after.claim.generation
    digestChangedAt = now

    if isPresent != wasPresent {
      if isPresent {
        schedule.insert(after.id, in: roster, random: &random)
      } else {
        schedule.remove(after.id, in: roster)
      }
      dissemination.setLimit(members: roster.presentCount)
    }
    if !isPresent, timers[.expiry] == nil { timers[.expiry] = now + Self.expiryInterval }
    if isPresent != wasPresent || isNewLife || before?.endpoint != after.endpoint {
      if wasPresent || isPresent { ringChanged() }
      timers.bringForward(.snapshot, to: max(now + Self.snapshotDelay, startedAt + .seconds(10)))
    }
    if isPresent != wasPresent || isPresent && isNewLife { stable.changed(at: now) }

    tell(change, accuser: rumour.accuser)
    endProbe(outdatedBy: after)
    if isNews { dissemination.enqueue(rumour, encoded: Codec.encode(rumour)) }
    if after.status == .suspect {
      suspect(after, rumour, silentSince: silentSince ?? heardSilence(rumour))
    } else {
      suspicions[after.id] = nil
    }
    stable.suspects(count: roster.count(.suspect))
    if !isPresent { closeStreams(with: after.id) }
    if after.status == .dead, wasPresent { hasUrgentNews = true }
  }

  /// One that was thought dead is there: much else may have been missed, on both sides. Who hears of it from itself
  /// exchanges views with it, and of all the others a few.
  private mutating func noteReturn(_ change: Roster.Change, isFirstHand: Bool) {
    guard let before = change.before, !before.status.isPresent, change.after.status.isPresent,
      before.claim.generation == change.after.claim.generation,
      isFirstHand || random.below(max(1, roster.presentCount)) < 3
    else { return }
    exchangeViews(with: change.after)
  }

  /// The events of one member follow `Event`'s automaton whatever is missed in between.
  private mutating func tell(_ change: Roster.Change, accuser: MemberID?) {
    let after = change.after
    let before = change.before.flatMap { $0.status.isPresent ? $0 : nil }
    guard after.status.isPresent else {
      guard let before else { return }
      var gone = after
      if before.claim.generation != after.claim.generation {
        // Of the later life nothing was told.
        gone = before
        gone.claim.status = after.status
      }
      return emit(after.status == .dead ? .died(gone) : .left(gone))
    }
    var alive = after
    alive.claim.status = .alive
    if let before, before.claim.generation == after.claim.generation {
      if before.status == .suspect, before.claim.incarnation < after.claim.incarnation {
        emit(.refuted(alive))
      }
      if before.profile != after.profile { emit(.updated(alive)) }
      if after.status == .suspect,
        before.status == .alive || before.claim.incarnation < after.claim.incarnation
      {
        emit(.suspected(after, by: accuser))
      }
    } else {
      emit(.joined(alive))
      if after.status == .suspect { emit(.suspected(after, by: accuser)) }
    }
  }

  mutating func emit(_ event: Event) {
    counters.events[event.kind] += 1
    actions.append(.emit(event))
  }
}

extension Event {
  public var kind: EventKind {
    switch self {
    case .joined: .joined
    case .suspected: .suspected
    case .refuted: .refuted
    case .died: .died
    case .left: .left
    case .updated: .updated
    case .view: .view
    case .superseded: .superseded
    }
  }
}
