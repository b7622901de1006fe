// A random life of a subscription, led by a dispatcher and by the model side by side, their answers compared.
import Testing
import Wire

@testable import Engine

struct DispatchSchedule {
  struct Wrong: Error, CustomStringConvertible {
    var description: String
  }

  var random: Random
  let seed: UInt64
  var core: Dispatcher
  var model: DispatchModel
  var now: Int64 = 0
  let hasUnits: Bool
  let keyCount: Int
  /// Of each shard: what its log holds, and where it begins.
  var logs: [[UInt64]]
  var earliest: [UInt64]
  /// Ids that were handed out and not heard of since, and some older ones.
  var held: [AckID] = []
  var old: [AckID] = []
  var leases: [UInt64] = []
  var everIssued: Set<AckID> = []
  /// Change sets that were taken and are not committed yet, with the model as it was then.
  var open: [(changes: DispatchChanges, model: DispatchModel)] = []
  /// The journal: where it begins, and what was made durable since.
  var base: DispatchState
  var journal: [DispatchChanges] = []
  /// The model as of the last durable set.
  var durable: DispatchModel
  /// The dead-letter stream, by serial.
  var dead: [UInt64: Condemned] = [:]
  var epoch: UInt32 = 1
  var step = 0
  var trace: [String] = []

  init(seed: UInt64) {
    self.seed = seed
    var random = Random(seed: seed)
    var policy = DispatchPolicy()
    policy.ordering = [.key, .key, .shard, .none][random.below(4)]
    policy.ackDeadline = random.oneIn(4) ? nil : .milliseconds(5 + random.below(40))
    policy.maxInFlight = 1 + random.below(20)
    policy.maxDeliveries = random.oneIn(3) ? nil : 1 + random.below(4)
    policy.backoff = (0..<random.below(4)).map { _ in .milliseconds(random.below(30)) }
    policy.buries = !random.oneIn(3)
    policy.windowMax = 4 + random.below(20)
    hasUnits = random.oneIn(3)
    keyCount = 1 + random.below(6)
    let shards = 1 + random.below(3)
    logs = (0..<shards).map { _ in [] }
    earliest = logs.map { _ in 0 }
    base = DispatchState(places: logs.map { _ in .zero })
    model = DispatchModel(policy, places: earliest)
    durable = model
    core = Dispatcher(policy, epoch: 1, state: base, firstLease: 1, now: moment(0))
    self.random = random
  }

  var instants: Instants { moment(now) }

  func check(_ isTrue: Bool, _ what: @autoclosure () -> String) throws(Wrong) {
    guard !isTrue else { return }
    throw Wrong(
      description: "seed \(seed), step \(step): \(what())\n"
        + trace.suffix(40).joined(separator: "\n"))
  }

  mutating func run(steps: Int) throws {
    for _ in 0..<steps {
      step += 1
      try act()
      if step % 4 == 0 { try compare() }
    }
    try finish()
  }

  private mutating func act() throws {
    switch random.below(100) {
    case 0..<8: append()
    case 8..<20: try fetch()
    case 20..<42: try take()
    case 42..<62: try settle()
    case 62..<67: try settleLease()
    case 67..<76: advance(by: Int64(random.below(12)))
    case 76..<84: take(changes: true)
    case 84..<91: commit()
    case 91..<94: comeAndGo()
    case 94..<96: try bury()
    case 96: random.oneIn(3) ? trim() : giveBack()
    case 97: random.oneIn(3) ? replay() : giveBackRest()
    case 98: if random.oneIn(4) { try crash() }
    default: if random.oneIn(8) { seek() } else { snapshot() }
    }
  }

  // MARK: The log

  mutating func append() {
    let shard = random.below(logs.count)
    for _ in 0..<(1 + random.below(6)) where logs[shard].count < 400 {
      logs[shard].append(UInt64(random.below(keyCount + 1)))
    }
  }

