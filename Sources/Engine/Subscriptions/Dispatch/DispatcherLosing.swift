// Deliveries that came to nothing: back into line, after a while, or given up.
import Wire

/// How a delivery came to nothing; delays in nanoseconds.
enum Loss {
  /// It counts; nil: after the back-off.
  case failed(delay: Int64?)
  /// As if it had not been delivered.
  case back(delay: Int64)

  var isCounted: Bool { if case .failed = self { true } else { false } }
}

extension Dispatcher {
  /// All that a lease holds still, in the order of delivery.
  mutating func lose(lease index: UInt32, _ loss: Loss, _ now: Instants) {
    if leases[index].unit != 0 {
      lose(unit: index, loss, now)
      return
    }
    let runs = leases[index].runs
    eachMember(of: runs, in: .inFlight, holder: index) { core, seat, offset in
      core.lose(record: offset, in: seat, loss, now)
    }
  }

  /// One record, and with it those of its line after it: they are taken back, which is no failure of theirs.
  mutating func lose(record offset: UInt64, in seat: Int, _ loss: Loss, _ now: Instants) {
    slotSteps &+= 1
    leaveLease(offset, in: seat)
    let place = tracks[seat].index(offset)
    var slot = tracks[seat].slots[place]
    let wait: Int64
    switch loss {
    case .failed(let delay):
      if slot.failures < .max { slot.failures += 1 }
      tracks[seat].slots[place].failures = slot.failures
      if let max = policy.maxDeliveries, Int(slot.failures) >= max {
        condemn(offset, in: seat, reason: Self.tooManyDeliveries, isLost: true, now)
        return
      }
      wait = delay ?? backoff(Int(slot.failures))
    case .back(let delay):
      slot.deliveries -= 1
      wait = delay
    }
    slot.due = wait > 0 ? now.monotonic.nanoseconds.later(by: wait) : 0
    tracks[seat].slots[place] = slot
    if loss.isCounted || wait > 0 { note(attemptAt: offset, in: seat, now) }
    putBack(offset, in: seat, loss, now)
  }

  /// A record that nobody has waits again, before those of its line that were held after it.
  mutating func putBack(_ offset: UInt64, in seat: Int, _ loss: Loss, _ now: Instants) {
    let place = tracks[seat].index(offset)
    tracks[seat].slots[place].state = .waiting
    let slot = tracks[seat].slots[place]
    guard slot.line != 0 else {
      if slot.due > now.monotonic.nanoseconds {
        time(record: offset, in: seat, slot.due)
      } else {
        enqueue(offset, in: seat)
      }
      return
    }
    tracks[seat].lines[slot.line].held -= 1
    takeBack(after: offset, isFirst: true, in: seat, loss, now)
    wakeEverywhere(line: slot.line, in: seat, now)
  }

  private mutating func takeBack(
    after offset: UInt64, isFirst: Bool, in seat: Int, _ loss: Loss, _ now: Instants
  ) {
    let line = tracks[seat].slots[tracks[seat].index(offset)].line
    for later in tracks[seat].rewind(line, to: offset, isFirst: isFirst) {
      slotSteps &+= 1
      let place = tracks[seat].index(later)
      let isOut = tracks[seat].slots[place].state == .inFlight
      if isOut {
        leaveUnit(later, in: seat)
        leaveLease(later, in: seat)
        if !loss.isCounted { tracks[seat].slots[place].deliveries -= 1 }
      }
      tracks[seat].slots[place].state = .waiting
      tracks[seat].slots[place].due = 0
      if isOut, loss.isCounted { note(attemptAt: later, in: seat, now) }
    }
  }

  /// Never again: to the dead letters, or dropped. Its key goes on when that is durable. A consumer that gives one up
  /// has those behind it still; one that lost it lost them, too.
  mutating func condemn(
    _ offset: UInt64, in seat: Int, reason: String, isLost: Bool, _ now: Instants
  ) {
    let place = tracks[seat].index(offset)
    let slot = tracks[seat].slots[place]
    let (track, shardIndex) = (tracks[seat].id, tracks[seat].shardIndex)
    if policy.buries {
      tracks[seat].slots[place].state = .condemned
      tracks[seat].slots[place].holder = Slot.condemnedHolds
      let letter = burials.condemn(
        track, shardIndex: shardIndex, offset: Offset(offset), deliveries: Int(slot.deliveries),
        reason: reason, at: now.wall)
      changes.events.append(.condemned(letter))
    } else {
      tracks[seat].slots[place].state = .settling
      changes.events.append(
        .dropped(
          track, shardIndex: shardIndex, offset: Offset(offset), deliveries: Int(slot.deliveries),
          reason: reason, at: now.wall))
      remember {
        $0.gaveUp(
          DispatchHistory.DeadLetter(
            serial: nil, shardIndex: shardIndex, offset: Offset(offset),
            deliveries: Int(slot.deliveries), reason: reason, at: now.wall, place: nil))
      }
    }
    if isLost, slot.line != 0 {
      takeBack(after: offset, isFirst: false, in: seat, .failed(delay: nil), now)
    }
  }

