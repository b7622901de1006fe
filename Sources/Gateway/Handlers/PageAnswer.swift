// A read of a bounded size: one JSON document, or as many lines or raw values. Waits for the first record if asked to.
import Engine
import NIOCore
import Wire

/// Takes the shards in turns of an equal part of the page each, so that a page below the tail depends only on where it
/// begins: then it never changes and has an ETag.
final class PageAnswer {
  /// Frames looked at for one page: a key that is rare gives short pages, not long waits.
  private static let scanBytesMax = 32 << 20

  private let request: Request
  private let exchange: any Exchange
  private let tails: TailHub
  private let query: ReadQuery
  private let target: ReadTarget
  private let shards: [Shard]
  private let places: ReadPlaces
  private let deadline: Duration
  private var walk: HistoryWalk
  private var page: PageText
  private var scannedBytes = 0
  private var turnRecords = 0
  private var turnBytes = 0
  private var isReading = false
  private var arrived: (outcome: ReadOutcome, slot: Int)?
  private var isPumping = false
  /// What this page was let in for; nil while it waits.
  private var turnTaken: Int?
  private var isOver = false
  private var waiting: (tail: StreamTail, poller: TailPoller, timer: ScheduledJob)?

  init(
    _ request: Request, _ query: ReadQuery, _ target: ReadTarget, _ places: ReadPlaces
  ) {
    self.request = request
    exchange = request.exchange
    tails = request.loop.tails
    self.query = query
    self.target = target
    self.places = places
    shards = target.shards
    walk = HistoryWalk(from: places.start, to: target.tails)
    page = PageText(query, shardCount: shards.count)
    deadline = request.arrived + (query.wait ?? .zero)
  }

  func start() {
    exchange.onClose = { [self] in leave() }
    finishReached()
    make()
  }

  /// Goes on when it is this page's turn.
  private func make() {
    let bytes = page.bytesLeft
    tails.pages.enter(bytes: bytes) { [self] in
      turnTaken = bytes
      if isOver { rest() } else { pump() }
    }
  }

  private func rest() {
    guard let bytes = turnTaken else { return }
    turnTaken = nil
    tails.pages.leave(bytes: bytes)
  }

  private func pump() {
    guard !isPumping else { return }
    isPumping = true
    defer { isPumping = false }
    while !isOver {
      if let (outcome, slot) = arrived {
        arrived = nil
        take(outcome, slot)
      } else if isReading {
        return
      } else if page.isFull || scannedBytes > Self.scanBytesMax {
        answer()
      } else if let slot = walk.nextSlot() {
        read(slot)
      } else if page.records > 0 || !wait() {
        answer()
      } else {
        return
      }
    }
  }

  private func read(_ slot: Int) {
    isReading = true
    // A page of few records does not need the whole of a read's size.
    let wanted = min(page.bytesLeft, page.recordsLeft.multipliedReportingOverflow(by: 2048).0)
    let answer = Confined(self, to: tails.executor)
    tails.source.read(
      shards[slot], from: walk.places[slot],
      bytesMax: min(tails.historyBytesMax, max(16 << 10, wanted)), on: tails.executor
    ) { answer.value.received($0, slot) }
  }

  private func received(_ outcome: ReadOutcome, _ slot: Int) {
    isReading = false
    arrived = (outcome, slot)
    pump()
  }

  private func take(_ outcome: ReadOutcome, _ slot: Int) {
    switch outcome {
    case .frames(let chunk): take(chunk, slot)
    case .atTail: walk.stop(slot, at: walk.places[slot])
    case .trimmed(let earliest): trimmed(slot, earliest)
    case .beyondTail(let tail):
      fail(ReadProblem.beyondTail(walk.places[slot], tail: tail, shard: shards[slot].index))
    case .failed(let error): fail(Problem(error))
    }
  }

  private func take(_ chunk: FrameChunk, _ slot: Int) {
    if query.form == .raw(.newline), chunk.hasOpaque { return fail(RawText.opaque) }
    scannedBytes += chunk.byteCount
    var place = walk.places[slot]
    let stop = walk.stops[slot]
    var text = RecordText(shard: shards[slot].index)
    var isTurnOver = false
    chunk.forEachRecord(from: place) { record in
      if record.offset >= stop || isTurnOver || page.isFull { return false }
      if page.filter.isPast(record) {
        page.finishedSlots |= 1 << UInt64(slot)
        return false
      }
      if page.filter.wants(record) {
        guard page.append(record, &text) else { return false }
        turnRecords += 1
      }
      place = record.offset + 1
      turnBytes += record.value.count + 64
      isTurnOver = turnRecords >= page.turnRecordsMax || turnBytes >= page.turnBytesMax
      return true
    }
    walk.move(slot, to: place)
    finishReached()
    if isTurnOver || place >= walk.stops[slot] {
      turnRecords = 0
      turnBytes = 0
      walk.endTurn(of: slot)
    }
  }

