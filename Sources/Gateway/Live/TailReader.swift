// One live answer: from its place in the log up to the tail, level with the others there, back to the log when slow.
import Engine
import NIOCore
import Wire

/// What a live reader asked for; places apart.
struct TailRequest {
  let stream: Stream
  /// The one shard, or nil for all.
  let shardIndex: Int?
  let shape: LiveShape
  /// nil: everything, for ever.
  let filter: RecordFilter?
}

/// *Walking* it reads the log at its client's pace. Near the tail it becomes a *feed* of the stream's tail: it reads up
/// to where the tail stood when it joined while what comes later is kept for it, so that there is no hole. Without
/// a filter it is then *level*: it keeps no place of its own and costs one write a round. Whenever its client takes
/// too little it walks again, from exactly what it was last sent.
final class TailReader: RosterMember {
  var rosterSlot = 0
  let exchange: any Exchange
  private let hub: TailHub
  private let request: TailRequest
  private var seat: Seat
  /// What only a reader needs that is not level.
  private var log: LogPlace?
  private var lastWriteTick: Int

  private enum Seat {
    case walking
    case feed(StreamTail)
    case level(TailChannel)
    case gone
  }

  private final class LogPlace {
    var walk: HistoryWalk
    var filter: RecordFilter?
    /// A bit for each shard that holds nothing more for it.
    var finishedSlots: UInt64 = 0
    var isReading = false
    var arrived: (outcome: ReadOutcome, slot: Int)?
    var isPumping = false
    /// Read since the stops were set.
    var sweepBytes = 0
    /// A feed that has not yet reached the place where it joined; what came since is kept.
    var isJoining = false
    var kept: [TailPiece] = []
    var keptBytes = 0
    /// The place moved since the client was last told.
    var hasMovedUntold = false

    init(_ walk: HistoryWalk, _ filter: RecordFilter?) {
      self.walk = walk
      self.filter = filter
    }

    func isFinished(_ slot: Int) -> Bool { finishedSlots & (1 << UInt64(slot)) != 0 }

    func setStops(_ stops: [Offset]) {
      walk.setStops(stops.indices.map { isFinished($0) ? walk.places[$0] : stops[$0] })
    }
  }

  /// The answer has been started; `places` are where it begins.
  init(_ request: TailRequest, from places: [Offset], _ exchange: any Exchange, on hub: TailHub) {
    precondition(places.count <= 64, "handlers refuse more shards")
    self.request = request
    self.exchange = exchange
    self.hub = hub
    seat = .walking
    lastWriteTick = hub.heartbeat.tick
    log = LogPlace(HistoryWalk(from: places, to: places), request.filter)
  }

  private var form: LiveForm { if case .events = request.shape { .sse } else { .ndjson } }

  func start() {
    hub.metrics.countLive(form, 1)
    hub.beginWalking(self)
    exchange.onDrain = { [self] in pump() }
    exchange.onClose = { [self] in leave() }
    guard let log else { return }
    log.setStops(shards.map(\.tail))
    finishReached(log)
    if endIfSatisfied(log) { return }
    pump()
  }

  private var shards: [Shard] {
    request.shardIndex.map { [request.stream.shards[$0]] } ?? request.stream.shards
  }

  private var scope: ReadScope {
    ReadScope(incarnation: request.stream.incarnation, shardIndex: request.shardIndex)
  }

  private var isSlow: Bool { exchange.unsentBytes > hub.settings.unsentBytesMax }

  // MARK: From the log

  /// Goes on until a read is under way, the client has enough to take, or it is with the tail.
  func pump() {
    guard let log, !log.isPumping else { return }
    log.isPumping = true
    defer { log.isPumping = false }
    while self.log === log, !isSlow {
      if let (outcome, slot) = log.arrived {
        log.arrived = nil
        take(outcome, slot, log)
      } else if log.isReading {
        return
      } else if let slot = log.walk.nextSlot() {
        read(slot, log)
      } else if !settle(log) {
        return
      }
    }
  }

  private func read(_ slot: Int, _ log: LogPlace) {
    log.isReading = true
    let reader = Confined(self, to: hub.executor)
    hub.source.read(
      shards[slot], from: log.walk.places[slot],
      bytesMax: min(hub.historyBytesMax, 256 << 10), on: hub.executor
    ) { outcome in
      reader.value.arrived(outcome, slot)
    }
  }

  private func arrived(_ outcome: ReadOutcome, _ slot: Int) {
    guard let log else { return }
    log.isReading = false
    log.arrived = (outcome, slot)
    pump()
  }

