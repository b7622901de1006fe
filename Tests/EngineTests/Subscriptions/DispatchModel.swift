// A dispatcher that is easy to believe: records in arrays, looked through from end to end for every question.
import Wire

@testable import Engine

struct ModelRecord {
  enum State: Equatable {
    case waiting
    case inFlight(lease: Int)
    case parked(unit: UInt64)
    case settling
    case condemned(isDurable: Bool)
    case buried
    case settled
  }
  let offset: UInt64
  let key: UInt64
  var state = State.waiting
  var isFetched = true
  var deliveries = 0
  var failures = 0
  /// Milliseconds; 0: at once.
  var due: Int64 = 0
  var isAlone = false
  /// Delivered since the last restart.
  var wasOut = false

  /// Nobody after it in its line may go.
  var isHeld: Bool {
    switch state {
    case .inFlight, .parked, .settling, .condemned(isDurable: false): true
    case .waiting, .condemned(isDurable: true), .buried, .settled: false
    }
  }
  /// Without a key, and nothing ever happened to it.
  var isNew: Bool { key == 0 && !wasOut && deliveries == 0 && due == 0 }
  var isOut: Bool { if case .inFlight = state { true } else { false } }
}

struct ModelTrack {
  let id: TrackID
  let shard: Int
  let end: UInt64?
  let only: OffsetRanges?
  var start: UInt64
  /// Above the floor.
  var records: [ModelRecord] = []

  func isFor(_ offset: UInt64) -> Bool {
    (end.map { offset < $0 } ?? true) && (only?.contains(Offset(offset)) ?? true)
  }

  /// The first offset that it is for and that is not settled.
  var floor: UInt64 { unsettled { $0.state != .settled } }
  /// The same of those that are not fetched.
  var place: UInt64 { unsettled { $0.state != .settled && !$0.isFetched } }

  private func unsettled(_ isMeant: (ModelRecord) -> Bool) -> UInt64 {
    var offset = start
    while end.map({ offset < $0 }) ?? true {
      if let record = records.first(where: { $0.offset == offset }) {
        if isMeant(record) { return offset }
      } else if isFor(offset) {
        return offset
      }
      offset += 1
    }
    return end ?? offset
  }

  mutating func forgetSettled() {
    let floor = floor
    start = max(start, floor)
    records.removeAll { $0.offset < floor }
  }
}

struct ModelLease {
  let serial: UInt64
  let consumer: Int
  var deadline: Int64?
  var order: Int
  var unit: UInt64?
}

struct ModelUnit {
  var deliveries: Int
  var failures: Int
  var due: Int64 = 0
  var members: Int
}

struct ModelConsumer {
  var id: ConsumerID
  var share: Int?
  var isWaiting = false
  var isHere = true
}

struct DispatchModel {
  var policy: DispatchPolicy
  var tracks: [ModelTrack]
  var leases: [ModelLease] = []
  var consumers: [ModelConsumer] = []
  var units: [UInt64: ModelUnit] = [:]
  var letters: [Condemned] = []
  /// Serials below these were handed out, and are durable.
  var handed: UInt64 = 0
  var durableLetters: UInt64 = 0
  /// Where records were that are buried.
  var buriedPlaces: [UInt64: Place] = [:]
  var nextLetter: UInt64 = 0
  var nextUnit: UInt64 = 0
  var nextTrack: UInt32
  var nextOrder = 0
  var gapRecords = 0
  var dropped = 0
  var buried = 0
  var failed: [Set<UInt64>]
  var now: Int64 = 0

  init(_ policy: DispatchPolicy, places: [UInt64]) {
    self.policy = policy
    tracks = places.enumerated().map {
      ModelTrack(id: TrackID(UInt32($0)), shard: $0, end: nil, only: nil, start: $1)
    }
    nextTrack = UInt32(places.count)
    failed = places.map { _ in [] }
  }

  // MARK: Places

  struct Place: Hashable {
    var track: TrackID
    var offset: UInt64
  }

  func index(of track: TrackID) -> Int? { tracks.firstIndex { $0.id == track } }

