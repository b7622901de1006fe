// The oracle: hears everything that clients are told and shown, and says when it cannot all be true.
import Engine
import Wire

final class Model {
  let world: World
  private let climate: Climate
  private let time: SimTime
  private let keysKept: Duration
  /// The wall clock and the monotonic one go alike.
  let clockNeverJumps: Bool
  private(set) var requests: [Request] = []
  private(set) var shards: [ShardID: ShardModel] = [:]
  /// Every incarnation and shard ID ever given.
  private var incarnationsSeen: Set<UInt64> = []
  private var shardIDsSeen: Set<ShardID> = []
  /// Which life of the server wrote under an epoch, as far as known.
  private var lifeOfEpoch: [Epoch: Int] = [:]
  /// The life that runs.
  var life = 0
  /// Faults counted when this life began.
  var faultsBefore = 0
  /// It was told to stop.
  var isStopping = false
  var counts = Counts()

  /// - Parameter keysKept: how long idempotency keys are remembered at least.
  init(
    _ world: World, _ climate: Climate, _ time: SimTime, keysKept: Duration, clockNeverJumps: Bool
  ) {
    self.world = world
    self.climate = climate
    self.time = time
    self.keysKept = keysKept
    self.clockNeverJumps = clockNeverJumps
  }

  private func violate(_ invariant: String, _ detail: String) { world.violate(invariant, detail) }

  var hadFaults: Bool { climate.faultCount > faultsBefore }
  /// All that ever happened.
  var faultCount: Int { climate.faultCount }
  var monotonic: Duration { time.monotonic }

  // MARK: Errors

  /// Checks that there was a reason for `error`.
  func justify(_ error: LogError, of shard: ShardModel) {
    let facts = "\(shard.label): \(error)"
    switch error {
    case .gone:
      if !isStopping && !shard.stream.mayBeDeleted {
        violate("a stream is there until deleted", facts)
      }
    case .fenced: violate("nobody else owns the shard", facts)
    case .full, .device, .damaged:
      if !hadFaults { violate("a fault is answered only to a fault", facts) }
    }
  }

  func justify(_ error: AppendError, of shard: ShardModel) {
    let facts = "\(shard.label): \(error)"
    switch error {
    case .gone: justify(LogError.gone, of: shard)
    case .fenced: justify(LogError.fenced(by: Epoch(0)), of: shard)
    case .diskFull, .device: justify(LogError.full, of: shard)
    case .stopping: if !isStopping { violate("only a stopping server says so", facts) }
    case .sequenceReused, .idempotencyMismatch:
      violate("the same body is the same body", facts)
    case .producersFull, .idempotencyFull: violate("there is room for every stamp", facts)
    case .tooLarge: violate("a batch fits a frame", facts)
    case .busy, .tailMoved, .sequenceGap, .sequenceTooOld, .staleProducer, .idempotencyInProgress:
      break
    }
  }

  /// True when its idempotency key may be too old to be remembered.
  func mayHaveForgotten(_ request: Request) -> Bool {
    guard request.extras.idempotencyKey != nil, let sent = request.firstSent else { return false }
    return .milliseconds(time.age - sent + 1) > keysKept
  }

  // MARK: Streams

  func addStream(_ stream: Stream, retention: Retention) -> StreamModel {
    if !incarnationsSeen.insert(stream.incarnation).inserted {
      violate("an incarnation is given once", "\(stream.name) \(stream.incarnation)")
    }
    let model = StreamModel(
      name: stream.name, incarnation: stream.incarnation, retention: retention)
    for shard in stream.shards {
      if !shardIDsSeen.insert(shard.id).inserted {
        violate("a shard id is given once", "\(stream.name)/\(shard.index) \(shard.id)")
      }
      let shardModel = ShardModel(id: shard.id, stream: model, index: shard.index)
      model.shards.append(shardModel)
      shards[shard.id] = shardModel
      if shard.tail != .zero || shard.earliest != .zero {
        violate(
          "a new stream is empty", "\(shardModel.label) \(shard.earliest)..<\(shard.tail)")
      }
    }
    return model
  }

