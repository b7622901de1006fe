// A journal, read again: the state that its change sets lead to.
import Wire

/// Rebuilds what is durable: begin with the first places or a snapshot, apply each set in order.
struct DispatchReplay {
  fileprivate struct Progress {
    var state: TrackState
    /// Not in `state.settled` yet: merged in when there are many.
    var settled: [Range<Offset>] = []
    /// By offset; in place of `state.attempts`.
    var attempts: [UInt64: TrackState.Attempt] = [:]
  }

  private var tracks: [TrackID: Progress] = [:]
  private var condemned: [UInt64: Condemned]
  private var units: [UInt64: UnitState]
  private var rest: DispatchState

  init(_ state: DispatchState) {
    rest = state
    condemned = Dictionary(state.condemned.map { ($0.serial, $0) }) { $1 }
    units = Dictionary(state.units.map { ($0.id, $0) }) { $1 }
    for track in state.tracks { add(track) }
  }

  private mutating func add(_ track: TrackState) {
    var progress = Progress(state: track)
    for attempt in track.attempts { progress.attempts[attempt.offset.rawValue] = attempt }
    progress.state.attempts = []
    tracks[track.track] = progress
  }

  /// What names a track, a unit or a letter that there is not is passed over.
  mutating func apply(_ changes: DispatchChanges) {
    for event in changes.events { apply(event) }
    for settled in changes.settled {
      for range in settled.offsets.ranges { settle(range, in: settled.track) }
    }
  }

  private mutating func apply(_ event: DispatchEvent) {
    switch event {
    case .attempted(let track, let attempt):
      tracks[track]?.attempts[attempt.offset.rawValue] = attempt
    case .condemned(let letter):
      condemned[letter.serial] = letter
      rest.nextBurial = max(rest.nextBurial, letter.serial &+ 1)
      if let track = letter.track { tracks[track]?.attempts[letter.offset.rawValue] = nil }
    case .buried(let serial, let place):
      guard let letter = condemned.removeValue(forKey: serial) else { return }
      rest.history.gaveUp(DispatchHistory.DeadLetter(letter, at: place))
      if let track = letter.track { settle(letter.offset..<(letter.offset + 1), in: track) }
    case .dropped(let track, let shardIndex, let offset, let deliveries, let reason, let at):
      rest.history.gaveUp(
        DispatchHistory.DeadLetter(
          serial: nil, shardIndex: shardIndex, offset: offset, deliveries: deliveries,
          reason: reason, at: at, place: nil))
      settle(offset..<(offset + 1), in: track)
    case .missing(let track, let gap, let below):
      guard let shardIndex = tracks[track]?.state.shardIndex else { return }
      rest.history.missed(gap, inShard: shardIndex)
      detach(track, below: below)
      settle(.zero..<below, in: track)
    case .unitFormed(let unit):
      units[unit.id] = unit
      rest.nextUnit = max(rest.nextUnit, unit.id &+ 1)
      for members in unit.members {
        for range in members.offsets.ranges { forget(range, in: members.track) }
      }
    case .unitTried(let id, let deliveries, let failures, let notBefore):
      units[id]?.deliveries = deliveries
      units[id]?.failures = failures
      units[id]?.notBefore = notBefore
    case .unitEnded(let id): units[id] = nil
    case .trackAdded(let track):
      guard track.end != nil, rest.tracks.contains(where: { $0.shardIndex == track.shardIndex })
      else { return }
      rest.nextTrack = max(rest.nextTrack, track.track.rawValue &+ 1)
      rest.history.replaying(track)
      add(track)
    case .trackRemoved(let track):
      detach(track, below: Offset(.max))
      tracks[track] = nil
    }
  }

  private mutating func detach(_ track: TrackID, below: Offset) {
    for (serial, letter) in condemned where letter.track == track && letter.offset < below {
      condemned[serial]?.track = nil
    }
  }

  private mutating func settle(_ range: Range<Offset>, in track: TrackID) {
    guard tracks[track] != nil else { return }
    forget(range, in: track)
    tracks[track]?.settled.append(range)
    guard let progress = tracks[track], progress.settled.count > 1024,
      progress.settled.count > progress.state.settled.ranges.count / 2
    else { return }
    tracks[track]?.merge()
  }

  /// Attempts of records that are settled, or count as their unit does.
  private mutating func forget(_ range: Range<Offset>, in track: TrackID) {
    guard let count = tracks[track]?.attempts.count, count > 0 else { return }
    if range.upperBound.distance(from: range.lowerBound) > count {
      let kept = tracks[track]?.attempts.filter { !range.contains($0.value.offset) }
      tracks[track]?.attempts = kept ?? [:]
    } else {
      for offset in range.lowerBound.rawValue..<range.upperBound.rawValue {
        tracks[track]?.attempts[offset] = nil
      }
    }
  }

  /// Where it has come to.
  var state: DispatchState {
    var state = rest
    state.tracks = tracks.values.map { progress in
      var merged = progress
      merged.merge()
      merged.state.attempts =
        merged.attempts.values.filter { $0.offset >= merged.state.floor && $0.says }
        .sorted { $0.offset < $1.offset }
      return merged.state
    }
    .filter { !$0.isFinished }
    .sorted { $0.track < $1.track }
    state.condemned = condemned.values.sorted { $0.serial < $1.serial }
    state.units = units.values.compactMap { alive($0, state.tracks) }.sorted { $0.id < $1.id }
    return state
  }

  /// The unit without members that are settled; nil if none is left.
  private func alive(_ unit: UnitState, _ tracks: [TrackState]) -> UnitState? {
    var unit = unit
    unit.members = unit.members.compactMap { members in
      guard let track = tracks.first(where: { $0.track == members.track }) else { return nil }
      var members = members
      members.offsets.remove(below: track.floor)
      members.offsets.subtract(track.settled)
      return members.offsets.isEmpty ? nil : members
    }
    return unit.members.isEmpty ? nil : unit
  }
}

extension DispatchReplay.Progress {
  fileprivate mutating func merge() {
    state.settled.formUnion(settled)
    settled = []
    state.normalise()
  }
}

extension TrackState.Attempt {
  /// It says more than that the record is there.
  var says: Bool { deliveries > 0 || failures > 0 || notBefore.milliseconds > 0 || isAlone }
}

extension TrackState {
  /// Lifts the floor over what is settled or not meant, and keeps of the settled what is above it and meant.
  mutating func normalise() {
    settled.remove(below: floor)
    if let only { settled = only.intersection(settled) }
    while true {
      var next = floor
      if let first = settled.ranges.first, first.lowerBound <= next { next = first.upperBound }
      if let only {
        let index = only.firstIndex(endingAbove: next)
        let start = index < only.ranges.count ? only.ranges[index].lowerBound : end ?? next
        next = max(next, start)
      }
      if let end { next = min(next, end) }
      guard next > floor else { return }
      floor = next
      settled.remove(below: floor)
    }
  }
}