  subscript(place: Place) -> ModelRecord? {
    get {
      index(of: place.track).flatMap { track in
        tracks[track].records.first { $0.offset == place.offset }
      }
    }
    set {
      guard let track = index(of: place.track), let newValue,
        let record = tracks[track].records.firstIndex(where: { $0.offset == place.offset })
      else { return }
      tracks[track].records[record] = newValue
    }
  }

  /// All records in a state, by track and offset.
  func places(_ isMeant: (ModelRecord) -> Bool) -> [Place] {
    tracks.flatMap { track in
      track.records.filter(isMeant).map { Place(track: track.id, offset: $0.offset) }
    }
  }

  func isOfLease(_ record: ModelRecord, _ lease: Int) -> Bool {
    record.state == .inFlight(lease: lease)
  }

  var inFlight: Int { places(\.isOut).count }

  func inFlight(of consumer: Int) -> Int {
    places {
      if case .inFlight(let lease) = $0.state { leases[lease].consumer == consumer } else { false }
    }
    .count
  }

  func credit(of consumer: Int) -> Int {
    let active = consumers.indices.filter {
      $0 == consumer || consumers[$0].isHere && (consumers[$0].isWaiting || inFlight(of: $0) > 0)
    }.count
    let fair = (policy.maxInFlight + active - 1) / active
    return max(
      0,
      min(
        min(consumers[consumer].share ?? .max, fair) - inFlight(of: consumer),
        policy.maxInFlight - inFlight))
  }

  /// Whether `other` is in the same line, of the same track or another one of the same shard.
  private func line(_ record: ModelRecord) -> UInt64? {
    switch policy.ordering {
    case .none: nil
    case .shard: 1
    case .key: record.key == 0 ? nil : record.key
    }
  }

  /// Whether a lease may have the record now, beside what it has already.
  func isEligible(_ place: Place, for lease: Int) -> Bool {
    guard let record = self[place], record.isFetched, record.state == .waiting, record.due <= now
    else { return false }
    guard let line = line(record) else { return true }
    let shard = tracks[index(of: place.track)!].shard
    for track in tracks where track.shard == shard {
      for other in track.records where self.line(other) == line && other.isFetched {
        let isOurs = track.id == place.track && isOfLease(other, lease)
        if other.isHeld, !isOurs { return false }
        if track.id == place.track, other.offset < record.offset, other.state == .waiting {
          return false
        }
      }
    }
    return true
  }

  // MARK: Losing

  mutating func lose(_ place: Place, counted: Bool, delay: Int64?) {
    guard var record = self[place], case .inFlight(let lease) = record.state else { return }
    let unit = leases[lease].unit
    if let unit { leaveUnit(unit) }
    if counted {
      record.failures += 1
      if let max = policy.maxDeliveries, record.failures >= max {
        self[place] = record
        condemn(place, reason: "max_deliveries")
        takeBack(after: place, counted: true)
        return
      }
    } else {
      record.deliveries -= 1
    }
    let wait = delay ?? backoff(record.failures)
    record.due = wait > 0 ? now + wait : 0
    record.state = .waiting
    self[place] = record
    takeBack(after: place, counted: counted)
  }

  func backoff(_ failures: Int) -> Int64 {
    policy.backoff.isEmpty
      ? 0 : policy.backoff[min(failures, policy.backoff.count) - 1].milliseconds
  }

  private mutating func takeBack(after place: Place, counted: Bool) {
    guard let line = line(self[place]!) else { return }
    for var later in tracks[index(of: place.track)!].records
    where later.offset > place.offset && self.line(later) == line {
      if case .inFlight(let lease) = later.state {
        if let unit = leases[lease].unit { leaveUnit(unit) }
        if !counted { later.deliveries -= 1 }
      } else {
        guard case .parked = later.state else { continue }
      }
      later.state = .waiting
      later.due = 0
      self[Place(track: place.track, offset: later.offset)] = later
    }
  }

