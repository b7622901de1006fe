// Batches: formed, tried again whole, split into single records.
import Wire

extension Dispatcher {
  mutating func restore(_ states: [UnitState], next: UInt64, now: Instants) {
    units.nextID = next
    for state in states {
      let index = units.make(
        Unit(
          id: state.id, live: state.count, awaited: state.count, deliveries: state.deliveries,
          failures: state.failures, due: monotonic(state.notBefore, now), isDurable: true))
      for members in state.members {
        tracks[existingSeat(of: members.track)].restored.add(members.offsets, of: index)
      }
    }
  }

  /// A member was fetched.
  mutating func memberCame(to index: UInt32, seat: Int, offset: UInt64, _ now: Instants) {
    units[index].runs.add(seat: UInt32(seat), offset: offset)
    units[index].awaited -= 1
    schedule(unit: index, now)
  }

  /// A member is settled or gone.
  mutating func memberLeft(_ index: UInt32) {
    if units.lose(index) { end(unit: index) }
  }

  /// Members that were not fetched yet are gone.
  mutating func forgetMembers(_ seat: Int, from start: UInt64, to end: UInt64, _ now: Instants) {
    for (offsets, unit) in tracks[seat].restored.members(from: start, to: end) {
      for _ in 0..<offsets.upperBound.distance(from: offsets.lowerBound) {
        units[unit].awaited -= 1
        memberLeft(unit)
      }
      if !units[unit].isOver { schedule(unit: unit, now) }
    }
  }

  mutating func end(unit index: UInt32) {
    changes.events.append(.unitEnded(units[index].id))
    units.end(index)
  }

  /// Lets a unit be taken, now or when it is due; unless somebody has it, or members are still to come.
  private mutating func schedule(unit index: UInt32, _ now: Instants) {
    let unit = units[index]
    guard !unit.isOut, unit.awaited == 0, !unit.isQueued else { return }
    if unit.due > now.monotonic.nanoseconds {
      dueTimes.add(
        DueTimes.Entry(
          due: unit.due, sequence: nextInSequence(), what: .unit, seat: 0, index: index))
    } else {
      units.enqueue(index)
    }
  }

  /// Its back-off may be over.
  mutating func wake(unit index: UInt32, _ now: Instants) {
    let unit = units[index]
    guard !unit.isOver, !unit.isOut, unit.awaited == 0, !unit.isQueued,
      unit.due <= now.monotonic.nanoseconds
    else { return }
    units.enqueue(index)
  }

  enum UnitTurn {
    case none
    /// One is due, but there is no room for it.
    case wait
    case lease(DispatchLease)
  }

  /// The first unit that is due, whole.
  mutating func takeUnit(_ consumer: ConsumerID, credit: Int, _ now: Instants) -> UnitTurn {
    guard let index = units.firstReady() else { return .none }
    // One that is larger than what is allowed at all goes when nothing else is out.
    guard units[index].live <= credit || inFlightTotal == 0 else { return .wait }
    units.removeFirstReady()
    let unit = units[index]
    var draft = LeaseDraft(
      index: leases.make(serial: nextLease, consumer: consumer.index), serial: nextLease,
      isUnit: true)
    units[index].isOut = true
    units[index].lease = draft.index
    leases[draft.index].unit = index + 1
    eachMember(of: unit.runs, in: .parked, holder: index) { core, seat, offset in
      core.pick(offset, in: seat, &draft)
      core.tracks[seat].slots[core.tracks[seat].index(offset)].deliveries -= 1
    }
    guard var lease = close(&draft, now) else { preconditionFailure("an empty unit is due") }
    lease.unit = unit.id
    lease.isNewUnit = !unit.isDurable
    number(&lease, unit)
    return .lease(lease)
  }

  /// Makes a unit of what a lease was drafted of.
  mutating func form(_ lease: inout DispatchLease, of index: UInt32) {
    var unit = Unit(id: units.nextID, live: lease.count)
    units.nextID += 1
    unit.isOut = true
    unit.lease = index
    unit.runs = leases[index].runs
    for piece in lease.pieces {
      for pick in piece.picks {
        unit.deliveries = max(unit.deliveries, pick.delivery - 1)
        unit.failures = max(unit.failures, pick.failures)
      }
    }
    let members = lease.pieces.map {
      UnitState.Members(
        track: $0.track, offsets: OffsetRanges(offsets: $0.picks.map(\.offset.rawValue)))
    }
    changes.events.append(
      .unitFormed(
        UnitState(
          id: unit.id, members: members.sorted { $0.track < $1.track },
          deliveries: unit.deliveries, failures: unit.failures,
          notBefore: Timestamp(milliseconds: 0))))
    lease.unit = unit.id
    lease.isNewUnit = true
    lease.mayShrink = true
    number(&lease, unit)
    leases[index].unit = units.make(unit) + 1
  }

  /// A unit's records count as it does.
  private func number(_ lease: inout DispatchLease, _ unit: Unit) {
    for piece in lease.pieces.indices {
      for pick in lease.pieces[piece].picks.indices {
        lease.pieces[piece].picks[pick].delivery = unit.deliveries + 1
        lease.pieces[piece].picks[pick].failures = unit.failures
      }
    }
  }

  /// Nobody has the unit any more, but together it stays.
  private mutating func park(_ lease: UInt32, _ index: UInt32) {
    let runs = leases[lease].runs
    eachMember(of: runs, in: .inFlight, holder: lease) { core, seat, offset in
      core.leaveLease(offset, in: seat)
      let slot = core.tracks[seat].index(offset)
      core.tracks[seat].slots[slot].state = .parked
      core.tracks[seat].slots[slot].holder = index
    }
    units[index].isOut = false
  }

