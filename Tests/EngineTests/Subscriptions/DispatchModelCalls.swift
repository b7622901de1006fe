// The model's side of each call to a dispatcher.
import Wire

@testable import Engine

extension DispatchModel {
  // MARK: Records

  mutating func arrived(_ index: Int, _ offsets: Range<UInt64>, keys: [UInt64]) {
    for (offset, key) in zip(offsets, keys) where tracks[index].isFor(offset) {
      if let record = tracks[index].records.firstIndex(where: { $0.offset == offset }) {
        tracks[index].records[record].isFetched = true
      } else {
        tracks[index].records.append(ModelRecord(offset: offset, key: key))
      }
    }
    forgetFinished()
  }

  mutating func missing(_ track: TrackID, below: UInt64) {
    guard let index = index(of: track) else { return }
    let end = min(below, tracks[index].end ?? below)
    guard end > tracks[index].floor else { return }
    for offset in tracks[index].floor..<end where tracks[index].isFor(offset) {
      let place = Place(track: track, offset: offset)
      guard let record = self[place] else {
        gapRecords += 1
        continue
      }
      switch record.state {
      case .waiting: gapRecords += 1
      case .inFlight(let lease):
        gapRecords += 1
        if let unit = leases[lease].unit { leaveUnit(unit) }
      case .parked(let unit):
        gapRecords += 1
        leaveUnit(unit)
      case .settling, .condemned, .buried, .settled: break
      }
    }
    detach(track, below: end)
    tracks[index].records.removeAll { $0.offset < end }
    tracks[index].start = max(tracks[index].start, end)
    forgetFinished()
  }

  private mutating func detach(_ track: TrackID, below: UInt64) {
    for letter in letters.indices
    where letters[letter].track == track && letters[letter].offset.rawValue < below {
      letters[letter].track = nil
    }
  }

  mutating func add(_ track: ModelTrack, _ offsets: Range<UInt64>) {
    tracks.append(track)
    nextTrack += 1
    failed[track.shard] = failed[track.shard].filter { !(offsets.contains($0) && track.isFor($0)) }
    forgetFinished()
  }

  mutating func remove(_ track: TrackID) {
    for place in places({ !($0.state == .settled) }) where place.track == track {
      switch self[place]!.state {
      case .inFlight(let lease): if let unit = leases[lease].unit { leaveUnit(unit) }
      case .parked(let unit): leaveUnit(unit)
      default: break
      }
    }
    detach(track, below: .max)
    tracks.removeAll { $0.id == track }
  }

  mutating func forgetFinished() {
    for index in tracks.indices { tracks[index].forgetSettled() }
    tracks.removeAll { track in track.end.map { track.floor >= $0 } ?? false }
  }

  func unsettled(_ track: ModelTrack, tail: UInt64) -> Int {
    let end = min(tail, track.end ?? tail)
    guard end > track.floor else { return 0 }
    return (track.floor..<end).count { offset in
      track.isFor(offset)
        && track.records.first { $0.offset == offset }.map { $0.state != .settled } ?? true
    }
  }

  // MARK: Taking

  /// Gives what the dispatcher gave, if it may be given; else says what is wrong.
  mutating func take(
    _ lease: DispatchLease?, consumer: Int, max: Int, credit: Int, asUnit: Bool
  ) -> String? {
    let room = min(max, credit)
    guard room > 0 else { return lease == nil ? nil : "a lease without credit" }
    if asUnit {
      let ready = readyUnits
      if !ready.isEmpty { return takeUnit(lease, of: ready, consumer: consumer, credit: credit) }
    } else {
      for unit in readyUnits { dissolve(unit) }
    }
    let number = leases.count
    if let lease {
      guard lease.count > 0, lease.count <= room else { return "\(lease.count) of \(room)" }
      leases.append(
        ModelLease(
          serial: lease.serial, consumer: consumer, deadline: deadline(lease), order: order(),
          unit: lease.unit))
      guard lease.deadline?.milliseconds == leases[number].deadline else { return "its deadline" }
    }
    var isAlone = false
    var hasNew = false
    for piece in lease?.pieces ?? [] {
      var last: Offset?
      for pick in piece.picks {
        if let last, last >= pick.offset { return "not in order: \(piece)" }
        last = pick.offset
        let place = Place(track: piece.track, offset: pick.offset.rawValue)
        guard isEligible(place, for: number) else {
          return "\(place) is not to be given: \(String(describing: self[place]))"
        }
        if asUnit, self[place]!.isAlone { isAlone = true }
        if self[place]!.isNew { hasNew = true }
        self[place]!.state = .inFlight(lease: number)
        self[place]!.due = 0
        self[place]!.deliveries += 1
        self[place]!.wasOut = true
        if lease?.unit == nil,
          pick.delivery != self[place]!.deliveries || pick.failures != self[place]!.failures
        {
          return "\(pick) of \(self[place]!)"
        }
      }
    }
    if isAlone, lease!.count > 1 || lease!.unit != nil { return "not alone" }
    if asUnit, lease != nil, !isAlone, lease!.unit == nil { return "no unit" }
    if let lease, let unit = lease.unit {
      guard unit == nextUnit, lease.isNewUnit else { return "unit \(unit), not \(nextUnit)" }
      nextUnit += 1
      let members = places { isOfLease($0, number) }.map { self[$0]! }
      units[unit] = ModelUnit(
        deliveries: members.map(\.deliveries).max()! - 1, failures: members.map(\.failures).max()!,
        members: members.count)
    }
    guard (lease?.count ?? 0) < room || hasNew else { return nil }
    let left = places { $0.state == .waiting }.filter { isEligible($0, for: number) }
    if (lease?.count ?? 0) < room, !left.isEmpty, !isAlone {
      // Somebody who must be alone may be next, and ends it.
      guard asUnit, lease != nil, left.contains(where: { self[$0]!.isAlone }) else {
        return "\(left) could go"
      }
    }
    if hasNew, policy.ordering != .shard, !isAlone,
      let first = left.first(where: { self[$0]!.key == 0 && self[$0]!.wasOut && !self[$0]!.isAlone }
      )
    {
      return "\(first) goes before new ones"
    }
    return nil
  }

