// Reading: one URL, four ways. Finds out what is asked and where it begins, and hands over to the answer of that kind.
import Engine
import NIOCore
import Wire

enum ReadHandlers {
  /// `GET /v1/streams/{stream}/records`: all shards, ordered within each.
  static func readStream(_ request: Request) throws(Problem) {
    try read(request) { _ throws(Problem) in nil }
  }

  /// `GET /v1/streams/{stream}/shards/{shard}/records`.
  static func readShard(_ request: Request) throws(Problem) {
    try read(request) { stream throws(Problem) in try request.shard(of: stream).index }
  }

  private static func read(
    _ request: Request, _ shardIndex: (Stream) throws(Problem) -> Int?
  ) throws(Problem) {
    _ = try request.name()
    let query = try ReadQuery(request)
    // Before the stream is looked for: it may be gone, and whoever was told of its end need not come back either.
    if query.hasEnded { return request.respond(204, Headers(), nil) }
    if request.loop.tails.isDraining { return fail(request, query, .stopping) }
    let stream = try request.stream()
    let target = try ReadTarget(stream, try shardIndex(stream), query)
    let tails = request.loop.tails
    if request.isHead, query.isLive { return request.respondHead(200, query.form.liveHeaders) }
    ReadPlacesFinder.find(target, query, tails.source, on: request.executor) { found in
      switch found {
      case .failure(let problem): fail(request, query, problem)
      case .success(let places): answer(request, query, target, places)
      }
    }
  }

  private static func answer(
    _ request: Request, _ query: ReadQuery, _ target: ReadTarget, _ places: ReadPlaces
  ) {
    if query.isLive {
      answerLive(request, query, target, places)
    } else if query.isPage {
      PageAnswer(request, query, target, places).start()
    } else {
      ThroughAnswer(request, query, target, places).start()
    }
  }

  // MARK: Live

  private static func answerLive(
    _ request: Request, _ query: ReadQuery, _ target: ReadTarget, _ places: ReadPlaces
  ) {
    let exchange = request.exchange
    let tails = request.loop.tails
    // It may have begun while the places were looked for.
    if tails.isDraining { return fail(request, query, .stopping) }
    var headers = query.form.liveHeaders
    let cursor = target.scope.cursor(at: places.start)
    if query.form == .lines {
      // It cannot speak of a gap later, and would have to break off.
      if let slot = firstTrimmed(target, places) {
        return request.fail(
          ReadProblem.trimmed(
            target, slot: slot, places: places.start, earliest: target.shards[slot].earliest))
      }
      headers.fields.append((ReadHeader.cursor, cursor.encoded()))
    }
    request.start(200, headers)
    if query.form == .events {
      exchange.write(
        BodyChunk { buffer in
          LiveText.writeOpen(
            stream: target.stream.name, heartbeat: tails.settings.heartbeatInterval,
            retry: tails.settings.reconnectDelay, at: cursor, into: &buffer)
        })
    }
    let wanted = TailRequest(
      stream: target.stream, shardIndex: target.shardIndex, shape: query.liveShape,
      filter: query.filter)
    TailReader(wanted, from: places.start, exchange, on: tails).start()
  }

  private static func firstTrimmed(_ target: ReadTarget, _ places: ReadPlaces) -> Int? {
    guard places.isFixed else { return nil }
    let shards = target.shards
    return shards.indices.first { places.start[$0] < shards[$0].earliest }
  }

  /// A browser's EventSource gives up for good on any answer but 200, so a trouble that passes is an event.
  private static func fail(_ request: Request, _ query: ReadQuery, _ problem: Problem) {
    guard query.form == .events, problem.retryable else { return request.fail(problem) }
    request.start(200, query.form.liveHeaders)
    request.exchange.finish(problem, retry: request.loop.tails.settings.troubleDelay)
  }
}

/// Headers of answers that have no room for them in their bodies.
enum ReadHeader {
  static let cursor = "millrace-cursor"
  static let upToDate = "millrace-up-to-date"
}