  private func take(_ outcome: ReadOutcome, _ slot: Int, _ log: LogPlace) {
    switch outcome {
    case .frames(let chunk):
      log.sweepBytes += chunk.byteCount
      write([TailPiece(slot: slot, chunk: chunk)], log)
      log.walk.endTurn(of: slot)
    case .atTail: log.walk.stop(slot, at: log.walk.places[slot])
    case .trimmed(let earliest): skip(slot, to: earliest, log)
    case .beyondTail(let tail):
      fail(ReadProblem.beyondTail(log.walk.places[slot], tail: tail, shard: shards[slot].index))
    case .failed(.gone): end(shards[slot].isRemoved ? .deleted : .stopping)
    case .failed(let error): fail(Problem(error))
    }
  }

  /// Retention overtook it.
  private func skip(_ slot: Int, to earliest: Offset, _ log: LogPlace) {
    let from = log.walk.places[slot]
    precondition(earliest > from, "records at \(from) are said to be gone, and \(earliest) not")
    guard case .events = request.shape else {
      // A line has no way to say it: the client sees that the answer broke off.
      return breakOff()
    }
    log.walk.move(slot, to: earliest)
    finishReached(log)
    let cursor = scope.cursor(at: log.walk.places)
    let shard = shards[slot].index
    send(
      BodyChunk { buffer in
        LiveText.writeGap(shard: shard, from: from, to: earliest, at: cursor, into: &buffer)
      }, log)
    _ = endIfSatisfied(log)
  }

  /// At its stops: goes on to where the tail is by now, or joins it. False if it must wait.
  private func settle(_ log: LogPlace) -> Bool {
    switch seat {
    case .walking:
      if log.sweepBytes > hub.settings.feedBytesMax / 4 {
        log.sweepBytes = 0
        log.setStops(shards.map(\.tail))
        return true
      }
      let tail = hub.tail(of: request.stream, shardIndex: request.shardIndex)
      hub.endWalking(self)
      seat = .feed(tail)
      log.isJoining = true
      tail.add(feed: self)
      guard tail.isOpen else { return false }
      log.setStops(tail.level)
      return true
    case .feed(let tail):
      guard log.isJoining, tail.isOpen else { return false }
      log.isJoining = false
      let kept = log.kept
      log.kept = []
      log.keptBytes = 0
      write(kept, log)
      becomeLevel(with: tail)
      return false
    case .level, .gone: return false
    }
  }

  // MARK: With the tail

  /// The tail it waits for is followed from now on.
  func tailOpened() {
    guard let log, case .feed(let tail) = seat else { return }
    log.setStops(tail.level)
    pump()
  }

  /// A round of the tail it is a feed of.
  func take(_ pieces: [TailPiece]) {
    guard let log, case .feed(let tail) = seat else { return }
    if log.isJoining {
      log.kept.append(contentsOf: pieces)
      log.keptBytes += pieces.reduce(0) { $0 + $1.chunk.byteCount }
      if log.keptBytes > hub.settings.feedBytesMax { leaveFeed(of: tail) }
    } else if isSlow {
      leaveFeed(of: tail)
    } else {
      write(pieces, log)
      becomeLevel(with: tail)
    }
  }

  private func becomeLevel(with tail: StreamTail) {
    guard let log, log.filter == nil, case .feed = seat, log.walk.places == tail.level else {
      return
    }
    tail.remove(feed: self)
    seat = .level(tail.addLevel(self, request.shape))
    self.log = nil
  }

  private func leaveFeed(of tail: StreamTail) {
    tail.remove(feed: self)
    loseFeed()
    pump()
  }

  /// The tail has let go of it as a feed: it walks on.
  func loseFeed() {
    guard let log else { return }
    seat = .walking
    log.isJoining = false
    log.kept = []
    log.keptBytes = 0
    log.sweepBytes = 0
    log.setStops(shards.map(\.tail))
    hub.beginWalking(self)
  }

  /// The tail has let go of it as a level reader: it has everything before `places` and walks on from there.
  func leaveLevel(at places: [Offset]) {
    seat = .walking
    lastWriteTick = hub.heartbeat.tick
    log = LogPlace(HistoryWalk(from: places, to: shards.map(\.tail)), nil)
    hub.beginWalking(self)
  }

  // MARK: Writing