  mutating func fetch(all: Bool = false) throws {
    for track in core.trackIDs where all || random.oneIn(2) {
      guard let index = model.index(of: track) else { continue }
      let shard = model.tracks[index].shard
      let mine = model.tracks[index]
      let (place, floor) = (mine.place, mine.floor)
      // What stands before the place and is not there any more counts in the window all the same.
      let hasRecords = mine.records.contains { $0.isFetched && $0.offset >= floor }
      let used = hasRecords ? place - floor : 0
      let isOpen = (mine.end.map { place < $0 } ?? true) && used < UInt64(model.policy.windowMax)
      let found = core.fetchPlace(track)
      try check(
        found.map(\.place.rawValue) == (isOpen ? place : nil),
        "fetchPlace \(String(describing: found)), not \(place)")
      guard let found, place < logs[shard].count else { continue }
      if place < earliest[shard] {
        missing(track, below: earliest[shard])
        continue
      }
      let end = min(UInt64(logs[shard].count), place + UInt64(1 + random.below(found.room + 2)))
      let keys = Array(logs[shard][Int(place)..<Int(end)])
      trace.append("arrived \(track) \(place)..<\(end) \(keys)")
      core.arrived(
        track, Offset(place)..<Offset(end), keys: model.policy.ordering == .key ? keys : [],
        now: instants)
      model.arrived(index, place..<end, keys: keys)
    }
  }

  mutating func trim() {
    let shard = random.below(logs.count)
    guard earliest[shard] < logs[shard].count else { return }
    earliest[shard] += UInt64(1 + random.below(min(12, logs[shard].count - Int(earliest[shard]))))
    for track in core.trackIDs {
      guard let index = model.index(of: track), model.tracks[index].shard == shard else { continue }
      missing(track, below: earliest[shard])
    }
  }

  mutating func missing(_ track: TrackID, below: UInt64) {
    trace.append("missing \(track) below \(below)")
    core.missing(track, below: Offset(below), now: instants)
    model.missing(track, below: below)
  }

  mutating func replay() {
    guard model.tracks.count < logs.count + 3 else {
      if let track = model.tracks.last, track.end != nil, random.oneIn(2) {
        trace.append("remove \(track.id)")
        core.removeReplay(track.id, now: instants)
        model.remove(track.id)
      }
      return
    }
    let shard = random.below(logs.count)
    guard logs[shard].count > earliest[shard] else { return }
    let from = earliest[shard] + UInt64(random.below(logs[shard].count - Int(earliest[shard])))
    let to = from + UInt64(1 + random.below(logs[shard].count - Int(from)))
    let range = Offset(from)..<Offset(to)
    let onlyFailed = random.oneIn(2)
    let only = onlyFailed ? core.history.failed(inShard: shard, within: range) : nil
    let track = core.addReplay(shardIndex: shard, offsets: range, only: only)
    trace.append("replay \(track) of \(shard) \(range) \(String(describing: only?.ranges))")
    model.add(
      ModelTrack(id: track, shard: shard, end: to, only: only, start: from), from..<to)
  }

  // MARK: Consumers

  mutating func comeAndGo() {
    let here = model.consumers.indices.filter { model.consumers[$0].isHere }
    if here.isEmpty || here.count < 4 && random.oneIn(2) {
      let share = random.oneIn(3) ? 1 + random.below(6) : nil
      let id = core.join(share: share)
      model.consumers.append(ModelConsumer(id: id, share: share))
      return
    }
    let consumer = here[random.below(here.count)]
    if random.oneIn(2) {
      let isWaiting = random.oneIn(2)
      core.setWaiting(isWaiting, model.consumers[consumer].id)
      model.consumers[consumer].isWaiting = isWaiting
    } else {
      let counts = random.oneIn(2)
      trace.append("leave \(consumer) \(counts)")
      core.leave(model.consumers[consumer].id, countsAsFailure: counts, now: instants)
      model.leave(consumer, counted: counts)
    }
  }

