// Records as they come from the log, and as they vanish from it; replays.
import Wire

extension Dispatcher {
  /// How many records are worth fetching now: as many as consumers may take beyond those at hand. Whether a track has
  /// any to fetch, and room for them, `fetchPlace` says.
  var hunger: Int { max(0, policy.maxInFlight - inFlightTotal - atHand) }

  /// How many records a consumer with share enough could take now, at most: some may turn out to wait for their key. A
  /// take that comes to nothing for want of records brings it to 0.
  var ready: Int { max(0, min(policy.maxInFlight - inFlightTotal, atHand)) }

  private var atHand: Int { freshTotal + queuedTotal + units.readyRecords }

  /// Where to fetch next and how many there is room for; nil: nothing, for it is a replay that has all, or its window
  /// is full.
  func fetchPlace(_ track: TrackID) -> (place: Offset, room: Int)? {
    let track = tracks[existingSeat(of: track)]
    let place = track.place
    let floor = track.floor == track.fetched ? place : track.floor
    let used = place - floor
    guard place < track.end, used < UInt64(policy.windowMax) else { return nil }
    return (Offset(place), Int(min(UInt64(policy.windowMax) - used, track.end - place)))
  }

  /// All before is settled on the shard's own track.
  func floor(ofShard shard: Int) -> Offset { Offset(tracks[shard].floor) }

  /// These records are in the log; the first is the one at `fetchPlace`.
  /// - Parameter keys: of each its key's hash, 0 for none; only looked at if the order is by key.
  mutating func arrived(
    _ track: TrackID, _ offsets: Range<Offset>, keys: [UInt64], now: Instants
  ) {
    let seat = existingSeat(of: track)
    let start = offsets.lowerBound.rawValue
    let end = min(offsets.upperBound.rawValue, tracks[seat].end)
    precondition(start == tracks[seat].place, "\(start) is not \(tracks[seat].place)")
    guard start < end else { return }
    let isByKey = policy.ordering == .key
    precondition(
      !isByKey || keys.count == offsets.upperBound.distance(from: offsets.lowerBound),
      "a key for each record")
    let before = tracks[seat].freshCount
    tracks[seat].extend(from: start, to: end)
    var offset = start
    while offset < end {
      let key = isByKey ? keys[Int(offset - start)] : policy.ordering == .shard ? 1 : 0
      admit(offset, key: key, to: seat, now)
      offset += 1
    }
    slotSteps &+= Int(end - start)
    tracks[seat].restored.pass(end)
    tracks[seat].liftFloor()
    freshTotal += tracks[seat].freshCount - before
    list(fresh: seat)
    endIfFinished(seat)
  }

  private mutating func admit(_ offset: UInt64, key: UInt64, to seat: Int, _ now: Instants) {
    var slot = Slot()
    if tracks[seat].only != nil, !tracks[seat].isFor(offset) {
      slot.state = .done
      tracks[seat].append(slot)
      return
    }
    var unit: UInt32?
    if !tracks[seat].restored.isEmpty {
      tracks[seat].restored.pass(offset)
      unit = recall(offset, in: seat, &slot, now)
    }
    if key != 0, slot.state == .waiting || slot.state == .parked {
      slot.line = tracks[seat].lines.line(for: key)
      tracks[seat].queue(offset, in: slot.line, holds: slot.state == .parked)
    }
    tracks[seat].append(slot)
    if let unit { memberCame(to: unit, seat: seat, offset: offset, now) }
  }

  /// What the journal said of the record; the unit that it is in.
  private func recall(
    _ offset: UInt64, in seat: Int, _ slot: inout Slot, _ now: Instants
  ) -> UInt32? {
    let restored = tracks[seat].restored
    if restored.isSettled(offset) {
      slot.state = .done
    } else if let isDurable = restored.burial(offset) {
      slot.state = isDurable ? .done : .buried
    } else if restored.isCondemned(offset) {
      slot.state = .condemned
    } else if let unit = restored.unit(offset) {
      slot.state = .parked
      slot.holder = unit
      return unit
    } else if let attempt = restored.attempt(offset) {
      slot.deliveries = UInt16(clamping: attempt.deliveries)
      slot.failures = UInt16(clamping: attempt.failures)
      slot.isAlone = attempt.isAlone
      slot.due = monotonic(attempt.notBefore, now)
    }
    return nil
  }

  /// In milliseconds. No back-off is longer than a week and a fifth: more was reckoned by a clock set back since.
  private static let waitMax: Int64 = 9 * 86_400_000

  /// On the monotonic clock; 0 if it is over.
  func monotonic(_ notBefore: Timestamp, _ now: Instants) -> Int64 {
    let (left, overflow) = notBefore.milliseconds.subtractingReportingOverflow(
      now.wall.milliseconds)
    guard !overflow, left > 0 else { return 0 }
    return now.monotonic.nanoseconds.later(by: min(left, Self.waitMax) * 1_000_000)
  }