  private func deadline(_ lease: DispatchLease) -> Int64? {
    policy.ackDeadline.map { now + $0.milliseconds }
  }

  private mutating func takeUnit(
    _ lease: DispatchLease?, of ready: [UInt64], consumer: Int, credit: Int
  ) -> String? {
    guard let lease else {
      return inFlight > 0 && ready.contains { units[$0]!.members > credit }
        ? nil : "a unit could go"
    }
    guard let unit = lease.unit, ready.contains(unit) else { return "not one of \(ready)" }
    let members = places { $0.state == .parked(unit: unit) }
    guard members.count <= credit || inFlight == 0 else { return "a unit too large" }
    let given = lease.pieces.flatMap { piece in
      piece.picks.map { Place(track: piece.track, offset: $0.offset.rawValue) }
    }
    guard given.count == members.count, Set(given) == Set(members) else {
      return "\(given) of \(members)"
    }
    let known = units[unit]!
    guard
      lease.pieces.flatMap(\.picks).allSatisfy({
        $0.delivery == known.deliveries + 1 && $0.failures == known.failures
      })
    else { return "numbers of \(known)" }
    leases.append(
      ModelLease(
        serial: lease.serial, consumer: consumer, deadline: deadline(lease), order: order(),
        unit: unit))
    for place in members {
      self[place]!.state = .inFlight(lease: leases.count - 1)
      self[place]!.wasOut = true
    }
    return nil
  }

  mutating func leave(_ consumer: Int, counted: Bool) {
    for lease in leases.indices where leases[lease].consumer == consumer {
      guard !places({ isOfLease($0, lease) }).isEmpty else { continue }
      lose(lease: lease, counted: counted, delay: counted ? nil : 0)
    }
    consumers[consumer].isHere = false
  }

  // MARK: Settling

  private func find(_ id: AckID, epoch: UInt32) -> Place? {
    let place = Place(track: TrackID(id.track), offset: id.offset.rawValue)
    guard id.epoch == epoch, let record = self[place], record.isFetched,
      case .inFlight(let lease) = record.state, leases[lease].serial == id.lease,
      leases[lease].unit == nil
    else { return nil }
    return place
  }

  mutating func settle(_ request: Settlement, epoch: UInt32) -> [SettleStatus] {
    var acks: [SettleStatus] = []
    var naks: [SettleStatus] = []
    var extensions: [SettleStatus] = []
    var terms: [SettleStatus] = []
    for id in request.ack {
      let place = find(id, epoch: epoch)
      if let place { self[place]!.state = .settling }
      acks.append(place == nil ? .stale : .ok)
    }
    for term in request.term {
      let place = find(term.id, epoch: epoch)
      if let place { condemn(place, reason: term.reason) }
      terms.append(place == nil ? .stale : .ok)
    }
    var apart: (serial: UInt64, by: Duration, lease: Int)?
    for more in request.extend {
      let place = find(more.id, epoch: epoch)
      if let place { extend(place, by: more.by, &apart) }
      extensions.append(place == nil ? .stale : .ok)
    }
    for nak in request.nak {
      let place = find(nak.id, epoch: epoch)
      if let place { lose(place, counted: true, delay: nak.delay?.milliseconds) }
      naks.append(place == nil ? .stale : .ok)
    }
    return acks + naks + extensions + terms
  }