  /// True: somebody got something.
  @discardableResult
  mutating func take(max: Int? = nil) throws -> Bool {
    let here = model.consumers.indices.filter { model.consumers[$0].isHere }
    guard !here.isEmpty else {
      comeAndGo()
      return false
    }
    let consumer = here[random.below(here.count)]
    let asked = max ?? 1 + random.below(8)
    let asUnit = hasUnits && !random.oneIn(10)
    let credit = model.credit(of: consumer)
    let lease = core.take(
      model.consumers[consumer].id, max: asked, asUnit: asUnit, now: instants)
    trace.append("take \(consumer) \(asked) \(asUnit) \(String(describing: lease))")
    if let wrong = model.take(
      lease, consumer: consumer, max: asked, credit: credit, asUnit: asUnit)
    {
      try check(false, wrong)
    }
    if lease == nil, credit > 0, model.readyUnits.isEmpty {
      try check(
        core.ready == 0 && core.hunger == Swift.max(0, model.policy.maxInFlight - model.inFlight),
        "ready \(core.ready), hunger \(core.hunger)")
    }
    guard let lease else { return false }
    for piece in lease.pieces {
      for pick in piece.picks {
        let id = AckID(
          track: piece.track.rawValue, offset: pick.offset, lease: lease.serial, epoch: epoch)
        try check(everIssued.insert(id).inserted, "\(id) twice")
        held.append(id)
      }
    }
    leases.append(lease.serial)
    return true
  }

  // MARK: Settling

  private mutating func someIDs() -> [AckID] {
    var ids: [AckID] = []
    for _ in 0..<random.below(5) {
      if !held.isEmpty, !random.oneIn(6) {
        let id = held.remove(at: random.below(held.count))
        ids.append(id)
        old.append(id)
      } else if !old.isEmpty {
        ids.append(old[random.below(old.count)])
      }
    }
    if let first = ids.first, random.oneIn(8) { ids.append(first) }
    return ids
  }

  mutating func settle() throws {
    var request = Settlement()
    request.ack = someIDs()
    if random.oneIn(2) {
      request.nak = someIDs().map {
        Settlement.Nak($0, delay: random.oneIn(2) ? .milliseconds(random.below(20)) : nil)
      }
    }
    if random.oneIn(3) {
      request.extend = someIDs().map {
        Settlement.Extension($0, by: .milliseconds(random.below(2) * 30))
      }
      held += request.extend.map(\.id)
    }
    if random.oneIn(4) { request.term = someIDs().map { Settlement.Term($0, reason: "bad") } }
    try settle(request)
  }

  mutating func settle(_ request: Settlement) throws {
    let answers = core.settle(request, now: instants)
    trace.append("settle \(request) \(answers)")
    let expected = model.settle(request, epoch: epoch)
    try check(answers == expected, "answers \(answers), not \(expected)")
  }

  mutating func settleLease() throws {
    guard !leases.isEmpty else { return }
    let lease = leases[random.below(leases.count)]
    let verdict: UnitVerdict =
      switch random.below(6) {
      case 0, 1: .delivered
      case 2, 3:
        .retry(after: .milliseconds(random.below(20)), countsAsFailure: random.oneIn(2))
      case 4: .exhausted(reason: "500")
      default: .split
      }
    let isThere = core.settleUnit(lease, verdict, now: instants)
    trace.append("settle lease \(lease) \(verdict) \(isThere)")
    let expected = model.settle(lease: lease, verdict)
    try check(isThere == expected, "lease \(lease): \(isThere)")
  }

  mutating func giveBack() {
    guard !leases.isEmpty else { return }
    let lease = leases[random.below(leases.count)]
    trace.append("give back \(lease)")
    core.giveBack(lease, now: instants)
    model.giveBack(lease)
  }

  /// Of a lease just taken: what is too much.
  mutating func giveBackRest() {
    let here = model.consumers.indices.filter { model.consumers[$0].isHere }
    guard let consumer = here.first else { return }
    let credit = model.credit(of: consumer)
    guard
      let lease = core.take(
        model.consumers[consumer].id, max: 5, asUnit: hasUnits, now: instants)
    else { return }
    trace.append("take, and give back most: \(lease)")
    let wrong = model.take(lease, consumer: consumer, max: 5, credit: credit, asUnit: hasUnits)
    precondition(wrong == nil, wrong ?? "")
    leases.append(lease.serial)
    // A unit of before may not change any more.
    guard
      lease.unit == nil
        || lease.isNewUnit && lease.pieces.flatMap(\.picks).allSatisfy({ $0.delivery == 1 })
          && isFormedNow(lease)
    else { return }
    let keep = random.below(lease.count + 1)
    core.giveBackRest(lease.serial, keep: keep, now: instants)
    model.giveBackRest(lease, keep: keep)
  }

