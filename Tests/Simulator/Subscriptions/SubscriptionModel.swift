// What must be true of one subscription: who was given what under which lease, what was settled, and what is owed.
import Engine
import Wire

final class SubscriptionModel {
  let name: String
  let incarnation: UInt64
  let stream: StreamModel
  private(set) var plan: SubscriptionPlan
  let model: Model
  /// Somebody asked for its deletion; whether it happened may be unknown.
  var mayBeDeleted = false
  /// Grows when a seek is asked for and when it is answered: what was asked under another says nothing for certain.
  private(set) var generation = 0
  private(set) var seeksInDoubt = 0
  private var seeksDone = 0
  /// Ways to be given up once more: seeks and replays asked for.
  var revivals = 0
  /// Told to be paused, and nobody asked for the contrary since.
  var isPaused = false
  /// Not known to be active.
  var mayBePaused = false
  /// Grows when it may be active again.
  private(set) var pauses = 0
  /// What the server last said of it.
  var lastSeen = "nothing"
  private var tracks: [UInt32: TrackModel] = [:]
  private var leases: [LeaseID: LeaseModel] = [:]

  /// What is asked of the server, and what was true when it was.
  struct Asked {
    var generation: Int
    /// Seeks that were answered.
    var seeks: Int
    var isDoubtful: Bool
    var isPaused: Bool
    var pauses: Int
    var at: Duration
    var life: Int
    var faults: Int
  }

  init(
    _ name: String, incarnation: UInt64, stream: StreamModel, plan: SubscriptionPlan,
    places: [Offset], _ model: Model
  ) {
    self.name = name
    self.incarnation = incarnation
    self.stream = stream
    self.plan = plan
    self.model = model
    if places.count != stream.shards.count {
      violate("a subscription begins somewhere", "\(places)")
    }
    for (shard, place) in zip(stream.shards, places) {
      tracks[UInt32(shard.index)] = TrackModel(shard, isReplay: false, start: place)
    }
  }

  var label: String { "\(name) (\(incarnation))" }
  /// Somebody could use it now.
  var isUsable: Bool { !mayBeDeleted && !stream.mayBeDeleted }
  func violate(_ invariant: String, _ detail: String) {
    model.world.violate(invariant, "\(label): \(detail)")
  }

  func asks() -> Asked {
    Asked(
      generation: generation, seeks: seeksDone, isDoubtful: seeksInDoubt > 0, isPaused: isPaused,
      pauses: pauses,
      at: model.monotonic, life: model.life, faults: model.faultCount)
  }

  /// True if no seek came between, or may have.
  func holds(_ asked: Asked) -> Bool { asked.generation == generation && !asked.isDoubtful }

  func changePlan(_ random: inout Random) -> SubscriptionFields { plan.change(&random) }

  func resumes() {
    isPaused = false
    pauses += 1
  }

  // MARK: Errors

  func justify(_ end: ConsumerEnd) {
    switch end {
    case .deleted: justify(SubscriptionError.notFound)
    case .streamReplaced: justify(SubscriptionError.streamReplaced)
    case .stopping: justify(SubscriptionError.stopping)
    case .wrongDelivery: justify(SubscriptionError.wrongDelivery)
    case .failed(let what): justify(SubscriptionError.storage(what, applied: .no))
    }
  }

  func justify(_ error: SubscriptionError) {
    switch error {
    case .notFound: if mayBeDeleted { return }
    case .streamReplaced: if stream.mayBeDeleted { return }
    case .stopping: if model.isStopping { return }
    case .busy: return
    case .diskFull, .storage: if model.hadFaults { return }
    case .tooManyConsumers, .wrongDelivery, .fenced, .badPlace: break
    }
    violate("a fault is answered only to a fault", "\(error)")
  }

  // MARK: Tracks