  /// Shards that hold nothing more before `until` are not read on.
  private func finishReached() {
    for slot in shards.indices {
      if case .offset(let until) = query.until, walk.places[slot] >= until {
        page.finishedSlots |= 1 << UInt64(slot)
      }
      if page.isFinished(slot) { walk.stop(slot, at: walk.places[slot]) }
    }
  }

  private func trimmed(_ slot: Int, _ earliest: Offset) {
    if page.records > 0 {
      // What is here is given; the next page meets the gap.
      answer()
    } else if places.isFixed || walk.places[slot] > places.start[slot] {
      fail(ReadProblem.trimmed(target, slot: slot, places: walk.places, earliest: earliest))
    } else {
      walk.move(slot, to: max(walk.places[slot], earliest))
    }
  }

  // MARK: Waiting

  /// True if the answer waits for a record.
  private func wait() -> Bool {
    let left = deadline - tails.clock.monotonic
    guard left > .zero, !request.isHead, !tails.isDraining,
      !shards.indices.allSatisfy(page.isFinished)
    else { return false }
    let tail = tails.tail(of: target.stream, shardIndex: target.shardIndex)
    let poller = TailPoller(places: walk.places) { [self] in woken() }
    guard tail.add(poller) else {
      walk.setStops(stopsNow)
      return !walk.isAtStops
    }
    let answer = Confined(self, to: tails.executor)
    let timer = tails.executor.schedule(after: left) { answer.value.timedOut() }
    waiting = (tail, poller, timer)
    tails.metrics.countLive(.poll, 1)
    rest()
    return true
  }

  private var stopsNow: [Offset] {
    shards.indices.map { page.isFinished($0) ? walk.places[$0] : shards[$0].tail }
  }

  private func woken() {
    stopWaiting()
    guard !isOver else { return }
    if shards.contains(where: \.isRemoved) { return fail(Problem(LogError.gone)) }
    walk.setStops(stopsNow)
    scannedBytes = 0
    make()
  }

  private func timedOut() {
    guard waiting != nil, !isOver else { return }
    answer()
  }

  private func stopWaiting() {
    guard let (tail, poller, timer) = waiting else { return }
    waiting = nil
    tails.metrics.countLive(.poll, -1)
    timer.cancel()
    tail.remove(poller)
  }

  // MARK: Answering

  /// Nothing that may still come could change this page: its own limits ended it before the tail of every shard.
  private var isBelowTail: Bool {
    (page.isFull || shards.indices.allSatisfy(page.isFinished))
      && shards.indices.allSatisfy { page.isFinished($0) || walk.places[$0] < walk.stops[$0] }
  }

  private func answer() {
    leave()
    let cursor = target.scope.cursor(at: walk.places)
    let isUpToDate = walk.isAtStops
    var headers: [(name: String, value: String)] = [
      ("content-type", query.form.contentType), ("vary", "Accept"),
    ]
    if isBelowTail {
      let tag = entityTag
      headers.append(("etag", tag))
      headers.append(("cache-control", cacheControl))
      let known = request.head.headers.all("if-none-match").joined(separator: ",")
      if !known.isEmpty, EntityTags(known).matchesWeakly(tag) {
        return request.respond(304, Headers(headers), nil)
      }
    } else {
      headers.append(("cache-control", "no-cache"))
    }
    if query.form != .page {
      headers.append((ReadHeader.cursor, cursor.encoded()))
      headers.append((ReadHeader.upToDate, isUpToDate ? "true" : "false"))
    }
    request.loop.metrics.countRead(records: page.records)
    request.respond(200, Headers(headers), page.finish(cursor, isUpToDate: isUpToDate))
  }

  /// Records never change, so where the page begins and ends, and its form, say what is in it.
  private var entityTag: String {
    var seed = ByteBuffer()
    target.scope.cursor(at: places.start).write(into: &seed)
    seed.writeStaticString(" ")
    target.scope.cursor(at: walk.places).write(into: &seed)
    seed.writeString(" \(query.form.contentType) ")
    if let key = query.key { seed.writeBytes(key) }
    let tag = seed.withUnsafeReadableBytes { bytes in
      [KeyHash.xxh64(bytes), KeyHash.xxh64(bytes, seed: 1)]
    }
    return tag.withUnsafeBytes { "\"\(Base64.encode($0, .url))\"" }
  }

  private var cacheControl: String {
    guard query.incarnation != nil, places.isFixed else { return "no-cache" }
    let isPrivate = request.head.headers["authorization"] != nil
    return "\(isPrivate ? "private" : "public"), max-age=31536000, immutable"
  }

  private func fail(_ problem: Problem) {
    leave()
    request.fail(problem)
  }

  private func leave() {
    guard !isOver else { return }
    isOver = true
    rest()
    stopWaiting()
    exchange.onClose = nil
  }
}