  private func isFormedNow(_ lease: DispatchLease) -> Bool {
    core.changes.events.contains {
      if case .unitFormed(let unit) = $0 { unit.id == lease.unit } else { false }
    }
  }

  mutating func advance(by milliseconds: Int64) {
    now += milliseconds
    trace.append("now \(now)")
    core.tick(now: instants)
    model.advance(to: now)
  }

  // MARK: The journal

  mutating func take(changes: Bool) {
    guard let changes = core.takeChanges() else { return }
    trace.append("changes \(changes)")
    open.append((changes, model))
  }

  mutating func commit() {
    guard !open.isEmpty else { return }
    let (changes, then) = open.removeFirst()
    trace.append("committed")
    journal.append(changes)
    durable = then
    core.committed(now: instants)
    model.committed(changes)
  }

  mutating func snapshot() {
    take(changes: true)
    while !open.isEmpty { commit() }
    base = core.state(now: instants)
    journal = []
  }

  mutating func bury() throws {
    let letters = core.nextBurials(max: 4)
    let expected = model.nextBurials(max: 4)
    try check(letters == expected, "burials \(letters), not \(expected)")
    for (place, letter) in letters.enumerated() {
      if let there = dead[letter.serial] {
        try check(
          there.offset == letter.offset && there.shardIndex == letter.shardIndex,
          "serial \(letter.serial) is \(there) and \(letter)")
      }
      dead[letter.serial] = letter
      if random.oneIn(5) {
        // That its append was durable never came to be known; those after it did not happen.
        core.burialsFailed()
        model.handed = 0
        return
      }
      trace.append("buried \(letter.serial)")
      let there = BurialPlace(shard: 0, offset: Offset(letter.serial))
      core.buried(letter.serial, at: place % 2 == 0 ? there : nil)
      model.buried(letter.serial)
    }
  }

  mutating func crash() throws {
    var survivors = open.prefix(random.below(open.count + 1)).map { $0 }
    if random.oneIn(3) { survivors = [] }
    for (changes, then) in survivors {
      journal.append(changes)
      durable = then
    }
    trace.append("crash, \(survivors.count) of \(open.count) survive")
    var replay = DispatchReplay(base)
    for changes in journal { replay.apply(changes) }
    epoch += 1
    rebuild(replay.state, firstLease: 1, model: durable.restarted())
    try compareStates(replay.state)
  }

  mutating func seek() {
    take(changes: true)
    while !open.isEmpty { commit() }
    let places = logs.indices.map { shard in
      earliest[shard] + UInt64(random.below(logs[shard].count - Int(earliest[shard]) + 1))
    }
    trace.append("seek \(places)")
    base = core.state(now: instants).sought(to: places.map { Offset($0) })
    journal = []
    rebuild(base, firstLease: core.nextLease, model: model.sought(to: places))
    durable = model
  }

  private mutating func rebuild(
    _ state: DispatchState, firstLease: UInt64, model next: DispatchModel
  ) {
    var policy = model.policy
    if random.oneIn(4) { policy.maxInFlight = 1 + random.below(20) }
    core = Dispatcher(policy, epoch: epoch, state: state, firstLease: firstLease, now: instants)
    model = next
    model.policy = policy
    model.now = now
    durable = model
    open = []
    old += held
    held = []
    leases = []
  }

  // MARK: Comparing