  func track(_ id: UInt32, shard index: Int) -> TrackModel? {
    if let known = tracks[id] {
      if known.shard.index != index {
        violate("a track is of one shard", "\(id): \(index), was \(known.shard.index)")
      }
      return known
    }
    guard index < stream.shards.count, Int(id) >= stream.shards.count else {
      violate("only the stream's shards are delivered", "track \(id), shard \(index)")
      return nil
    }
    let made = TrackModel(stream.shards[index], isReplay: true, start: .zero)
    tracks[id] = made
    return made
  }

  func mainTrack(of shard: Int) -> TrackModel { tracks[UInt32(shard)]! }

  func fate(of id: AckID) -> Fate? { tracks[id.track]?.fates[id.offset] }

  // MARK: Deliveries

  /// Takes note of a delivery that reached a consumer, and checks that all of it may be.
  func heard(_ delivery: Delivery, asked: Asked, by reader: String) {
    guard !delivery.pieces.isEmpty, delivery.pieces.allSatisfy({ !$0.picks.isEmpty }) else {
      return violate("a delivery holds records", "\(reader): \(delivery.lease)")
    }
    let lease = LeaseModel(delivery.lease, aliveUntil: aliveUntil(delivery, asked), asked: asked)
    if leases[delivery.lease] != nil {
      violate("a lease is given once", "\(reader): \(delivery.lease)")
    }
    var count = 0
    for piece in delivery.pieces {
      guard let track = track(piece.track, shard: piece.shardIndex) else { return }
      var seen = 0
      piece.forEachRecord { record, pick in
        model.seen(record, in: track.shard, by: reader)
        lease.add(pick.offset, on: piece.track, line: line(of: record))
        seen += 1
        return true
      }
      if seen != piece.picks.count {
        violate("picks lie in their chunk", "\(reader): \(seen) of \(piece.picks.count)")
      }
      count += seen
    }
    if count != delivery.recordCount { violate("a delivery says how many", "\(reader): \(count)") }
    leases[delivery.lease] = lease
    for piece in delivery.pieces {
      for pick in piece.picks { check(pick, of: piece, delivery, lease, by: reader) }
    }
    if delivery.isUnit { checkUnit(lease, by: reader) }
  }

  private func aliveUntil(_ delivery: Delivery, _ asked: Asked) -> Duration {
    guard let deadline = delivery.deadline else { return .seconds(1 << 40) }
    if model.clockNeverJumps {
      return .milliseconds(deadline.milliseconds - SimTime.start - 1)
    }
    return asked.at + plan.ackDeadlineMin
  }

  /// Which records must wait for one another; nil: this one waits for nobody.
  private func line(of record: RecordView) -> String? {
    switch plan.ordering {
    case .none: nil
    case .shard: ""
    case .key: record.key.map { String(decoding: $0, as: UTF8.self) }
    }
  }

  private func check(
    _ pick: Delivery.Pick, of piece: Delivery.Piece, _ delivery: Delivery, _ lease: LeaseModel,
    by reader: String
  ) {
    let track = tracks[piece.track]!
    let at =
      "\(reader): \(track.shard.label) track \(piece.track) offset \(pick.offset) "
      + "lease \(delivery.lease.text) delivery \(pick.delivery)"
    if pick.offset < track.start { violate("nothing comes from before the start", at) }
    let fate = track.fate(of: pick.offset)
    if let ok = fate.ok, ok < lease.id { violate("nothing is delivered after its ok", at) }
    if pick.delivery < 1 { violate("deliveries are counted from 1", at) }
    // In a line the loss of an earlier one is not its own failure.
    if !plan.isWebhook, plan.ordering == .none, pick.delivery > plan.maxDeliveriesMax {
      violate("after max_deliveries it is given up", at)
    }
    if let before = fate.newest, let other = leases[before.lease] {
      checkAgain(before, other, number: pick.delivery, lease, at)
      if isAlive(other, pick.offset, on: piece.track, for: lease) {
        violate(
          "a record has one consumer at a time",
          "\(at), until then \(before.lease.text) \(other.text)")
      }
    }
    if fate.isInUnit && !delivery.isUnit {
      violate("a unit stays together", at)
    }
    fate.heard(delivery.lease, number: pick.delivery)
    guard let member = lease.member(pick.offset, on: piece.track), let line = member.line else {
      return
    }
    checkOrder(pick.offset, line, track, id: piece.track, lease, at)
  }

