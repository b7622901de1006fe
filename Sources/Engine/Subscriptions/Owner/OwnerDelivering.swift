// How records reach consumers: in turns, from chunks on the shelf or read again, as much as each may have.
import Wire

/// A lease on its way to the one who gets it.
final class Handover {
  enum Recipient {
    case pull(WaitingPull)
    case push(OwnerConsumer)
  }
  let lease: DispatchLease
  let recipient: Recipient
  let life: UInt32
  let bytesMax: Int
  var pieces: [Delivery.Piece] = []
  /// How far the lease's picks have found their chunks.
  var piece = 0
  var pick = 0
  /// True as long as the turn lasts in which it was leased.
  var isFresh = true
  /// Every record has its chunk.
  var isWhole = false
  /// May be shown: a new batch only once its membership is durable.
  var isDurable: Bool

  var consumer: OwnerConsumer {
    switch recipient {
    case .pull(let pull): pull.consumer
    case .push(let consumer): consumer
    }
  }

  init(_ lease: DispatchLease, to recipient: Recipient, life: UInt32, bytesMax: Int) {
    self.lease = lease
    self.recipient = recipient
    self.life = life
    self.bytesMax = bytesMax
    isDurable = !lease.isNewUnit
  }
}

extension SubscriptionOwner {
  /// Records that one turn leases, so that the executor has time for others.
  private static let turnRecordsMax = 20_000
  private static let rereadBytes = 128 << 10

  // MARK: Turns

  /// Gives everybody in the line something, one after the other, until there is nothing to give.
  func serve(_ now: Instants) {
    guard !isPaused, !isRefusing, !fetching.setback.isResting else { return }
    var budget = Self.turnRecordsMax
    // Those in a row for whom there was nothing.
    var misses = 0
    while misses < line.count, core!.ready > 0 {
      guard budget > 0 else { return scheduleTurn() }
      guard let place = line.next() else { break }
      switch place {
      case .pull(let pull):
        guard !pull.ticket.isDecided else {
          leftLine(pull)
          continue
        }
        guard
          let lease = core!.take(
            pull.consumer.id!, max: pull.countMax, asUnit: false, now: now)
        else {
          line.append(place)
          misses += 1
          continue
        }
        leftLine(pull)
        misses = 0
        budget -= lease.count
        handOver(lease, to: .pull(pull), bytesMax: pull.bytesMax)
      case .push(let consumer):
        guard let lease = lease(for: consumer, now) else {
          line.append(place)
          misses += 1
          continue
        }
        misses = 0
        budget -= lease.count
        if let credit = consumer.credit { consumer.credit = credit - 1 }
        if consumer.isWaiting {
          line.append(place)
        } else {
          core!.setWaiting(false, consumer.id!)
        }
        handOver(lease, to: .push(consumer), bytesMax: consumer.push!.options.bytesMax)
      }
    }
  }

  private func lease(for consumer: OwnerConsumer, _ now: Instants) -> DispatchLease? {
    let options = consumer.push!.options
    guard let units = options.units else {
      return core!.take(consumer.id!, max: options.recordsMax, asUnit: false, now: now)
    }
    // A batch that is not full waits for more, but not for long.
    if units.recordsMax > core!.ready, units.linger > .zero {
      let until = consumer.lingersUntil ?? now.monotonic + units.linger
      consumer.lingersUntil = until
      guard until <= now.monotonic else { return nil }
    }
    consumer.lingersUntil = nil
    return core!.take(consumer.id!, max: units.recordsMax, asUnit: true, now: now)
  }

  /// When the next batch has waited for long enough. One whose time is over waits for something else, which wakes it.
  var lingerDue: Duration? {
    guard subscription.spec.webhook != nil else { return nil }
    let time = services.time.monotonic
    return roster.all.compactMap(\.lingersUntil).filter { $0 > time }.min()
  }

  // MARK: Handing over

  private func handOver(
    _ lease: DispatchLease, to recipient: Handover.Recipient, bytesMax: Int
  ) {
    let handover = Handover(lease, to: recipient, life: life, bytesMax: bytesMax)
    handover.consumer.underWay += 1
    upkeep.isDirty = true
    if lease.isNewUnit { next.units.append(handover) }
    findChunks(handover)
    handover.isFresh = false
  }

  /// Finds the chunks of the picks that have none yet; what is not on the shelf is read.
  private func findChunks(_ handover: Handover) {
    while handover.piece < handover.lease.pieces.count {
      let piece = handover.lease.pieces[handover.piece]
      while handover.pick < piece.picks.count {
        let first = piece.picks[handover.pick].offset
        guard let chunk = shelf!.chunk(piece.shardIndex, at: first) else {
          return read(first, inShard: piece.shardIndex, for: handover)
        }
        take(chunk, piece, for: handover)
      }
      handover.piece += 1
      handover.pick = 0
    }
    finish(handover)
  }

