// A read of everything up to the tail as it stood at the request: NDJSON or raw, streamed at the client's pace.
import Engine
import NIOCore
import Wire

/// Where it stops is known beforehand and stands in the head: `Millrace-Cursor` goes on from there. What keeps it from
/// getting there (records trimmed meanwhile, a failing disk) breaks the answer off, so that the client sees it.
final class ThroughAnswer {
  private let request: Request
  private let exchange: any Exchange
  private let tails: TailHub
  private let query: ReadQuery
  private let target: ReadTarget
  private let shards: [Shard]
  private let places: ReadPlaces
  private var walk: HistoryWalk
  private var isReading = false
  private var arrived: (outcome: ReadOutcome, slot: Int)?
  private var isPumping = false
  private var isStarted = false
  private var isOver = false
  private var records = 0

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
    walk = HistoryWalk(from: places.start, to: places.stops ?? target.tails)
  }

  func start() {
    if request.isHead { return request.respondHead(200, headers) }
    tails.walkingAnswers += 1
    exchange.onDrain = { [self] in pump() }
    exchange.onClose = { [self] in leave() }
    pump()
  }

  private var headers: Headers {
    let ends = walk.places.indices.map { max(walk.places[$0], walk.stops[$0]) }
    return Headers([
      ("content-type", query.form.contentType), ("cache-control", "no-store"), ("vary", "Accept"),
      (ReadHeader.cursor, target.scope.cursor(at: ends).encoded()), (ReadHeader.upToDate, "true"),
    ])
  }

  private func respondEmpty() { request.respond(200, headers, ByteBuffer()) }

  private func pump() {
    guard !isPumping else { return }
    isPumping = true
    defer { isPumping = false }
    while !isOver, exchange.unsentBytes <= tails.settings.unsentBytesMax {
      if let (outcome, slot) = arrived {
        arrived = nil
        take(outcome, slot)
      } else if isReading {
        return
      } else if let slot = walk.nextSlot() {
        read(slot)
      } else {
        finish()
      }
    }
  }

  private func read(_ slot: Int) {
    isReading = true
    let answer = Confined(self, to: tails.executor)
    tails.source.read(
      shards[slot], from: walk.places[slot], bytesMax: tails.historyBytesMax, on: tails.executor
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
    case .trimmed(let earliest): trimmed(slot, earliest)
    case .atTail, .beyondTail:
      // The tail was past the stop when the answer began, and never goes back.
      fail(Problem(.internalError, "The log of shard \(shards[slot].index) ends too early."))
    case .failed(let error): fail(Problem(error))
    }
  }

  private func take(_ chunk: FrameChunk, _ slot: Int) {
    if query.form == .raw(.newline), chunk.hasOpaque { return fail(RawText.opaque) }
    let start = walk.places[slot]
    let end = min(chunk.end, walk.stops[slot])
    walk.move(slot, to: end)
    walk.endTurn(of: slot)
    // The next read is under way while this one is encoded and sent.
    if tails.mayReadAhead, let next = walk.nextSlot() { read(next) }
    guard let piece = encode(chunk, slot, from: start, to: end) else { return }
    if !isStarted {
      isStarted = true
      request.start(200, headers)
    }
    exchange.write(piece)
  }

  private func encode(
    _ chunk: FrameChunk, _ slot: Int, from start: Offset, to end: Offset
  ) -> BodyChunk? {
    let filter = query.filter ?? .everything
    switch query.form {
    case .raw(let framing) where filter.key == nil:
      records += end.distance(from: start)
      return BodyChunk.unlessEmpty(bytesHint: RawText.bytesHint(chunk, framing)) { buffer in
        RawText.write(chunk, from: start, to: end, framing, into: &buffer)
      }
    default:
      var text = RecordText(shard: shards[slot].index)
      let bytesHint = filter.key == nil ? chunk.byteCount + chunk.byteCount / 4 : 4096
      return BodyChunk.unlessEmpty(bytesHint: bytesHint) { buffer in
        chunk.forEachRecord(from: start) { record in
          guard record.offset < end else { return false }
          guard filter.wants(record) else { return true }
          records += 1
          if case .raw(let framing) = query.form {
            RawText.write(record.value, framing, into: &buffer)
          } else {
            text.write(record, into: &buffer)
            buffer.writeInteger(UInt8(ascii: "\n"))
          }
          return true
        }
      }
    }
  }

  /// The first record kept moves on: before anything was promised, so does the answer's beginning.
  private func trimmed(_ slot: Int, _ earliest: Offset) {
    if !isStarted, !places.isFixed {
      walk.move(slot, to: max(walk.places[slot], earliest))
    } else {
      fail(
        ReadProblem.trimmed(target, slot: slot, places: walk.places, earliest: earliest))
    }
  }

  private func finish() {
    leave()
    if isStarted { exchange.finish() } else { respondEmpty() }
  }

  private func fail(_ problem: Problem) {
    leave()
    if isStarted { exchange.abort() } else { request.fail(problem) }
  }

  private func leave() {
    guard !isOver else { return }
    isOver = true
    tails.walkingAnswers -= 1
    exchange.onDrain = nil
    exchange.onClose = nil
    request.loop.metrics.countRead(records: records)
  }
}
