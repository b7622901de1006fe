// Who gets what: redeliveries first, tracks in turn, never two of a key to different hands.
import Wire

/// A lease while it is filled.
struct LeaseDraft {
  let index: UInt32
  let serial: UInt64
  /// Records that must be tried alone stay alone.
  let isUnit: Bool
  var count = 0
  var pieces: [DispatchLease.Piece] = []
  var seats: [Int] = []
  /// One that must be alone is in it, or would be next.
  var isClosed = false
  var isAlone = false
}

extension Dispatcher {
  /// Up to `countMax` records for one consumer, within its credit; nil if there is nothing for it now.
  ///
  /// A track's piece is in the order of offsets, so of a key the earlier ones come first.
  /// - Parameter asUnit: as a batch that stays together; one that is due again goes first, whole.
  mutating func take(
    _ consumer: ConsumerID, max countMax: Int, asUnit: Bool, now: Instants
  ) -> DispatchLease? {
    let credit = credit(of: consumer)
    guard min(countMax, credit) > 0 else { return nil }
    if asUnit {
      switch takeUnit(consumer, credit: credit, now) {
      case .lease(let lease): return lease
      case .wait: return nil
      case .none: break
      }
    } else {
      // Made for somebody who took batches.
      while let index = units.firstReady() {
        units.removeFirstReady()
        dissolve(index, now)
      }
    }
    var draft = LeaseDraft(
      index: leases.make(serial: nextLease, consumer: consumer.index), serial: nextLease,
      isUnit: asUnit)
    let room = min(countMax, credit)
    takeQueued(&draft, room, now)
    takeFresh(&draft, room, now)
    let index = draft.index
    guard var lease = close(&draft, now) else { return nil }
    if asUnit, !draft.isAlone { form(&lease, of: index) }
    return lease
  }

  private mutating func takeQueued(_ draft: inout LeaseDraft, _ room: Int, _ now: Instants) {
    while draft.count < room, !draft.isClosed, let seat = queueTurn.first {
      while draft.count < room, !draft.isClosed, let entry = tracks[seat].queue.first {
        slotSteps &+= 1
        if entry & Track.lineTag != 0 {
          takeLine(UInt32(truncatingIfNeeded: entry), in: seat, &draft, room, now)
        } else {
          takeRecord(UInt32(truncatingIfNeeded: entry), in: seat, &draft, now)
        }
      }
      _ = queueTurn.removeFirst()
      if tracks[seat].queue.isEmpty {
        tracks[seat].isQueueListed = false
      } else {
        queueTurn.append(seat)
      }
    }
  }

  private mutating func takeRecord(
    _ low: UInt32, in seat: Int, _ draft: inout LeaseDraft, _ now: Instants
  ) {
    let offset = tracks[seat].floor.offset(low: low)
    let isThere =
      offset < tracks[seat].fetched && tracks[seat].slots[tracks[seat].index(offset)].isQueued
    if isThere, !mayJoin(offset, in: seat, &draft) { return }
    _ = tracks[seat].queue.removeFirst()
    guard isThere else { return }
    queuedTotal -= tracks[seat].unqueue(offset)
    pick(offset, in: seat, &draft)
  }

  private mutating func takeLine(
    _ number: UInt32, in seat: Int, _ draft: inout LeaseDraft, _ room: Int, _ now: Instants
  ) {
    let present = now.monotonic.nanoseconds
    let line = tracks[seat].lines[number]
    let isOpen = line.held == 0 && line.waiting > 0 && !isHeldElsewhere(line.key, seat)
    if isOpen, !mayJoin(tracks[seat].floor.offset(low: line.next), in: seat, &draft) { return }
    _ = tracks[seat].queue.removeFirst()
    queuedTotal -= tracks[seat].unqueue(line: number)
    while isOpen, draft.count < room, tracks[seat].lines[number].waiting > 0 {
      let offset = tracks[seat].floor.offset(low: tracks[seat].lines[number].next)
      // The cursor comes to the others in this same take.
      guard offset < tracks[seat].cursor,
        tracks[seat].slots[tracks[seat].index(offset)].due <= present,
        mayJoin(offset, in: seat, &draft)
      else { break }
      pick(offset, in: seat, &draft)
    }
    if tracks[seat].lines[number].held == 0 { wake(line: number, in: seat, now) }
  }

  private mutating func takeFresh(_ draft: inout LeaseDraft, _ room: Int, _ now: Instants) {
    while draft.count < room, !draft.isClosed, let seat = freshTurn.first {
      let start = tracks[seat].cursor
      let count = draft.count
      while draft.count < room, !draft.isClosed, tracks[seat].cursor < tracks[seat].fetched {
        slotSteps &+= 1
        passCursor(in: seat, &draft, now)
      }
      freshTotal -= Int(tracks[seat].cursor - start)
      yield.offered += Int(tracks[seat].cursor - start)
      yield.taken += draft.count - count
      _ = freshTurn.removeFirst()
      if tracks[seat].freshCount == 0 {
        tracks[seat].isFreshListed = false
      } else {
        freshTurn.append(seat)
      }
    }
  }