  private mutating func extend(
    _ place: Place, by: Duration, _ apart: inout (serial: UInt64, by: Duration, lease: Int)?
  ) {
    guard policy.ackDeadline != nil, case .inFlight(let lease) = self[place]!.state else { return }
    if let apart, apart.lease == lease, apart.by == by { return }
    if places({ isOfLease($0, lease) }).count == 1 {
      if apart?.lease == lease { apart = nil }
      leases[lease].deadline = now + by.milliseconds
      leases[lease].order = order()
      return
    }
    if apart.map({ $0.serial != leases[lease].serial || $0.by != by }) ?? true {
      leases.append(
        ModelLease(
          serial: leases[lease].serial, consumer: leases[lease].consumer,
          deadline: now + by.milliseconds, order: order()))
      apart = (leases[lease].serial, by, leases.count - 1)
    }
    self[place]!.state = .inFlight(lease: apart!.lease)
  }

  /// The lease with this serial that was not made by extending.
  private func lease(_ serial: UInt64) -> Int? {
    guard let lease = leases.firstIndex(where: { $0.serial == serial }),
      !places({ isOfLease($0, lease) }).isEmpty
    else { return nil }
    return lease
  }

  mutating func settle(lease serial: UInt64, _ verdict: UnitVerdict) -> Bool {
    guard let lease = lease(serial) else { return false }
    let members = places { isOfLease($0, lease) }
    let unit = leases[lease].unit
    switch verdict {
    case .delivered:
      for place in members { self[place]!.state = .settling }
      if let unit { units[unit] = nil }
    case .retry(let after, let counts):
      self.lose(lease: lease, counted: counts, delay: after.milliseconds)
    case .exhausted(let reason):
      if let unit {
        units[unit]!.deliveries += 1
        units[unit]!.failures += 1
        exhaust(lease, reason: reason)
      } else {
        for place in members where isOfLease(self[place]!, lease) { condemn(place, reason: reason) }
      }
    case .split:
      if let unit {
        units[unit]!.deliveries += 1
        units[unit]!.failures += 1
        for place in members { self[place]!.state = .parked(unit: unit) }
        dissolve(unit)
      } else {
        self.lose(lease: lease, counted: true, delay: 0)
      }
    }
    return true
  }

  mutating func giveBack(_ serial: UInt64) {
    guard let lease = lease(serial) else { return }
    lose(lease: lease, counted: false, delay: 0)
  }

  mutating func giveBackRest(_ lease: DispatchLease, keep: Int) {
    let all = lease.pieces.flatMap { piece in
      piece.picks.map { Place(track: piece.track, offset: $0.offset.rawValue) }
    }
    for place in all.dropFirst(keep).reversed() { lose(place, counted: false, delay: 0) }
  }

  // MARK: Durability

  mutating func committed(_ changes: DispatchChanges) {
    for event in changes.events {
      switch event {
      case .condemned(let letter):
        guard let track = letter.track else { continue }
        let place = Place(track: track, offset: letter.offset.rawValue)
        if self[place]?.state == .condemned(isDurable: false) {
          self[place]!.state = .condemned(isDurable: true)
        }
        durableLetters = max(durableLetters, letter.serial + 1)
      case .dropped(let track, _, let offset, _, _, _): finish(track, offset.rawValue)
      case .buried(let serial, _):
        guard let place = buriedPlaces[serial] else { continue }
        if self[place]?.state == .buried { self[place]!.state = .settled }
      default: break
      }
    }
    for settled in changes.settled {
      for range in settled.offsets.ranges {
        for offset in range.lowerBound.rawValue..<range.upperBound.rawValue {
          finish(settled.track, offset)
        }
      }
    }
    forgetFinished()
  }

  private mutating func finish(_ track: TrackID, _ offset: UInt64) {
    let place = Place(track: track, offset: offset)
    if self[place]?.state == .settling { self[place]!.state = .settled }
  }

  mutating func nextBurials(max: Int) -> [Condemned] {
    let due = letters.filter { $0.serial >= handed && $0.serial < durableLetters }.prefix(max)
    if let last = due.last { handed = last.serial + 1 }
    return Array(due)
  }

  mutating func buried(_ serial: UInt64) {
    let index = letters.firstIndex { $0.serial == serial }!
    let letter = letters.remove(at: index)
    buried += 1
    failed[letter.shardIndex].insert(letter.offset.rawValue)
    guard let track = letter.track else { return }
    let place = Place(track: track, offset: letter.offset.rawValue)
    if self[place] != nil { self[place]!.state = .buried }
    buriedPlaces[serial] = place
  }

  func sought(to places: [UInt64]) -> DispatchModel {
    var next = restarted()
    next.tracks = places.enumerated().map {
      ModelTrack(id: TrackID(UInt32($0)), shard: $0, end: nil, only: nil, start: $1)
    }
    next.units = [:]
    for letter in next.letters.indices { next.letters[letter].track = nil }
    return next
  }
}