  private func take(_ chunk: FrameChunk, _ piece: DispatchLease.Piece, for handover: Handover) {
    let start = handover.pick
    var end = start
    while end < piece.picks.count, piece.picks[end].offset < chunk.end { end += 1 }
    let picks = [Delivery.Pick](unsafeUninitializedCapacity: end - start) { target, count in
      for index in start..<end {
        let pick = piece.picks[index]
        target.initializeElement(
          at: index - start,
          to: Delivery.Pick(offset: pick.offset, delivery: UInt32(clamping: pick.delivery)))
      }
      count = end - start
    }
    handover.pieces.append(
      Delivery.Piece(
        track: piece.track.rawValue, shardIndex: piece.shardIndex, chunk: chunk, picks: picks))
    handover.pick = end
  }

  private func read(_ place: Offset, inShard shardIndex: Int, for handover: Handover) {
    guard let engine, let shard = stream?.shards[shardIndex] else { return drop(handover) }
    let owner = confined
    let confinedHandover = Confined(handover, to: executor)
    engine.read(shard, from: place, bytesMax: Self.rereadBytes, on: executor) { outcome in
      owner.value.reread(outcome, shard, for: confinedHandover.value)
    }
  }

  private func reread(_ outcome: ReadOutcome, _ shard: Shard, for handover: Handover) {
    guard handover.life == life, core != nil else { return drop(handover) }
    let piece = handover.lease.pieces[handover.piece]
    switch outcome {
    case .frames(let chunk):
      shelf!.put(chunk, shard.index)
      take(chunk, piece, for: handover)
      findChunks(handover)
    case .trimmed(let earliest):
      // They are no longer anybody's.
      missing(piece.track, below: earliest)
      while handover.pick < piece.picks.count, piece.picks[handover.pick].offset < earliest {
        handover.pick += 1
      }
      findChunks(handover)
    case .atTail, .beyondTail:
      core!.giveBack(handover.lease.serial, now: now)
      readFailed("shard \(shard.index) ends before what was delivered")
      drop(handover)
    case .failed(let error):
      core!.giveBack(handover.lease.serial, now: now)
      readFailed(error, shard)
      drop(handover)
    }
    scheduleTurn()
  }

  /// It comes to nothing: a pull goes back to where it was in the line, others have their credit back.
  func drop(_ handover: Handover) {
    handover.consumer.underWay -= 1
    switch handover.recipient {
    case .push(let consumer):
      guard !consumer.isGone, let credit = consumer.credit else { return }
      setCredit(credit + 1, of: consumer)
    case .pull(let pull):
      guard !pull.ticket.isDecided else { return }
      if let error = endError ?? (isRefusing ? .stopping : nil) {
        return answer(pull, .failure(error))
      }
      line.prepend(pull)
      joinLine(pull)
      scheduleTurn()
    }
  }

  private func finish(_ handover: Handover) {
    let lease = handover.lease
    if lease.unit == nil || lease.mayShrink && handover.isFresh { cut(handover) }
    guard !handover.pieces.isEmpty else { return drop(handover) }
    handover.isWhole = true
    hand(over: handover)
  }

  /// Gives back what would make the answer longer than it may be.
  private func cut(_ handover: Handover) {
    var last: Int?
    let bytes = handover.pieces.enumerated().reduce(0) { sum, next in
      // A chunk that several pieces share in a row counts once.
      defer { last = next.offset }
      if let last, handover.pieces[last].chunk.start == next.element.chunk.start,
        handover.pieces[last].shardIndex == next.element.shardIndex
      {
        return sum
      }
      return sum + next.element.chunk.byteCount
    }
    guard bytes > handover.bytesMax else { return }
    var left = handover.bytesMax
    var isFirst = true
    var back: [AckID] = []
    for index in handover.pieces.indices {
      let piece = handover.pieces[index]
      var kept = 0
      if left > 0 || isFirst {
        piece.forEachRecord { record, _ in
          left -= record.value.count + (record.key?.count ?? 0) + 64
          guard left >= 0 || isFirst else { return false }
          isFirst = false
          kept += 1
          return true
        }
      }
      guard kept < piece.picks.count else { continue }
      left = 0
      for pick in piece.picks[kept...] {
        back.append(
          AckID(
            track: piece.track, offset: pick.offset, lease: handover.lease.serial, epoch: epoch))
      }
      handover.pieces[index].picks.removeLast(piece.picks.count - kept)
    }
    guard !back.isEmpty else { return }
    handover.pieces.removeAll { $0.picks.isEmpty }
    core!.giveBack(back, now: now)
    scheduleTurn()
  }

  /// Everything is there and durable: it goes to whom it was leased for.
  func hand(over handover: Handover) {
    guard handover.isWhole, handover.isDurable else { return }
    // Lost while it was read: others may have its records by now, or be done with them.
    guard handover.life == life, core?.left(of: handover.lease.serial) ?? 0 > 0 else {
      return drop(handover)
    }
    handover.consumer.underWay -= 1
    let delivery = Delivery(
      lease: LeaseID(serial: handover.lease.serial, epoch: epoch), pieces: handover.pieces,
      recordCount: handover.pieces.reduce(0) { $0 + $1.picks.count },
      deadline: handover.lease.deadline.map { wall($0) }, isUnit: handover.lease.unit != nil)
    switch handover.recipient {
    case .pull(let pull):
      answer(
        pull,
        .success(
          Pulled(delivery: delivery, backlog: backlog, state: subscription.spec.state)))
    case .push(let consumer):
      guard !consumer.isGone, let push = consumer.push else { return }
      let deliver = push.deliver
      post(push.executor) { deliver(.delivery(delivery)) }
    }
  }

