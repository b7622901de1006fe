// Decisions on their way to the journal, and what they bring about once they are there.
import Wire

/// A change set that was handed out and is not durable yet.
struct OpenChanges {
  struct Burial {
    var track: TrackID
    var offset: UInt64
  }
  var changes: DispatchChanges
  var buried: [Burial]
}

extension Dispatcher {
  /// What was decided since the last call; nil: nothing that must be kept. Every set must be made durable, in order,
  /// and reported to `committed`; if one is not, this dispatcher is of no more use: make a new one of what is durable.
  mutating func takeChanges() -> DispatchChanges? {
    ackedSeats.sort { tracks[$0].id < tracks[$1].id }
    for seat in ackedSeats where !tracks[seat].acked.isEmpty {
      changes.settled.append(
        DispatchChanges.Settled(
          track: tracks[seat].id, offsets: OffsetRanges(offsets: tracks[seat].acked)))
      tracks[seat].acked.removeAll(keepingCapacity: tracks[seat].acked.count <= 128)
    }
    ackedSeats.removeAll(keepingCapacity: ackedSeats.count <= 64)
    guard !changes.isEmpty else { return nil }
    let taken = changes
    open.append(OpenChanges(changes: taken, buried: buriedSince))
    changes = DispatchChanges()
    buriedSince = []
    return taken
  }

  /// The oldest set that was taken and not reported yet is durable.
  mutating func committed(now: Instants) {
    precondition(!open.isEmpty, "nothing is open")
    let set = open.removeFirst()
    for event in set.changes.events { committed(event, now) }
    for burial in set.buried {
      guard let seat = seat(of: burial.track) else { continue }
      if burial.offset >= tracks[seat].fetched {
        tracks[seat].restored.bury(burial.offset, isDurable: true)
      } else if tracks[seat].holds(burial.offset),
        tracks[seat].slots[tracks[seat].index(burial.offset)].state == .buried
      {
        tracks[seat].finish(burial.offset)
      }
      lift(seat)
    }
    for settled in set.changes.settled {
      guard let seat = seat(of: settled.track) else { continue }
      for range in settled.offsets.ranges {
        var offset = max(range.lowerBound.rawValue, tracks[seat].floor)
        while offset < range.upperBound.rawValue {
          finish(offset, in: seat, now)
          offset += 1
        }
      }
      lift(seat)
    }
  }

  private mutating func committed(_ event: DispatchEvent, _ now: Instants) {
    switch event {
    case .condemned(let letter):
      burials.durable(letter.serial)
      guard let track = letter.track, let seat = seat(of: track),
        tracks[seat].holds(letter.offset.rawValue)
      else { return }
      let place = tracks[seat].index(letter.offset.rawValue)
      let slot = tracks[seat].slots[place]
      guard slot.state == .condemned, slot.holder == Slot.condemnedHolds else { return }
      tracks[seat].slots[place].holder = 0
      release(slot.line, in: seat, now)
    case .dropped(let track, _, let offset, _, _, _):
      guard let seat = seat(of: track), tracks[seat].holds(offset.rawValue) else { return }
      finish(offset.rawValue, in: seat, now)
      lift(seat)
    case .unitFormed(let unit):
      if let index = units.index(of: unit.id) { units[index].isDurable = true }
    case .attempted, .buried, .missing, .unitTried, .unitEnded, .trackAdded, .trackRemoved: return
    }
  }

  /// Settled for good: its key goes on.
  private mutating func finish(_ offset: UInt64, in seat: Int, _ now: Instants) {
    slotSteps &+= 1
    guard tracks[seat].holds(offset) else { return }
    let slot = tracks[seat].slots[tracks[seat].index(offset)]
    guard slot.state == .settling else { return }
    tracks[seat].finish(offset)
    release(slot.line, in: seat, now)
  }

  private mutating func lift(_ seat: Int) {
    let before = tracks[seat].freshCount
    let floor = tracks[seat].floor
    tracks[seat].liftFloor()
    slotSteps &+= Int(clamping: tracks[seat].floor - floor)
    freshTotal += tracks[seat].freshCount - before
    endIfFinished(seat)
  }

  // MARK: Dead letters

  /// What was given up, durably so, and not handed out yet; to be appended to the dead-letter stream in this order.
  mutating func nextBurials(max countMax: Int) -> [Condemned] { burials.handOut(max: countMax) }

  /// An append failed: `nextBurials` begins again with the first that is not buried.
  mutating func burialsFailed() { burials.failed() }

  /// The dead letter stands in its stream; nil: its record is no more, and nowhere.
  mutating func buried(_ serial: UInt64, at place: BurialPlace?) {
    let letter = burials.bury(serial)
    changes.events.append(.buried(serial: serial, at: place))
    remember { $0.gaveUp(DispatchHistory.DeadLetter(letter, at: place)) }
    guard let track = letter.track, let seat = seat(of: track) else { return }
    let offset = letter.offset.rawValue
    if tracks[seat].holds(offset) {
      tracks[seat].slots[tracks[seat].index(offset)].state = .buried
    } else if offset >= tracks[seat].fetched {
      tracks[seat].restored.bury(offset, isDurable: false)
    }
    buriedSince.append(OpenChanges.Burial(track: track, offset: offset))
  }
}