  func compare() throws {
    try check(core.inFlight == model.inFlight, "in flight \(core.inFlight), not \(model.inFlight)")
    for consumer in model.consumers.indices where model.consumers[consumer].isHere {
      let (mine, its) = (model.credit(of: consumer), core.credit(of: model.consumers[consumer].id))
      try check(mine == its, "credit \(its), not \(mine)")
    }
    let summary = core.summary
    try check(
      summary.tracks.map(\.track) == model.tracks.map(\.id),
      "tracks \(summary.tracks), not \(model.tracks.map(\.id))")
    for (its, mine) in zip(summary.tracks, model.tracks) {
      try check(
        its.floor.rawValue == mine.floor && its.place.rawValue == mine.place,
        "track \(mine.id): \(its), not \(mine.floor) and \(mine.place)")
      let tail = UInt64(logs[mine.shard].count)
      let count = model.unsettled(mine, tail: tail)
      let told = core.unsettled(mine.id, tail: Offset(tail))
      try check(count == told, "unsettled of \(mine.id): \(told), not \(count)")
      if its.end == nil {
        let shown = Int(tail - mine.floor) - its.settled
        try check(count == shown, "unsettled of \(mine.id) as shown: \(shown), not \(count)")
      }
    }
    let listed = core.inFlight(after: nil, limit: .max)
    try check(
      listed.map { DispatchModel.Place(track: $0.track, offset: $0.offset.rawValue) }
        == model.places(\.isOut), "in flight \(listed)")
    try check(
      core.history.gapRecords == model.gapRecords && core.history.droppedCount == model.dropped
        && core.history.buriedCount == model.buried,
      "history \(core.history), not \(model.gapRecords), \(model.dropped), \(model.buried)")
    if let due = core.nextDue { try check(due.milliseconds >= now, "due \(due) at \(now)") }
    if step % 16 == 0, core.changes.isEmpty, core.tracks.allSatisfy({ $0.acked.isEmpty }) {
      var replay = DispatchReplay(base)
      for changes in journal { replay.apply(changes) }
      for (changes, _) in open { replay.apply(changes) }
      try compareStates(replay.state)
    }
  }

  /// What the journal rebuilds is what a snapshot would hold.
  func compareStates(_ replayed: DispatchState) throws {
    let mine = plain(core.state(now: instants))
    let its = plain(replayed)
    try check(mine == its, "snapshot\n\(mine)\nis not the journal's\n\(its)")
  }

  /// Without back-offs that are over.
  private func plain(_ state: DispatchState) -> DispatchState {
    var state = state
    for track in state.tracks.indices {
      for attempt in state.tracks[track].attempts.indices
      where state.tracks[track].attempts[attempt].notBefore <= instants.wall {
        state.tracks[track].attempts[attempt].notBefore = Timestamp(milliseconds: 0)
      }
      state.tracks[track].attempts.removeAll { !$0.says }
    }
    for unit in state.units.indices where state.units[unit].notBefore <= instants.wall {
      state.units[unit].notBefore = Timestamp(milliseconds: 0)
    }
    return state
  }

  /// Consumers go on taking and acknowledging: everything gets settled.
  private mutating func finish() throws {
    var policy = model.policy
    policy.maxDeliveries = nil
    core.policy = policy
    model.policy = policy
    for consumer in model.consumers.indices where model.consumers[consumer].isHere {
      core.setShare(nil, of: model.consumers[consumer].id)
      model.consumers[consumer].share = nil
    }
    for round in 0..<400 {
      step += 1
      advance(by: round < 2 ? 100_000 : 5)
      for _ in 0..<4 {
        try fetch(all: true)
        while try take() {}
        held = held.shuffled(with: &random)
        try settle(Settlement(ack: held))
        held = []
        for lease in leases {
          let isThere = core.settleUnit(lease, .delivered, now: instants)
          try check(isThere == model.settle(lease: lease, .delivered), "lease \(lease)")
        }
        leases = []
        try bury()
        take(changes: true)
        while !open.isEmpty { commit() }
      }
      let isDone = zip(core.summary.tracks, logs.indices).allSatisfy {
        $0.floor.rawValue == logs[$1].count
      }
      if isDone, core.summary.burying == 0, core.trackIDs.count == logs.count {
        try compare()
        try check(
          dead.keys.sorted() == Array(0..<UInt64(dead.count)), "dead letters \(dead.keys.sorted())")
        return
      }
    }
    try check(false, "no end: \(core.summary)")
  }
}

extension Array {
  fileprivate func shuffled(with random: inout Random) -> [Element] {
    var rest = self
    for place in rest.indices.reversed() { rest.swapAt(place, random.below(place + 1)) }
    return rest
  }
}