  /// Later leases have higher numbers, as long as nothing forgot any.
  private func checkAgain(
    _ before: Fate.Heard, _ other: LeaseModel, number: UInt32, _ lease: LeaseModel, _ at: String
  ) {
    guard other.asked.life == lease.asked.life, before.lease.epoch == lease.id.epoch,
      other.asked.faults == model.faultCount, !plan.isWebhook
    else { return }
    let isLater = before.lease.isBefore(lease.id)
    if isLater ? number <= before.number : number >= before.number {
      violate("deliveries count up", "\(at), before \(before.number) at \(before.lease.text)")
    }
  }

  /// True if a lease cannot be over yet.
  private func isAlive(
    _ other: LeaseModel, _ offset: Offset, on track: UInt32, for lease: LeaseModel
  ) -> Bool {
    guard other.id.isBefore(lease.id), other.id.epoch == lease.id.epoch, !other.isLoose,
      other.asked.faults == model.faultCount, holds(other.asked),
      let until = other.aliveUntil(offset, on: track)
    else { return false }
    return model.monotonic < until
  }

  // MARK: Order

  /// What was passed over is settled: it never comes after, and is settled or being settled now.
  private func checkOrder(
    _ offset: Offset, _ line: String, _ track: TrackModel, id: UInt32, _ lease: LeaseModel,
    _ at: String
  ) {
    let spans = track.lines[line] ?? []
    for span in spans where span.lease != lease.id {
      if span.lease.isBefore(lease.id) {
        if let last = span.offsets.last, last > offset, !span.offsets.contains(offset) {
          violate(
            "keys come in order", "\(at), after \(last) of \(span.lease.text) in line '\(line)'")
        }
      } else if let first = span.offsets.first, first < offset,
        !lease.holds(first, on: id)
      {
        violate(
          "keys come in order", "\(at), before \(first) of \(span.lease.text) in line '\(line)'")
      }
    }
    track.add(offset, to: line, lease.id)
    guard !track.isReplay else { return }
    var other = track.explainedBelow
    while other < offset {
      if !lease.holds(other, on: id), lineKnown(of: other, track) == .some(line),
        !mayBeSettled(other, track)
      {
        violate("keys wait for what is before", "\(at): \(other) of '\(line)' is not settled")
      }
      other += 1
    }
  }

  /// The line of a record that the model knows; nil if it does not.
  private func lineKnown(of offset: Offset, _ track: TrackModel) -> String? {
    guard plan.ordering == .key else { return plan.ordering == .shard ? "" : nil }
    guard let number = track.shard.holder(at: offset), let place = model.requests[number].place,
      place.contains(offset)
    else { return nil }
    return RecordContent.key(of: number, index: offset.distance(from: place.lowerBound))
      .map { String(decoding: $0, as: UTF8.self) }
  }

  // MARK: Units

  /// The members of a unit are the same at every attempt.
  private func checkUnit(_ lease: LeaseModel, by reader: String) {
    let members = lease.text
    for member in lease.members {
      let fate = tracks[member.track]!.fate(of: member.offset)
      if let before = fate.unit, before != members, !mayExpire(tracks[member.track]!) {
        violate("a unit stays together", "\(reader): \(members), was \(before)")
      }
      fate.unit = members
    }
  }

  private func mayExpire(_ track: TrackModel) -> Bool {
    stream.mayExpire || track.shard.trimAsked > .zero
  }

  /// True if records at or above these places may have been trimmed.
  func mayExpire(from places: (ShardModel) -> Offset) -> Bool {
    stream.mayExpire || stream.shards.contains { $0.trimAsked > places($0) }
  }

  /// The whole lease may be taken back from now on: it was refused, or its consumer leaves.
  func loosen(_ lease: LeaseID) { leases[lease]?.isLoose = true }

