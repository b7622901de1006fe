// What can be seen of a dispatcher from outside: figures, lists, snapshots.
import Wire

extension Dispatcher {
  /// The seats of the tracks that are here, in the order of ids.
  private var seatsInOrder: [Int] {
    Array(0..<shardCount)
      + replaySeats.values.sorted { tracks[$0].id < tracks[$1].id }
  }

  /// The ids of the tracks that are here: those of the shards, then the replays'.
  var trackIDs: [TrackID] { seatsInOrder.map { tracks[$0].id } }

  var inFlight: Int { inFlightTotal }

  var summary: DispatchSummary {
    let seats = seatsInOrder
    return DispatchSummary(
      tracks: seats.map { seat in
        let track = tracks[seat]
        return TrackSummary(
          track: track.id, shardIndex: track.shardIndex,
          end: track.end == .max ? nil : Offset(track.end), isPartial: track.only != nil,
          floor: Offset(track.floor),
          settled: track.doneCount + track.restored.settledCount(from: track.fetched),
          inFlight: track.inFlight,
          place: Offset(track.place), unknown: Offset(max(track.place, track.restored.end)))
      },
      inFlight: inFlightTotal, redeliveries: redeliveries, burying: burials.count,
      isWindowFull: seats.contains {
        tracks[$0].place < tracks[$0].end && fetchPlace(tracks[$0].id) == nil
      })
  }

  /// How many records of the track below `tail` are not settled for good.
  func unsettled(_ track: TrackID, tail: Offset) -> Int {
    guard let seat = seat(of: track) else { return 0 }
    let track = tracks[seat]
    let end = min(tail.rawValue, track.end)
    let known = Int(track.fetched - track.floor) - track.doneCount
    guard end > track.fetched else { return known }
    if track.only == nil, track.restored.isEmpty { return known + Int(end - track.fetched) }
    return known + track.unsettled(from: track.fetched, to: end).count
      + track.restored.waitingCondemned(from: track.fetched, to: end)
  }

  /// Records that somebody has, by track and offset, from the first after `place` on.
  func inFlight(after place: (track: TrackID, offset: Offset)?, limit: Int) -> [InFlightRecord] {
    var found: [InFlightRecord] = []
    for seat in seatsInOrder where tracks[seat].inFlight > 0 {
      let track = tracks[seat]
      var offset = track.floor
      if let place {
        if track.id < place.track { continue }
        if track.id == place.track { offset = max(offset, place.offset.rawValue + 1) }
      }
      while offset < track.fetched {
        guard found.count < limit else { return found }
        let slot = track.slots[track.index(offset)]
        if slot.state == .inFlight { found.append(show(slot, offset, of: track)) }
        offset += 1
      }
    }
    return found
  }

  private func show(_ slot: Slot, _ offset: UInt64, of track: Track) -> InFlightRecord {
    let lease = leases[slot.holder]
    let delivery =
      lease.unit == 0 ? Int(slot.deliveries) : units[lease.unit - 1].deliveries + 1
    return InFlightRecord(
      track: track.id, shardIndex: track.shardIndex, offset: Offset(offset), delivery: delivery,
      ackID: AckID(
        track: track.id.rawValue, offset: Offset(offset), lease: lease.serial, epoch: epoch),
      consumer: consumers.id(lease.consumer),
      deadline: lease.deadline == .max ? nil : .nanoseconds(lease.deadline))
  }

  /// For a snapshot: all that `takeChanges` has handed out so far, durable already or not. Nothing may have been
  /// decided since.
  func state(now: Instants) -> DispatchState {
    precondition(
      changes.isEmpty && tracks.allSatisfy { $0.acked.isEmpty }, "changes are to be taken first")
    var state = DispatchState(places: [])
    state.tracks = seatsInOrder.compactMap { seat in
      let track = trackState(tracks[seat], now)
      return track.isFinished ? nil : track
    }
    state.condemned = Array(burials.waiting)
    state.nextBurial = burials.next
    state.units = units.indices.compactMap { unitState($0, now) }.sorted { $0.id < $1.id }
    state.nextUnit = units.nextID
    state.nextTrack = nextTrack
    state.history = history
    return state
  }

  private func trackState(_ track: Track, _ now: Instants) -> TrackState {
    var state = TrackState(
      track: track.id, shardIndex: track.shardIndex,
      end: track.end == .max ? nil : Offset(track.end),
      only: track.only, floor: Offset(track.floor))
    var settled: [UInt64] = []
    for offset in track.floor..<track.fetched {
      let slot = track.slots[track.index(offset)]
      switch slot.state {
      case .done, .settling, .buried: settled.append(offset)
      case .waiting, .inFlight:
        let isOut = slot.state == .inFlight
        if isOut, leases[slot.holder].unit != 0 { continue }
        let attempt = TrackState.Attempt(
          offset: Offset(offset), deliveries: Int(slot.deliveries) - (isOut ? 1 : 0),
          failures: Int(slot.failures), notBefore: wall(slot.due, now), isAlone: slot.isAlone)
        if attempt.says { state.attempts.append(attempt) }
      case .parked, .condemned: continue
      }
    }
    state.settled = OffsetRanges(offsets: settled)
    state.settled.formUnion(track.restored.settled(from: track.fetched).ranges)
    state.attempts += track.restored.attempts(from: track.fetched)
    state.normalise()
    return state
  }

  private func unitState(_ index: UInt32, _ now: Instants) -> UnitState? {
    let unit = units[index]
    guard !unit.isOver else { return nil }
    var members: [(TrackID, [Range<Offset>])] = []
    for seat in seatsInOrder {
      let track = tracks[seat]
      var ranges: [Range<Offset>] = track.restored.members(from: track.fetched, to: .max)
        .compactMap { $0.unit == index ? $0.offsets : nil }
      for run in 0..<unit.runs.count where Int(unit.runs[run].seat) == seat {
        let run = unit.runs[run]
        let end = min(run.first + UInt64(run.count), track.fetched)
        for offset in stride(from: max(run.first, track.floor), to: end, by: 1) {
          let slot = track.slots[track.index(offset)]
          let isMember =
            unit.isOut
            ? slot.state == .inFlight && slot.holder == unit.lease
            : slot.state == .parked && slot.holder == index
          if isMember { ranges.append(Offset(offset)..<Offset(offset + 1)) }
        }
      }
      if !ranges.isEmpty { members.append((track.id, ranges)) }
    }
    return UnitState(
      id: unit.id,
      members: members.map { UnitState.Members(track: $0, offsets: OffsetRanges(merging: $1)) },
      deliveries: unit.deliveries, failures: unit.failures, notBefore: wall(unit.due, now))
  }
}