  /// A lease of a unit was lost.
  mutating func lose(unit lease: UInt32, _ loss: Loss, _ now: Instants) {
    let index = leases[lease].unit - 1
    var wait: Int64
    switch loss {
    case .failed(let delay):
      units[index].deliveries += 1
      units[index].failures += 1
      if let max = policy.maxDeliveries, units[index].failures >= max {
        exhaust(unit: lease, reason: Self.tooManyDeliveries, now)
        return
      }
      wait = delay ?? backoff(units[index].failures)
    case .back(let delay): wait = delay
    }
    park(lease, index)
    let due = now.monotonic.nanoseconds.later(by: max(0, wait))
    units[index].due = wait > 0 ? due : 0
    let unit = units[index]
    if case .back(0) = loss {
    } else {
      changes.events.append(
        .unitTried(
          unit.id, deliveries: unit.deliveries, failures: unit.failures,
          notBefore: wall(unit.due, now)))
    }
    schedule(unit: index, now)
  }

  /// No more tries: one record is given up; several are tried one by one first.
  mutating func exhaust(unit lease: UInt32, reason: String, _ now: Instants) {
    let index = leases[lease].unit - 1
    guard units[index].live == 1 else {
      split(lease, now)
      return
    }
    let deliveries = units[index].deliveries
    let runs = leases[lease].runs
    end(unit: index)
    eachMember(of: runs, in: .inFlight, holder: lease) { core, seat, offset in
      core.leaveLease(offset, in: seat)
      core.tracks[seat].slots[core.tracks[seat].index(offset)].deliveries =
        UInt16(clamping: deliveries)
      core.condemn(offset, in: seat, reason: reason, isLost: false, now)
    }
  }

  /// Each record by itself from now on.
  mutating func split(_ lease: UInt32, _ now: Instants) {
    let index = leases[lease].unit - 1
    park(lease, index)
    dissolve(index, now)
  }

  /// Each record of a unit that nobody has by itself from now on, at once.
  mutating func dissolve(_ index: UInt32, _ now: Instants) {
    let unit = units[index]
    end(unit: index)
    eachMember(of: unit.runs, in: .parked, holder: index) { core, seat, offset in
      let slot = core.tracks[seat].index(offset)
      core.tracks[seat].slots[slot].deliveries = UInt16(clamping: unit.deliveries)
      core.tracks[seat].slots[slot].failures = UInt16(clamping: unit.failures)
      core.tracks[seat].slots[slot].isAlone = true
      core.tracks[seat].slots[slot].due = 0
      core.note(attemptAt: offset, in: seat, now)
    }
    eachMember(of: unit.runs, in: .parked, holder: index) { core, seat, offset in
      core.putBack(offset, in: seat, .back(delay: 0), now)
    }
  }

  /// The unit that the request's change set is to hold loses a member that was too much.
  mutating func shrink(unit index: UInt32, by track: TrackID, _ offset: UInt64) {
    for place in changes.events.indices.reversed() {
      guard case .unitFormed(var state) = changes.events[place], state.id == units[index].id else {
        continue
      }
      for members in state.members.indices where state.members[members].track == track {
        state.members[members].offsets.subtract(
          OffsetRanges(Offset(offset)..<Offset(offset + 1)))
      }
      state.members.removeAll { $0.offsets.isEmpty }
      changes.events[place] = .unitFormed(state)
      return
    }
    preconditionFailure("a unit loses members only in the turn that formed it")
  }

  /// Those of the runs that are in this state and of this holder, by track and offset; whoever is not any more when its
  /// turn comes is passed over.
  mutating func eachMember(
    of runs: Runs, in state: Slot.State, holder: UInt32,
    _ body: (inout Dispatcher, _ seat: Int, _ offset: UInt64) -> Void
  ) {
    if runs.count == 1 {
      let (seat, offsets) = stretch(runs[0])
      for offset in offsets where isMember(offset, in: seat, state, holder) {
        body(&self, seat, offset)
      }
      return
    }
    var members: [(track: TrackID, seat: Int, offset: UInt64)] = []
    for run in 0..<runs.count {
      let (seat, offsets) = stretch(runs[run])
      for offset in offsets where isMember(offset, in: seat, state, holder) {
        members.append((tracks[seat].id, seat, offset))
      }
    }
    members.sort { ($0.track, $0.offset) < ($1.track, $1.offset) }
    var last: (seat: Int, offset: UInt64)?
    for member in members where isMember(member.offset, in: member.seat, state, holder) {
      // Stretches may overlap.
      if let last, last == (member.seat, member.offset) { continue }
      last = (member.seat, member.offset)
      body(&self, member.seat, member.offset)
    }
  }

  private func stretch(_ run: Run) -> (seat: Int, offsets: Range<UInt64>) {
    let seat = Int(run.seat)
    let start = max(run.first, tracks[seat].floor)
    return (seat, start..<max(start, min(run.first + UInt64(run.count), tracks[seat].fetched)))
  }

  private mutating func isMember(
    _ offset: UInt64, in seat: Int, _ state: Slot.State, _ holder: UInt32
  ) -> Bool {
    slotSteps &+= 1
    // What was done with others may have moved the floor.
    guard tracks[seat].holds(offset) else { return false }
    let slot = tracks[seat].slots[tracks[seat].index(offset)]
    return slot.state == state && slot.holder == holder
  }
}