  private func write(_ pieces: [TailPiece], _ log: LogPlace) {
    var writer = LiveWriter(request.shape, scope, at: log.walk.places)
    let bytes = pieces.reduce(0) { $0 + $1.chunk.byteCount }
    let chunk = BodyChunk.unlessEmpty(bytesHint: log.filter == nil ? 2 * bytes : 512) { buffer in
      for piece in pieces where !log.isFinished(piece.slot) {
        if log.filter?.remaining == 0 { break }
        let place = writer.places[piece.slot]
        precondition(piece.chunk.start <= place, "a hole from \(place) to \(piece.chunk.start)")
        if log.filter == nil {
          writer.writeAll(piece.chunk, slot: piece.slot, into: &buffer)
        } else if writer.write(piece.chunk, slot: piece.slot, &log.filter!, into: &buffer) {
          log.finishedSlots |= 1 << UInt64(piece.slot)
        }
      }
      writer.closeBatch(into: &buffer)
    }
    for slot in writer.places.indices { log.walk.move(slot, to: writer.places[slot]) }
    if let chunk { send(chunk, log) }
    if writer.hasSkipped { log.hasMovedUntold = true }
    finishReached(log)
    _ = endIfSatisfied(log)
  }

  private func send(_ chunk: BodyChunk, _ log: LogPlace) {
    lastWriteTick = hub.heartbeat.tick
    log.hasMovedUntold = false
    exchange.write(chunk)
  }

  /// Marks the shards whose place is at an `until` offset, and keeps them from being read.
  private func finishReached(_ log: LogPlace) {
    guard let filter = log.filter else { return }
    for slot in log.walk.places.indices {
      if case .offset(let until) = filter.until, log.walk.places[slot] >= until {
        log.finishedSlots |= 1 << UInt64(slot)
      }
      if log.isFinished(slot) { log.walk.stop(slot, at: log.walk.places[slot]) }
    }
  }

  /// True if the client has all it asked for.
  private func endIfSatisfied(_ log: LogPlace) -> Bool {
    guard self.log === log, let filter = log.filter else { return false }
    if filter.remaining == 0 {
      finish(.limit)
      return true
    }
    if log.walk.places.indices.allSatisfy(log.isFinished) {
      finish(.until)
      return true
    }
    return false
  }

  // MARK: Time

  func ticked() {
    guard let log else { return }
    if case .feed = seat, !log.isJoining, case .time(let until) = log.filter?.until {
      let grace = hub.settings.lateCommitGrace.components.seconds * 1000
      if hub.clock.now.milliseconds > until.milliseconds + grace { return finish(.until) }
    }
    if isSlow { return }
    // The transport says when it has drained; this is for what it never held.
    pump()
    guard self.log === log, hub.heartbeat.isDue(since: lastWriteTick) else { return }
    if log.hasMovedUntold, case .events = request.shape {
      var isUpToDate = false
      if case .feed = seat, !log.isJoining { isUpToDate = true }
      let cursor = scope.cursor(at: log.walk.places)
      send(
        BodyChunk { buffer in
          LiveText.writeCheckpoint(isUpToDate: isUpToDate, at: cursor, into: &buffer)
        }, log)
    } else {
      lastWriteTick = hub.heartbeat.tick
      exchange.write(LiveText.heartbeat(request.shape))
    }
  }

  // MARK: Ending

  /// The stream is gone, or the server stops.
  func end(_ reason: TailEnd) {
    switch reason {
    case .deleted: finish(.deleted)
    case .stopping:
      // Lines have no way to say it, but nothing is missing from them either.
      if case .lines = request.shape { return finishStopped() }
      fail(Problem(.stopping, "The server is stopping; come back after the time in retry."))
    }
  }

  private func finish(_ reason: LiveEnd) {
    guard let log else { return }
    let cursor = scope.cursor(at: log.walk.places, isEnded: true)
    leave()
    if case .events = request.shape {
      exchange.write(BodyChunk { LiveText.writeEnd(reason, at: cursor, into: &$0) })
    }
    exchange.finish()
  }

  private func finishStopped() {
    guard log != nil else { return }
    leave()
    exchange.finish()
  }

  /// A trouble that passes, or should: the client comes back to the place it knows.
  private func fail(_ problem: Problem) {
    guard log != nil else { return }
    guard case .events = request.shape else { return breakOff() }
    leave()
    exchange.finish(problem, retry: hub.settings.troubleDelay)
  }

  private func breakOff() {
    leave()
    exchange.abort()
  }

  /// Lets go of everything: the client went away or has been told that it is over.
  private func leave() {
    switch seat {
    case .walking: hub.endWalking(self)
    case .feed(let tail): tail.remove(feed: self)
    case .level(let channel): channel.readers.remove(self)
    case .gone: return
    }
    seat = .gone
    log = nil
    hub.metrics.countLive(form, -1)
    exchange.onDrain = nil
    exchange.onClose = nil
  }
}