  /// A moment of the monotonic clock on the wall's.
  func wall(_ time: Duration) -> Timestamp {
    let now = now
    return Timestamp(
      milliseconds: now.wall.milliseconds + (time - now.monotonic).milliseconds)
  }

  // MARK: Pulling

  func pull(
    named name: String, countMax: Int, bytesMax: Int, wait: Duration, on target: any Executor,
    ticket: PullState, reply: @escaping @Sendable (Result<Pulled, SubscriptionError>) -> Void
  ) {
    func refuse(_ error: SubscriptionError) {
      if ticket.decide() { post(target) { reply(.failure(error)) } }
    }
    if let error = endError ?? (isRefusing ? .stopping : nil) { return refuse(error) }
    guard takes(.pull) else { return refuse(.wrongDelivery) }
    guard line.pullCount < Self.pullsMax else {
      return refuse(.busy("too many pulls wait on this subscription"))
    }
    let now = now
    let consumer: OwnerConsumer
    if let known = roster.puller(named: name) {
      consumer = known
    } else {
      guard roster.count < Self.consumersMax else {
        return refuse(.tooManyConsumers(max: Self.consumersMax))
      }
      consumer = add(name, push: nil, now)
    }
    consumer.lastSeen = now.wall
    consumer.lastSeenMonotonic = now.monotonic
    let pull = WaitingPull(
      consumer, countMax: countMax, bytesMax: bytesMax, expiry: now.monotonic + wait,
      executor: target, ticket: ticket, reply: reply)
    line.append(.pull(pull))
    joinLine(pull)
    activate()
    scheduleTurn()
  }

  func add(_ name: String, push: OwnerConsumer.Push?, _ now: Instants) -> OwnerConsumer {
    let consumer = roster.add(name, push: push, now: now)
    if core != nil {
      consumer.id = core!.join(share: consumer.share)
      roster.joined(consumer)
      core!.setWaiting(consumer.isWaiting, consumer.id!)
    }
    return consumer
  }

  private func joinLine(_ pull: WaitingPull) {
    pull.consumer.pullsWaiting += 1
    if pull.consumer.pullsWaiting == 1, let id = pull.consumer.id { core?.setWaiting(true, id) }
  }

  func leftLine(_ pull: WaitingPull) {
    pull.consumer.pullsWaiting -= 1
    if pull.consumer.pullsWaiting == 0, let id = pull.consumer.id { core?.setWaiting(false, id) }
  }

  /// The client of a pull went away.
  func abandon() {
    // They often go together, ten thousand at once: one look at the line is for all of a tick.
    line.hasAbandoned = true
    scheduleTurn()
  }

  func forgetAbandoned() {
    guard line.hasAbandoned else { return }
    line.hasAbandoned = false
    for pull in line.remove(where: { $0.ticket.isDecided }) { leftLine(pull) }
  }

  /// When the next pull's time is over.
  var expiryDue: Duration? {
    // Before there is a dispatcher nobody knows whether there is something to give.
    if case .activating = phase { return nil }
    return line.nextExpiry.map { $0 + patience }
  }

  /// What is being read may be just what a pull without patience asks for.
  private var patience: Duration { fetching.reads > 0 ? .seconds(1) : .zero }

  /// Pulls whose time is over get an empty answer.
  func answerExpired() {
    let time = services.time.monotonic
    guard let due = expiryDue, due <= time else { return }
    let patience = patience
    let isOver = line.remove { $0.expiry + patience <= time }
    for pull in isOver {
      leftLine(pull)
      if case .resting(_, let error) = phase {
        answer(pull, .failure(error))
      } else {
        let empty = Pulled(delivery: nil, backlog: backlog, state: subscription.spec.state)
        answer(pull, .success(empty))
      }
    }
  }

  /// On the pull's own executor, unless it was cancelled there before: then what was leased comes back.
  func answer(_ pull: WaitingPull, _ result: Result<Pulled, SubscriptionError>) {
    let (ticket, reply, owner) = (pull.ticket, pull.reply, confined)
    let mailboxes = services.mailboxes
    post(pull.executor) {
      if ticket.decide() { return reply(result) }
      guard case .success(let pulled) = result, let lease = pulled.delivery?.lease else { return }
      mailboxes.post(to: owner.executor) { owner.value.giveBack(lease) }
    }
  }

  func giveBack(_ lease: LeaseID) {
    guard core != nil, !isSeeking, lease.epoch == epoch else { return }
    core!.giveBack(lease.serial, now: now)
    scheduleTurn()
  }
}