  mutating func condemn(_ place: Place, reason: String) {
    let record = self[place]!
    let shard = tracks[index(of: place.track)!].shard
    if policy.buries {
      self[place]!.state = .condemned(isDurable: false)
      letters.append(
        Condemned(
          serial: nextLetter, track: place.track, shardIndex: shard, offset: Offset(place.offset),
          deliveries: record.deliveries, reason: reason, at: moment(now).wall))
      nextLetter += 1
    } else {
      self[place]!.state = .settling
      dropped += 1
      failed[shard].insert(place.offset)
    }
  }

  mutating func leaveUnit(_ unit: UInt64) {
    units[unit]!.members -= 1
    if units[unit]!.members == 0 { units[unit] = nil }
  }

  mutating func lose(lease: Int, counted: Bool, delay: Int64?) {
    let members = places { isOfLease($0, lease) }
    guard let unit = leases[lease].unit else {
      for place in members { lose(place, counted: counted, delay: delay) }
      return
    }
    if counted {
      units[unit]!.deliveries += 1
      units[unit]!.failures += 1
      if let max = policy.maxDeliveries, units[unit]!.failures >= max {
        exhaust(lease, reason: "max_deliveries")
        return
      }
    }
    let wait = delay ?? backoff(units[unit]!.failures)
    units[unit]!.due = wait > 0 ? now + wait : 0
    for place in members { self[place]!.state = .parked(unit: unit) }
  }

  mutating func exhaust(_ lease: Int, reason: String) {
    let unit = leases[lease].unit!
    let members = places { isOfLease($0, lease) }
    guard members.count == 1 else {
      for place in members { self[place]!.state = .parked(unit: unit) }
      dissolve(unit)
      return
    }
    self[members[0]]!.deliveries = units[unit]!.deliveries
    units[unit] = nil
    condemn(members[0], reason: reason)
  }

  mutating func dissolve(_ unit: UInt64) {
    let known = units.removeValue(forKey: unit)!
    for place in places({ $0.state == .parked(unit: unit) }) {
      self[place]!.state = .waiting
      self[place]!.due = 0
      self[place]!.deliveries = known.deliveries
      self[place]!.failures = known.failures
      self[place]!.isAlone = true
    }
  }

  /// Units that could be taken now.
  var readyUnits: [UInt64] {
    units.keys.sorted().filter { unit in
      let members = places { $0.state == .parked(unit: unit) }
      return members.count == units[unit]!.members && units[unit]!.due <= now
        && members.allSatisfy { self[$0]!.isFetched }
    }
  }

  // MARK: Time

  mutating func advance(to time: Int64) {
    now = time
    while true {
      let over = leases.indices.filter { lease in
        leases[lease].deadline.map { $0 <= now } ?? false
          && !places { isOfLease($0, lease) }.isEmpty
      }
      guard
        let lease = over.min(by: {
          (leases[$0].deadline!, leases[$0].order) < (leases[$1].deadline!, leases[$1].order)
        })
      else { return }
      lose(lease: lease, counted: true, delay: nil)
    }
  }

  mutating func order() -> Int {
    nextOrder += 1
    return nextOrder
  }

  // MARK: Restart

  /// What a restart makes of it: nobody has anything, nothing is fetched.
  func restarted() -> DispatchModel {
    var next = self
    for track in next.tracks.indices {
      for index in next.tracks[track].records.indices {
        var record = next.tracks[track].records[index]
        record.isFetched = false
        record.wasOut = false
        switch record.state {
        case .inFlight(let lease):
          if let unit = leases[lease].unit {
            record.state = .parked(unit: unit)
          } else {
            record.state = .waiting
            record.deliveries -= 1
          }
        case .settling, .buried: record.state = .settled
        case .condemned: record.state = .condemned(isDurable: true)
        case .waiting, .parked, .settled: break
        }
        next.tracks[track].records[index] = record
      }
      next.tracks[track].forgetSettled()
    }
    next.tracks.removeAll { track in track.end.map { track.floor >= $0 } ?? false }
    next.leases = []
    next.consumers = []
    next.handed = 0
    next.durableLetters = nextLetter
    next.buriedPlaces = [:]
    return next
  }
}