  /// Its records may come one by one from now on.
  func mayBeSplit(_ lease: LeaseID) {
    for member in leases[lease]?.members ?? [] {
      tracks[member.track]?.fate(of: member.offset).unit = nil
    }
  }

  func members(of lease: LeaseID) -> [AckID] {
    (leases[lease]?.members ?? []).map {
      AckID(track: $0.track, offset: $0.offset, lease: lease.serial, epoch: lease.epoch)
    }
  }

  // MARK: Settling

  /// Asks for a later deadline, or an earlier one.
  func extends(_ id: AckID, until: Duration) {
    leases[id.leaseID]?.extend(id.offset, on: id.track, until: until)
  }

  /// The last one asked for holds.
  func extended(_ id: AckID, until: Duration) {
    leases[id.leaseID]?.extended(id.offset, on: id.track, until: until)
  }

  /// Of a record not delivered since a seek, too: what is counted here is what `settled` takes off.
  func settles(_ id: AckID) { tracks[id.track]?.fate(of: id.offset).settlesInFlight += 1 }

  /// What came of `settles`.
  func settled(_ id: AckID, _ end: SettleEnd, asked: Asked, givesUp reason: String? = nil) {
    guard let fate = fate(of: id) else { return }
    guard asked.seeks == seeksDone else {
      // Counted for the fate that it had before a seek; the server may have done the seek first all the same.
      if end != .refused { fate.mayBeSettled = true }
      if let reason, end != .refused { fate.reasons.insert(reason) }
      return
    }
    guard fate.settlesInFlight > 0 else { return }
    fate.settlesInFlight -= 1
    switch end {
    case .ok:
      if let reason { fate.reasons.insert(reason) }
      guard holds(asked) else {
        fate.mayBeSettled = true
        return
      }
      if let newest = fate.newest, id.leaseID.isBefore(newest.lease) {
        violate(
          "nothing is delivered after its ok",
          "offset \(id.offset) of track \(id.track) ok for \(id.leaseID.text), "
            + "was given as \(newest.lease.text)")
      }
      if fate.ok == nil { fate.ok = id.leaseID }
      if reason != nil { fate.isGivenUp = true }
    case .refused: break
    case .unknown:
      if let reason { fate.reasons.insert(reason) }
      fate.mayBeSettled = true
    }
  }

  enum SettleEnd { case ok, refused, unknown }

  /// The server stopped dead: what was in flight may have happened.
  func crashed() {
    for id in tracks.keys.sorted() { tracks[id]!.crashed() }
    if seeksInDoubt > 0 {
      generation += 1
      seeksInDoubt = 0
      doubtPlaces()
    }
    pauses += 1
  }

  // MARK: Seeks

  func seeks() {
    generation += 1
    seeksInDoubt += 1
    revivals += 1
    forgetOrder()
  }

  func sought(to places: [Offset]) {
    generation += 1
    seeksDone += 1
    seeksInDoubt -= 1
    leases = leases.filter { $0.value.asked.generation >= generation }
    tracks = [:]
    for (shard, place) in zip(stream.shards, places) {
      tracks[UInt32(shard.index)] = TrackModel(shard, isReplay: false, start: place)
    }
  }

  /// - Parameter certainly: it had no effect.
  func soughtInVain(certainly: Bool) {
    generation += 1
    seeksInDoubt -= 1
    if !certainly { doubtPlaces() }
  }

  /// Nobody knows where it stands: anything may come again, and only what nobody appended yet is owed.
  private func doubtPlaces() {
    for shard in stream.shards {
      let track = tracks[UInt32(shard.index)]!
      track.start = .zero
      track.owedFromTail = true
    }
  }

  /// What was settled may come again, and in any order beside what came before.
  private func forgetOrder() {
    for id in tracks.keys.sorted() { tracks[id]!.loosen() }
  }

  // MARK: What is owed

  /// True if there is a reason for this record not to be delivered any more.
  func mayBeSettled(_ offset: Offset, _ track: TrackModel) -> Bool {
    plan.mayGiveUp || isExplained(offset, track)
  }