  /// A record's counts are to outlive a restart.
  mutating func note(attemptAt offset: UInt64, in seat: Int, _ now: Instants) {
    let slot = tracks[seat].slots[tracks[seat].index(offset)]
    changes.events.append(
      .attempted(
        tracks[seat].id,
        TrackState.Attempt(
          offset: Offset(offset), deliveries: Int(slot.deliveries), failures: Int(slot.failures),
          notBefore: wall(slot.due, now), isAlone: slot.isAlone)))
  }

  func backoff(_ failures: Int) -> Int64 {
    guard !policy.backoff.isEmpty else { return 0 }
    return policy.backoff[min(max(failures, 1), policy.backoff.count) - 1].nanoseconds
  }

  // MARK: Waking

  /// One of the line's held records is settled for good or gone.
  mutating func release(_ line: UInt32, in seat: Int, _ now: Instants) {
    guard line != 0 else { return }
    tracks[seat].lines[line].held -= 1
    wakeEverywhere(line: line, in: seat, now)
  }

  /// A line may be free now; for others of its key in the same shard, too.
  private mutating func wakeEverywhere(line: UInt32, in seat: Int, _ now: Instants) {
    guard tracks[seat].lines[line].held == 0 else { return }
    let key = tracks[seat].lines[line].key
    wake(line: line, in: seat, now)
    let shard = tracks[seat].shardIndex
    guard shardSeats[shard].count > 1 else { return }
    for other in shardSeats[shard] where other != seat {
      if let number = tracks[other].lines.number(of: key) {
        wake(line: number, in: other, now)
      }
    }
  }

  /// Queues a line if nobody has of it and its first is due and passed by the cursor; ends one that is empty.
  mutating func wake(line number: UInt32, in seat: Int, _ now: Instants) {
    let line = tracks[seat].lines[number]
    guard line.held == 0, !line.isQueued else { return }
    guard line.waiting > 0 else {
      tracks[seat].lines.end(number)
      return
    }
    guard !isHeldElsewhere(line.key, seat) else { return }
    let offset = tracks[seat].floor.offset(low: line.next)
    let due = tracks[seat].slots[tracks[seat].index(offset)].due
    if due > now.monotonic.nanoseconds {
      guard line.timer != due else { return }
      tracks[seat].lines[number].timer = due
      dueTimes.add(
        DueTimes.Entry(
          due: due, sequence: nextInSequence(), what: .line, seat: UInt32(seat), index: number))
    } else if offset < tracks[seat].cursor {
      queuedTotal += tracks[seat].enqueue(line: number)
      list(queue: seat)
    }
  }

  /// A back-off that the line had may be over.
  mutating func wakeTimed(line number: UInt32, in seat: Int, due: Int64, _ now: Instants) {
    guard tracks[seat].isHere, tracks[seat].lines.has(number),
      tracks[seat].lines[number].waiting > 0
    else { return }
    if tracks[seat].lines[number].timer == due { tracks[seat].lines[number].timer = 0 }
    wake(line: number, in: seat, now)
  }

  mutating func time(record offset: UInt64, in seat: Int, _ due: Int64) {
    dueTimes.add(
      DueTimes.Entry(
        due: due, sequence: nextInSequence(), what: .record, seat: UInt32(seat), index: offset.low))
  }

  /// A back-off that the record had may be over.
  mutating func wake(record low: UInt32, in seat: Int, _ now: Instants) {
    guard tracks[seat].isHere else { return }
    let offset = tracks[seat].floor.offset(low: low)
    guard offset < tracks[seat].cursor else { return }
    let slot = tracks[seat].slots[tracks[seat].index(offset)]
    guard slot.state == .waiting, slot.line == 0, !slot.isQueued,
      slot.due <= now.monotonic.nanoseconds
    else { return }
    enqueue(offset, in: seat)
  }

  private mutating func enqueue(_ offset: UInt64, in seat: Int) {
    tracks[seat].enqueue(offset)
    queuedTotal += 1
    list(queue: seat)
  }

  private mutating func list(queue seat: Int) {
    guard !tracks[seat].isQueueListed else { return }
    tracks[seat].isQueueListed = true
    queueTurn.append(seat)
  }
}