  func removeStream(_ model: StreamModel) {
    for shard in model.shards { shards[shard.id] = nil }
    counts.streamsDeleted += 1
  }

  // MARK: Appends

  func makeRequest(
    in shard: ShardModel, sizes: [Int], extras: FrameExtras = .none, expectedTail: Offset? = nil
  ) -> Request {
    let request = Request(
      number: requests.count, shard: shard, sizes: sizes, extras: extras,
      expectedTail: expectedTail)
    requests.append(request)
    return request
  }

  func sent(_ request: Request) {
    request.attemptsInFlight += 1
    request.lives.insert(life)
    request.tailWhenSent = request.shard.durableTail
    if request.firstSent == nil { request.firstSent = time.age }
    if request.place == nil { request.shard.open[request.number] = request }
  }

  func answered(_ request: Request, _ appended: Appended, tail: Offset) {
    request.attemptsInFlight -= 1
    let range = appended.offsets
    let facts = "\(request.label) in \(request.shard.label): answered \(Self.text(range))"
    if appended.isDuplicate {
      counts.duplicates += 1
      if !request.isStamped { violate("only stamped batches are duplicates", facts) }
      if request.place == nil && !request.mayBeThere && request.attemptsInFlight == 0 {
        let missed = request.missedAboveEarliest
        if missed == nil || missed! <= range.lowerBound {
          violate("a duplicate repeats something that happened", facts)
        }
      }
    } else {
      counts.acknowledged += 1
      if request.wasAppended, !mayHaveForgotten(request) {
        violate("a stamped batch is appended once", facts)
      }
      request.wasAppended = true
      if let expected = request.expectedTail, expected != range.lowerBound {
        violate("an expected tail is kept to", "\(facts), expected \(expected)")
      }
    }
    if range.upperBound.distance(from: range.lowerBound) != request.count {
      violate("a batch is whole", "\(facts), sent \(request.count)")
    }
    if tail < range.upperBound {
      violate("what was acknowledged can be read", "\(facts), the tail is \(tail)")
    }
    settle(request, in: range, facts)
    request.isAcknowledged = true
    request.shard.raiseDurableTail(to: range.upperBound)
  }

  func failed(_ request: Request, _ error: AppendError) {
    request.attemptsInFlight -= 1
    let facts = "\(request.label) in \(request.shard.label): \(error)"
    switch error {
    case .device(_, let applied) where applied != .no:
      counts.undecided += 1
      request.mayBeThere = true
    case .gone:
      // It went with its stream; somebody may have read it before.
      counts.refused += 1
      request.mayBeThere = true
    default:
      counts.refused += 1
    }
    justify(error, of: request.shard)
    if case .tailMoved(let tail) = error {
      if tail == request.expectedTail { violate("a moved tail has moved", facts) }
      if tail < request.tailWhenSent { violate("a tail never falls", facts) }
    }
    forgetIfAbsent(request)
  }

  /// All its attempts say that nothing took effect.
  private func forgetIfAbsent(_ request: Request) {
    guard request.attemptsInFlight == 0, !request.mayBeThere, request.place == nil else { return }
    request.shard.open[request.number] = nil
  }

  /// The server stopped dead: what was in flight may have happened.
  func crashed() {
    counts.crashes += 1
    for request in requests where request.attemptsInFlight > 0 {
      request.attemptsInFlight = 0
      request.mayBeThere = true
    }
  }

  private func settle(_ request: Request, in range: Range<Offset>, _ facts: String) {
    if let place = request.place, place != range, !mayHaveForgotten(request) {
      violate("a batch has one place", "\(facts), is at \(Self.text(place))")
    }
    request.place = range
    request.shard.open[request.number] = nil
    if let other = request.shard.settle(request.number, in: range) {
      violate("an offset is given once", "\(facts), held by #\(other)")
    }
  }

  // MARK: Reads

