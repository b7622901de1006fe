// From where in each shard a read begins, and where it may end: names and times become offsets.
import Engine
import Wire

/// What a read covers.
struct ReadTarget {
  let stream: Stream
  /// The one shard's index, or nil for all.
  let shardIndex: Int?

  /// Reading more shards at once is refused: a cursor would be too long.
  static let shardsMax = 64

  init(_ stream: Stream, _ shardIndex: Int?, _ query: ReadQuery) throws(Problem) {
    self.stream = stream
    self.shardIndex = shardIndex
    if let incarnation = query.incarnation, incarnation != stream.incarnation {
      throw replaced(by: incarnation)
    }
    guard shards.count <= Self.shardsMax else {
      throw Problem(
        .tooManyShards,
        "The stream has \(shards.count) shards; at most \(Self.shardsMax) can be read at once. "
          + "Read each by /shards/{shard}/records.",
        facts: [("shard_count", .number(shards.count)), ("shards_max", .number(Self.shardsMax))])
    }
    if shards.count > 1 { try refuseOffsets(query) }
  }

  /// The same offset means something else in each shard, and raw values do not say where they are from.
  private func refuseOffsets(_ query: ReadQuery) throws(Problem) {
    switch query.start {
    case .offset, .last:
      throw Query.refusal("from", "Offsets are those of one shard: read /shards/{shard}/records.")
    default: break
    }
    if case .offset = query.until {
      throw Query.refusal("until", "Offsets are those of one shard: read /shards/{shard}/records.")
    }
    if case .raw = query.form {
      throw Problem(
        .notAcceptable,
        "Values alone come from one shard: read /shards/{shard}/records as \(ReadForm.octets).")
    }
  }

  var shards: [Shard] { shardIndex.map { [stream.shards[$0]] } ?? stream.shards }
  var tails: [Offset] { shards.map(\.tail) }
  var scope: ReadScope { ReadScope(incarnation: stream.incarnation, shardIndex: shardIndex) }

  private func replaced(by asked: UInt64) -> Problem {
    Problem(
      .streamReplaced,
      "\(stream.name) is another stream than it was: incarnation \(stream.incarnation), "
        + "not \(asked).",
      facts: [("incarnation", .text(String(stream.incarnation)))])
  }

  /// The places a cursor of this stream holds.
  /// - Throws: `stream_replaced`, or `bad_cursor` if it is one of other shards.
  func places(of cursor: Cursor) throws(Problem) -> [Offset] {
    guard cursor.incarnation == stream.incarnation else {
      throw replaced(by: cursor.incarnation)
    }
    guard cursor.shardIndex == shardIndex, cursor.positions.count == shards.count else {
      let whose = cursor.shardIndex.map { "shard \($0)" } ?? "all shards"
      throw Problem(.badCursor, "The cursor is one of \(whose): it was given for another URL.")
    }
    return cursor.positions
  }
}

/// Where a read begins and ends in each shard.
struct ReadPlaces {
  var start: [Offset]
  /// Where `until` falls, for reads that end at the tail; nil: not asked.
  var stops: [Offset]?
  /// The start was named, not counted: an offset or cursor, so it means the same tomorrow.
  var isFixed: Bool
}

/// Finds the places of one read; times take a look into each shard.
final class ReadPlacesFinder {
  private let target: ReadTarget
  private let query: ReadQuery
  private let source: any RecordSource
  private let executor: any Executor
  private var places: ReadPlaces
  private var missing = 1
  private var failure: Problem?
  private let done: (Result<ReadPlaces, Problem>) -> Void

  /// Calls `done` once, now or later.
  static func find(
    _ target: ReadTarget, _ query: ReadQuery, _ source: any RecordSource,
    on executor: any Executor, done: @escaping (Result<ReadPlaces, Problem>) -> Void
  ) {
    ReadPlacesFinder(target, query, source, executor, done).start()
  }

  private init(
    _ target: ReadTarget, _ query: ReadQuery, _ source: any RecordSource,
    _ executor: any Executor, _ done: @escaping (Result<ReadPlaces, Problem>) -> Void
  ) {
    self.target = target
    self.query = query
    self.source = source
    self.executor = executor
    self.done = done
    places = ReadPlaces(start: target.tails, stops: nil, isFixed: false)
  }

  private func start() {
    do throws(Problem) {
      try findStart()
    } catch {
      return done(.failure(error))
    }
    findStops()
    arrived()
  }

  private func findStart() throws(Problem) {
    switch query.start {
    case .earliest: places.start = target.shards.map(\.earliest)
    case .tail: break
    case .offset(let offset):
      places.start = [offset]
      places.isFixed = true
      try checkTails()
    case .last(let count):
      let shard = target.shards[0]
      let tail = shard.tail.rawValue
      places.start = [max(shard.earliest, Offset(tail - min(count, tail)))]
    case .cursor(let cursor):
      places.start = try target.places(of: cursor)
      places.isFixed = true
      try checkTails()
    case .time(let time):
      look(for: time) { $0.places.start[$1] = $2 }
    }
  }

  private func checkTails() throws(Problem) {
    for (slot, shard) in target.shards.enumerated() where places.start[slot] > shard.tail {
      throw ReadProblem.beyondTail(places.start[slot], tail: shard.tail, shard: shard.index)
    }
  }

  /// Only an answer that says beforehand where it ends needs to know; others look at each record.
  private func findStops() {
    guard !query.isLive, !query.isPage, let until = query.until else { return }
    let tails = target.tails
    places.stops = tails
    switch until {
    case .offset(let offset): places.stops![0] = min(offset, tails[0])
    case .time(let time):
      look(for: time) { $0.places.stops![$1] = min($2, tails[$1]) }
    }
  }

  private func look(
    for time: Timestamp, found: @escaping (ReadPlacesFinder, Int, Offset) -> Void
  ) {
    for (slot, shard) in target.shards.enumerated() {
      missing += 1
      let finder = Confined((self, found), to: executor)
      source.find(time, in: shard, on: executor) { result in
        let (finder, found) = finder.value
        switch result {
        case .success(let offset): found(finder, slot, offset)
        case .failure(let error): finder.failure = Problem(error)
        }
        finder.arrived()
      }
    }
  }

  private func arrived() {
    missing -= 1
    guard missing == 0 else { return }
    done(failure.map { .failure($0) } ?? .success(places))
  }
}

/// The problems of places in a shard.
enum ReadProblem {
  static func beyondTail(_ place: Offset, tail: Offset, shard: Int) -> Problem {
    Problem(
      .beyondTail, "Shard \(shard) ends at \(tail); \(place) is not given yet.",
      facts: [("shard", .number(shard)), ("tail", .text(tail.description))])
  }

  /// Records from `places` on are partly gone; the cursor goes on with what is left.
  static func trimmed(_ target: ReadTarget, slot: Int, places: [Offset], earliest: Offset)
    -> Problem
  {
    let shards = target.shards
    var rest = places.indices.map { max(places[$0], shards[$0].earliest) }
    rest[slot] = max(rest[slot], earliest)
    return Problem(
      .trimmed,
      "Shard \(shards[slot].index) begins at \(rest[slot]) by now, after \(places[slot]).",
      facts: [
        ("shard", .number(shards[slot].index)), ("earliest", .text(rest[slot].description)),
        ("cursor", .text(target.scope.cursor(at: rest).encoded())),
      ])
  }
}