  /// On the wall's clock, not before it is due; 0 milliseconds if it is.
  func wall(_ due: Int64, _ now: Instants) -> Timestamp {
    let left = due - now.monotonic.nanoseconds
    guard left > 0 else { return Timestamp(milliseconds: 0) }
    return Timestamp(
      milliseconds: now.wall.milliseconds.later(by: left / 1_000_000 + (left % 1_000_000).signum()))
  }

  /// The log begins at `below` now: what was not settled before is a gap, and who has it cannot settle it any more.
  mutating func missing(_ track: TrackID, below: Offset, now: Instants) {
    let seat = existingSeat(of: track)
    let end = min(below.rawValue, tracks[seat].end)
    guard end > tracks[seat].floor else { return }
    let gap = forget(seat, below: end, now)
    burials.detach(tracks[seat].id, below: Offset(end))
    let shardIndex = tracks[seat].shardIndex
    changes.events.append(.missing(tracks[seat].id, gap, below: Offset(end)))
    remember { $0.missed(gap, inShard: shardIndex) }
    endIfFinished(seat)
  }

  /// A track through a part of a shard: all of `offsets`, or only some.
  mutating func addReplay(
    shardIndex: Int, offsets: Range<Offset>, only: OffsetRanges?
  ) -> TrackID {
    precondition(!offsets.isEmpty, "a replay of nothing")
    let state = TrackState(
      track: TrackID(nextTrack), shardIndex: shardIndex, end: offsets.upperBound,
      only: only?.clamped(to: offsets), floor: offsets.lowerBound)
    nextTrack += 1
    changes.events.append(.trackAdded(state))
    remember { $0.replaying(state) }
    let seat = seat(Track(state))
    endIfFinished(seat)
    return state.track
  }

  /// Calls a replay off; what is left of it stays as it is.
  mutating func removeReplay(_ track: TrackID, now: Instants) {
    guard let seat = replaySeats[track.rawValue] else { return }
    _ = forget(seat, below: tracks[seat].end, now)
    burials.detach(track, below: Offset(.max))
    changes.events.append(.trackRemoved(track))
    unseat(seat)
  }

  /// A replay that has nothing left goes away.
  mutating func endIfFinished(_ seat: Int) {
    if tracks[seat].isHere, tracks[seat].isFinished { unseat(seat) }
  }

  private mutating func unseat(_ seat: Int) {
    let track = tracks[seat]
    precondition(track.inFlight == 0, "in flight \(track.inFlight)")
    replaySeats[track.id.rawValue] = nil
    tracks[seat].isHere = false
    shardSeats[track.shardIndex].removeAll { $0 == seat }
    freeSeats.append(seat)
    queuedTotal -= track.queuedCount
    var bare = Track(TrackState(shard: track.shardIndex, floor: .zero))
    bare.isHere = false
    bare.isQueueListed = track.isQueueListed
    bare.isFreshListed = track.isFreshListed
    tracks[seat] = bare
  }

  /// Everything of a track below `end` is over, whoever has it; what was not settled.
  private mutating func forget(_ seat: Int, below end: UInt64, _ now: Instants) -> OffsetRanges {
    var gone: [UInt64] = []
    let before = tracks[seat].freshCount
    var offset = tracks[seat].floor
    while offset < min(end, tracks[seat].fetched) {
      if forget(record: offset, in: seat, now) { gone.append(offset) }
      offset += 1
    }
    var gap = OffsetRanges(offsets: gone)
    let place = tracks[seat].fetched
    if end > place {
      forgetMembers(seat, from: place, to: end, now)
      gap.formUnion(tracks[seat].unsettled(from: place, to: end).ranges)
    }
    tracks[seat].drop(below: end)
    freshTotal += tracks[seat].freshCount - before
    return gap
  }

  /// True: it was not settled.
  private mutating func forget(record offset: UInt64, in seat: Int, _ now: Instants) -> Bool {
    slotSteps &+= 1
    let slot = tracks[seat].slots[tracks[seat].index(offset)]
    if slot.isQueued { queuedTotal -= tracks[seat].unqueue(offset) }
    switch slot.state {
    case .done, .buried: return false
    case .settling: break
    case .condemned:
      // Held until that is durable; a line that it does not hold has another state by now, or is gone.
      if slot.holder == Slot.condemnedHolds { release(slot.line, in: seat, now) }
      return false
    case .waiting:
      if slot.line != 0 {
        tracks[seat].leaveLine(offset, slot)
        wake(line: slot.line, in: seat, now)
      }
      return true
    case .inFlight:
      let unit = leases[slot.holder].unit
      leaveLease(offset, in: seat)
      if unit != 0 { memberLeft(unit - 1) }
    case .parked: memberLeft(slot.holder)
    }
    // Not to be seen by others of its line when they are woken.
    tracks[seat].slots[tracks[seat].index(offset)].state = .buried
    release(slot.line, in: seat, now)
    return slot.state != .settling
  }
}