  /// Gives the record at the cursor, if it may go, and moves on; whoever may not is found through its line or its
  /// back-off later.
  private mutating func passCursor(in seat: Int, _ draft: inout LeaseDraft, _ now: Instants) {
    let offset = tracks[seat].cursor
    let slot = tracks[seat].slots[tracks[seat].index(offset)]
    guard slot.state == .waiting else {
      tracks[seat].cursor += 1
      return
    }
    let isDue = slot.due <= now.monotonic.nanoseconds
    if slot.line != 0 {
      let line = tracks[seat].lines[slot.line]
      let isOurs = line.held > 0 && line.holder == draft.serial
      guard line.next == offset.low, isOurs || line.held == 0,
        isOurs || !isHeldElsewhere(line.key, seat)
      else {
        tracks[seat].cursor += 1
        return
      }
      if isDue, !mayJoin(offset, in: seat, &draft) { return }
      tracks[seat].cursor += 1
      if isDue {
        pick(offset, in: seat, &draft)
      } else if line.held == 0 {
        wake(line: slot.line, in: seat, now)
      }
    } else {
      if isDue, !mayJoin(offset, in: seat, &draft) { return }
      tracks[seat].cursor += 1
      if isDue {
        pick(offset, in: seat, &draft)
      } else {
        time(record: offset, in: seat, slot.due)
      }
    }
  }

  /// False: it must be alone, and somebody is there already; the draft is full then.
  private func mayJoin(_ offset: UInt64, in seat: Int, _ draft: inout LeaseDraft) -> Bool {
    guard draft.isUnit, tracks[seat].slots[tracks[seat].index(offset)].isAlone else {
      return !draft.isClosed
    }
    let isFirst = draft.count == 0
    draft.isClosed = true
    draft.isAlone = draft.isAlone || isFirst
    return isFirst
  }

  /// Another track of the same shard has records of this key out.
  func isHeldElsewhere(_ key: UInt64, _ seat: Int) -> Bool {
    let seats = shardSeats[tracks[seat].shardIndex]
    guard seats.count > 1 else { return false }
    return seats.contains { other in
      guard other != seat, let number = tracks[other].lines.number(of: key) else { return false }
      return tracks[other].lines[number].held > 0
    }
  }

  mutating func pick(_ offset: UInt64, in seat: Int, _ draft: inout LeaseDraft) {
    let index = tracks[seat].index(offset)
    var slot = tracks[seat].slots[index]
    if slot.line != 0, slot.state == .waiting {
      tracks[seat].leaveLine(offset, slot)
      tracks[seat].lines[slot.line].held += 1
      tracks[seat].lines[slot.line].holder = draft.serial
    }
    slot.state = .inFlight
    slot.holder = draft.index
    slot.due = 0
    if slot.deliveries < .max { slot.deliveries += 1 }
    tracks[seat].slots[index] = slot
    tracks[seat].inFlight += 1
    leases[draft.index].live += 1
    leases[draft.index].runs.add(seat: UInt32(seat), offset: offset)
    if slot.deliveries > 1 { countRedelivery() }
    let pick = DispatchLease.Pick(
      offset: Offset(offset), delivery: Int(slot.deliveries), failures: Int(slot.failures))
    draft.count += 1
    let piece = pieceOfSeat[seat]
    if piece >= 0 {
      draft.pieces[piece].picks.append(pick)
    } else {
      pieceOfSeat[seat] = draft.pieces.count
      draft.seats.append(seat)
      draft.pieces.append(
        DispatchLease.Piece(
          track: tracks[seat].id, shardIndex: tracks[seat].shardIndex, picks: [pick]))
    }
  }

  /// Makes a lease of what was picked; nil if that is nothing.
  mutating func close(_ draft: inout LeaseDraft, _ now: Instants) -> DispatchLease? {
    guard draft.count > 0 else {
      leases.end(draft.index)
      return nil
    }
    _ = nextSerial()
    for (piece, seat) in draft.seats.enumerated() {
      pieceOfSeat[seat] = -1
      let picks = draft.pieces[piece].picks
      if !zip(picks, picks.dropFirst()).allSatisfy({ $0.offset < $1.offset }) {
        draft.pieces[piece].picks.sort { $0.offset < $1.offset }
      }
    }
    // Whatever order a unit was picked in, its members are shown in one order at every attempt: they make its name.
    if draft.isUnit { draft.pieces.sort { $0.track < $1.track } }
    inFlightTotal += draft.count
    let consumer = leases[draft.index].consumer
    consumers.change(consumer) { $0.inFlight += draft.count }
    consumers.adopt(draft.index, &leases)
    leases.name(draft.index)
    var deadline: Duration?
    if let wait = policy.ackDeadline {
      let due = now.monotonic.nanoseconds.later(by: wait.nanoseconds)
      deadline = .nanoseconds(due)
      let sequence = nextInSequence()
      if !leases.appendToLine(draft.index, deadline: due, sequence: sequence) {
        schedule(draft.index, due, sequence)
      }
    }
    return DispatchLease(
      serial: draft.serial, deadline: deadline, pieces: draft.pieces, count: draft.count)
  }

  /// Gives a lease a deadline out of line.
  mutating func schedule(_ lease: UInt32, _ due: Int64, _ sequence: UInt64) {
    guard due < .max else { return }
    leases[lease].deadline = due
    leases[lease].sequence = sequence
    dueTimes.add(
      DueTimes.Entry(due: due, sequence: sequence, what: .lease, seat: 0, index: lease))
    if leases.staleInHeap > 64, leases.staleInHeap > dueTimes.count / 2 {
      leases.purged(leases.staleInHeap)
      dueTimes.purge { [leases] in leases.isStale($0.index, sequence: $0.sequence) }
    }
  }

  /// The track has records that nobody was asked for.
  mutating func list(fresh seat: Int) {
    guard !tracks[seat].isFreshListed, tracks[seat].freshCount > 0 else { return }
    tracks[seat].isFreshListed = true
    freshTurn.append(seat)
  }
}