  private func isExplained(_ offset: Offset, _ track: TrackModel) -> Bool {
    offset < track.owedFrom || offset < track.shard.trimAsked || stream.mayExpire
      || track.fates[offset]?.isExplained == true
  }

  /// Checks a floor: everything below it is settled, or may be.
  func checkFloor(_ floor: Offset, of shard: Int, by reader: String) {
    let track = mainTrack(of: shard)
    track.learnTail()
    var offset = track.explainedBelow
    while offset < floor {
      if !mayBeSettled(offset, track) {
        return violate(
          "the floor never passes an unsettled record",
          "\(reader): \(track.shard.label) floor \(floor), nothing settled \(offset)")
      }
      offset += 1
      if track.fates[Offset(offset.rawValue - 1)]?.ok != nil { track.explained(below: offset) }
    }
  }

  /// How many records are certainly not settled, and how many may be at most not, below `tail`.
  func unsettledLeast(_ shard: Int, below tail: Offset) -> Int {
    let track = mainTrack(of: shard)
    var count = 0
    var offset = max(track.owedFrom, track.explainedBelow)
    while offset < min(tail, track.shard.durableTail) {
      if !mayBeSettled(offset, track) { count += 1 }
      offset += 1
    }
    return count
  }

  /// How many records from the first that is owed on were settled for certain.
  func settledLeast(_ shard: Int) -> Int {
    let track = mainTrack(of: shard)
    // What is given up counts until it is buried.
    return track.fates.values.count {
      $0.ok != nil && $0.offset >= track.owedFrom && !($0.isGivenUp && plan.buries)
    }
  }

  /// How many records were settled for certain and would come again after a seek to the earliest.
  var settledAndKept: Int {
    stream.shards.reduce(0) { sum, shard in
      sum
        + mainTrack(of: shard.index).fates.values.count {
          $0.ok != nil && $0.offset >= shard.trimAsked
        }
    }
  }

  /// How many records may be unsettled below `tail` if none was settled.
  func owed(_ shard: Int, below tail: Offset) -> Int {
    let track = mainTrack(of: shard)
    return tail.distance(from: min(tail, track.start))
  }

  /// Places of records that were settled for certain.
  var okPlaces: Set<String> {
    var places: Set<String> = []
    for (id, track) in tracks {
      for fate in track.fates.values where fate.ok != nil { places.insert("\(id):\(fate.offset)") }
    }
    return places
  }

  /// Everything is settled: what nobody settled was dropped, and counted.
  func checkDropped(_ dropped: Int) {
    var unexplained = 0
    for shard in stream.shards {
      let track = mainTrack(of: shard.index)
      var offset = track.owedFrom
      while offset < shard.durableTail {
        if !isExplained(offset, track) { unexplained += 1 }
        offset += 1
      }
    }
    if unexplained > (plan.buries ? 0 : dropped) {
      violate("nothing is lost", "\(unexplained) unsettled, \(dropped) dropped")
    }
  }

  /// Records that were given up for certain and are not found among the dead letters yet.
  var missingDeadLetters: [(shard: ShardModel, offset: Offset)] {
    guard plan.buries, !stream.mayBeDeleted, !stream.mayExpire else { return [] }
    var missing: [(ShardModel, Offset)] = []
    for shard in stream.shards {
      for fate in mainTrack(of: shard.index).fates.values
      where fate.isGivenUp && fate.deadLetters == 0 && fate.offset >= shard.trimAsked {
        missing.append((shard, fate.offset))
      }
    }
    return missing.sorted { ($0.0.index, $0.1) < ($1.0.index, $1.1) }
  }
}

extension LeaseID {
  func isBefore(_ other: LeaseID) -> Bool { (epoch, serial) < (other.epoch, other.serial) }
  static func < (left: LeaseID, right: LeaseID) -> Bool { left.isBefore(right) }
  var text: String { "\(epoch).\(serial)" }
}

extension AckID {
  var leaseID: LeaseID { LeaseID(serial: lease, epoch: epoch) }
  var text: String { "\(track):\(offset)@\(leaseID.text)" }
}