  /// A record that somebody was shown. It is durable, or the store lied.
  func seen(_ record: RecordView, in shard: ShardModel, by reader: String) {
    let at = "\(reader): \(shard.label) offset \(record.offset)"
    guard let (number, index) = RecordContent.origin(of: record.value), number < requests.count
    else { return violate("only what was sent is there", at) }
    let request = requests[number]
    guard request.shard === shard, index < request.count else {
      return violate("records stay in their shard", "\(at) holds \(request.label)[\(index)]")
    }
    let content = RecordContent(of: number, index: index, bytes: request.sizes[index])
    if let difference = content.difference(from: record) {
      violate("records keep their bytes", "\(at) holds \(request.label)[\(index)]: \(difference)")
    }
    guard record.offset.rawValue >= UInt64(index) else {
      return violate("a batch is whole", "\(at) holds \(request.label)[\(index)]")
    }
    let start = Offset(record.offset.rawValue - UInt64(index))
    if request.place == nil {
      if !request.mayBeThere && request.attemptsInFlight == 0 {
        violate("what failed is absent", "\(at) holds \(request.label)")
      }
      settle(request, in: start..<(start + request.count), at)
    } else if request.place!.lowerBound != start && !mayHaveForgotten(request) {
      violate("a batch is there once", "\(at) holds \(request.label), is at \(request.place!)")
    }
    shard.raiseDurableTail(to: record.offset + 1)
    checkTime(record, in: shard, at)
  }

  private func checkTime(_ record: RecordView, in shard: ShardModel, _ at: String) {
    let time = record.timestamp.milliseconds
    if let other = shard.stamp(record.offset, time) {
      violate("a record keeps its time", "\(at): \(time), before \(other)")
    }
    if record.offset > .zero {
      let before = Offset(record.offset.rawValue - 1)
      if let earlier = shard.time(at: before), earlier > time {
        violate("time never falls within a shard", "\(at): \(earlier) then \(time)")
      }
    }
  }

  /// Frames that somebody was shown: checks that one writer wrote under each epoch.
  func seen(_ header: FrameHeader, in shard: ShardModel, by reader: String) {
    guard header.shard == shard.id else {
      return violate("frames stay in their shard", "\(reader): \(header.shard) in \(shard.label)")
    }
    guard let number = shard.holder(at: header.baseOffset) else { return }
    let lives = requests[number].lives
    guard let life = lifeOfEpoch[header.epoch] else {
      if lives.count == 1 { lifeOfEpoch[header.epoch] = lives.first! }
      return
    }
    if !lives.contains(life) {
      violate(
        "one writer an epoch",
        "\(shard.label): \(requests[number].label) of lives \(lives.sorted()) "
          + "under epoch \(header.epoch) of life \(life)")
    }
  }

  /// Everything from `earliest` to `tail` was read: what was not there is nowhere.
  func readWhole(_ shard: ShardModel, earliest: Offset, tail: Offset) {
    if tail < shard.durableTail {
      violate(
        "nothing durable is lost", "\(shard.label): tail \(tail), was \(shard.durableTail)")
    }
    for number in shard.open.keys.sorted() {
      let request = shard.open[number]!
      guard request.attemptsInFlight == 0 else { continue }
      request.mayBeThere = false
      request.missedAboveEarliest = earliest
      shard.open[number] = nil
    }
    checkEarliest(earliest, of: shard, since: shard.trimDone)
  }

  /// Checks that nothing was dropped that nobody asked to drop.
  /// - Parameter trimmed: where the shard was known to begin when the question was asked.
  func checkEarliest(_ earliest: Offset, of shard: ShardModel, since trimmed: Offset) {
    if earliest < trimmed {
      violate("a trim holds", "\(shard.label): \(earliest), was \(trimmed)")
    }
    shard.trimDone = max(shard.trimDone, earliest)
    if earliest > shard.trimAsked && !shard.stream.mayExpire {
      violate(
        "only trims and retention drop records",
        "\(shard.label): earliest \(earliest), asked for \(shard.trimAsked)")
    }
  }

  static func text(_ range: Range<Offset>) -> String {
    "\(range.lowerBound)..<\(range.upperBound)"
  }
}
