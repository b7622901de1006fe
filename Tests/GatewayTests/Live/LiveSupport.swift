// Stand-ins for what surrounds live readers: a turn-taking executor, a scripted log and a client that takes its time.
import NIOCore
import NIOEmbedded
import Wire

@testable import Engine
@testable import Gateway

/// Runs jobs when told to. The test's thread counts as the executor.
final class TurnExecutor: Executor, @unchecked Sendable {
  private var jobs: [@Sendable () -> Void] = []
  private var timers: [(due: Duration, id: Int, job: @Sendable () -> Void)] = []
  private var lastTimer = 0
  private(set) var now = Duration.zero

  var isCurrent: Bool { true }
  func execute(_ job: @escaping @Sendable () -> Void) { jobs.append(job) }

  @discardableResult
  func schedule(after delay: Duration, _ job: @escaping @Sendable () -> Void) -> ScheduledJob {
    lastTimer += 1
    let id = lastTimer
    timers.append((now + delay, id, job))
    return ScheduledJob { [self] in timers.removeAll { $0.id == id } }
  }

  /// Runs one queued job. False if there is none.
  func turn() -> Bool {
    if jobs.isEmpty { return false }
    jobs.removeFirst()()
    return true
  }

  /// Runs until nothing is queued and no timer is due within `time`.
  func run(for time: Duration = .milliseconds(1)) {
    let end = now + time
    while true {
      while turn() {}
      guard let next = timers.min(by: { ($0.due, $0.id) < ($1.due, $1.id) }), next.due <= end
      else { break }
      timers.removeAll { $0.id == next.id }
      now = max(now, next.due)
      next.job()
    }
    now = end
  }
}

struct TurnClock: TimeSource {
  let executor: TurnExecutor
  static let start = Timestamp(milliseconds: 1_767_225_600_000)
  var now: Timestamp {
    let (seconds, attoseconds) = executor.now.components
    return Timestamp(
      milliseconds: Self.start.milliseconds + seconds * 1000 + attoseconds / 1_000_000_000_000_000)
  }
  var monotonic: Duration { executor.now }
}

/// A log in memory, with what can happen to it.
final class ScriptedLog: RecordSource, @unchecked Sendable {
  let executor: TurnExecutor
  /// Replies come within the call, as when the shard lives on the caller's loop.
  var repliesAtOnce = false
  var readFailure: LogError?
  private(set) var reads = 0
  private var frames: [ShardID: [Frame]] = [:]
  private var followers: [ShardID: [(id: Int, deliver: @Sendable (Engine.FollowEvent) -> Void)]] =
    [:]
  private var lastFollower = 0
  private var isStopped = false

  init(_ executor: TurnExecutor) { self.executor = executor }

  func makeStream(_ name: String = "orders", shards count: Int = 1, firstID: UInt64 = 7) -> Stream {
    let shards = (0..<count).map {
      Shard(
        id: ShardID(firstID + UInt64($0)), index: $0, shardCount: count, executor: executor,
        summary: ShardSummary(earliest: .zero, tail: .zero, bytes: 0))
    }
    return Stream(
      name: name, incarnation: firstID, spec: StreamSpec(shardCount: count),
      createdAt: .init(
        milliseconds: 0), revision: Revision(1), shards: shards)
  }

  var followerCount: Int { followers.values.reduce(0) { $0 + $1.count } }

  /// Commits a batch of values, all with `key`, and tells the followers.
  @discardableResult
  func append(
    _ values: [String], key: String? = nil, contentType: String? = nil, to shard: Shard,
    at time: Timestamp = TurnClock.start
  ) -> Range<Offset> {
    var builder = FrameBuilder(valuesBytesHint: 64)
    for value in values {
      var value = value
      var key = key ?? ""
      var type = contentType ?? ""
      value.withUTF8 { value in
        key.withUTF8 { keyBytes in
          type.withUTF8 { typeBytes in
            var attributes = RecordAttributes()
            if !keyBytes.isEmpty { attributes.key = UnsafeRawBufferPointer(keyBytes) }
            if !typeBytes.isEmpty { attributes.contentType = UnsafeRawBufferPointer(typeBytes) }
            builder.append(UnsafeRawBufferPointer(value), attributes)
          }
        }
      }
    }
    let frame = builder.finish().seal(
      shard: shard.id, baseOffset: shard.tail, epoch: Epoch(1), timestamp: time)
    frames[shard.id, default: []].append(frame)
    shard.publish(tail: frame.endOffset, addingBytes: frame.byteCount)
    for (_, deliver) in followers[shard.id] ?? [] {
      executor.execute { deliver(.records(FrameChunk([frame]))) }
    }
    return frame.baseOffset..<frame.endOffset
  }

  func trim(_ shard: Shard, before offset: Offset) {
    frames[shard.id]?.removeAll { $0.endOffset <= offset }
    shard.publish(earliest: offset, bytes: 0)
  }

  func delete(_ stream: Stream) {
    for shard in stream.shards {
      shard.publishRemoved()
      end(shard, gone: true)
    }
  }

  func stop(_ stream: Stream) {
    isStopped = true
    for shard in stream.shards { end(shard, gone: false) }
  }

  private func end(_ shard: Shard, gone: Bool) {
    for (_, deliver) in followers.removeValue(forKey: shard.id) ?? [] {
      executor.execute { deliver(.ended(gone: gone)) }
    }
  }

  private func reply(_ job: @escaping @Sendable () -> Void) {
    if repliesAtOnce { job() } else { executor.execute(job) }
  }

  func read(
    _ shard: Shard, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) {
    reads += 1
    let outcome: ReadOutcome
    if let readFailure {
      outcome = .failed(readFailure)
    } else if shard.isRemoved || isStopped {
      outcome = .failed(.gone)
    } else if from < shard.earliest {
      outcome = .trimmed(earliest: shard.earliest)
    } else if from > shard.tail {
      outcome = .beyondTail(shard.tail)
    } else if from == shard.tail {
      outcome = .atTail
    } else {
      var chunk: FrameChunk?
      for frame in frames[shard.id]! where frame.endOffset > from {
        if chunk == nil { chunk = FrameChunk(emptyAt: frame.baseOffset) }
        if !chunk!.isEmpty, chunk!.byteCount + frame.byteCount > bytesMax { break }
        chunk!.append(frame)
      }
      outcome = .frames(chunk!)
    }
    self.reply { reply(outcome) }
  }

  func find(
    _ time: Timestamp, in shard: Shard, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void
  ) {
    let found = frames[shard.id]?.first { $0.timestamp >= time }?.baseOffset ?? shard.tail
    self.reply { reply(.success(found)) }
  }

  func follow(
    _ shard: Shard, from: Offset?, on executor: any Executor,
    deliver: @escaping @Sendable (Engine.FollowEvent) -> Void,
    reply: @escaping @Sendable (Engine.FollowOutcome) -> Void
  ) {
    // The request itself is on its way for a while, unless the shard is at home here.
    self.reply { [self] in
      if shard.isRemoved || isStopped { return self.reply { reply(.gone) } }
      if let from, from != shard.tail {
        let tail = shard.tail
        return self.reply { reply(.behind(tail: tail)) }
      }
      lastFollower += 1
      let id = lastFollower
      followers[shard.id, default: []].append((id, deliver))
      let following = Following(start: shard.tail) { [self] in
        followers[shard.id]?.removeAll { $0.id == id }
      }
      self.reply { reply(.following(following)) }
    }
  }
}

/// A client that takes what it is sent only when told to, if it is slow.
final class FakeExchange: Exchange {
  let request: RequestHead
  var body = ByteBuffer()
  let eventLoop: any EventLoop = FakeExchange.loop
  private static let loop = EmbeddedEventLoop()
  let requestID = "r1"
  /// When false, what is written stays unsent.
  var takes = true
  private(set) var unsentBytes = 0
  var onDrain: (() -> Void)?
  var onClose: (() -> Void)?
  var onInputEnd: (() -> Void)?

  private(set) var status: Int?
  private(set) var headers = Headers()
  private(set) var text = ""
  private(set) var chunks: [BodyChunk] = []
  private(set) var isFinished = false
  private(set) var isAborted = false

  init(_ request: RequestHead = RequestHead(method: "GET", path: "/")) { self.request = request }

  @discardableResult
  func respond(_ status: Int, _ headers: Headers, _ body: ByteBuffer?) -> Bool {
    precondition(self.status == nil, "answered twice")
    self.status = status
    self.headers = headers
    text = body.map { String(buffer: $0) } ?? ""
    isFinished = true
    return true
  }

  func start(_ status: Int, _ headers: Headers) {
    precondition(self.status == nil, "answered twice")
    self.status = status
    self.headers = headers
  }

  func write(_ chunk: BodyChunk) {
    precondition(!isFinished && !isAborted, "written after the end")
    chunks.append(chunk)
    text += String(buffer: chunk.bytes)
    if !takes { unsentBytes += chunk.bytes.readableBytes }
  }

  func finish() {
    precondition(!isFinished && !isAborted, "finished twice")
    isFinished = true
  }

  func abort() { isAborted = true }

  /// The client takes all that waits.
  func drain() {
    let hadUnsent = unsentBytes > 0
    unsentBytes = 0
    if hadUnsent { onDrain?() }
  }

  func goAway() { onClose?() }
}

/// An event as a browser would see it.
struct SeenEvent: Equatable {
  var name = ""
  var data = ""
  var id: String?
  var retry: String?
}

extension FakeExchange {
  var events: [SeenEvent] {
    var events: [SeenEvent] = []
    var event = SeenEvent()
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.isEmpty {
        if event != SeenEvent() { events.append(event) }
        event = SeenEvent()
        continue
      }
      guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { continue }
      let value = String(line[line.index(colon, offsetBy: 2)...])
      switch line[..<colon] {
      case "event": event.name = value
      case "data": event.data = value
      case "id": event.id = value
      case "retry": event.retry = value
      default: preconditionFailure("no such field: \(line)")
      }
    }
    return events
  }

  /// The record events' shard and offset, in order.
  var records: [String] {
    events.filter { $0.name == "record" || $0.name == "message" }.map(\.place)
  }

  /// The same of NDJSON.
  var lines: [String] {
    text.split(separator: "\n").map { SeenEvent(data: String($0)).place }
  }

  var heartbeats: Int { text.split(separator: "\n").filter { $0 == ": hb" }.count }
}

extension SeenEvent {
  /// `0:17`, from `{"shard":0,"offset":"17",…`.
  var place: String {
    let parts = data.split(separator: "\"", maxSplits: 6)
    return "\(parts[2].filter(\.isNumber)):\(parts[5])"
  }

  var cursor: Cursor { get throws { try Cursor(decoding: id!) } }
}

/// A hub with its surroundings.
struct LiveStage {
  let executor = TurnExecutor()
  let log: ScriptedLog
  let hub: TailHub
  let stream: Stream

  init(shards: Int = 1, settings: TailSettings = TailSettings()) {
    log = ScriptedLog(executor)
    stream = log.makeStream(shards: shards)
    hub = TailHub(
      source: log, executor: executor, clock: TurnClock(executor: executor),
      metrics: LoopMetrics(routeCount: 1), settings: settings)
  }

  var shard: Shard { stream.shards[0] }

  static let events = LiveShape.events(EventShape())

  /// A reader as the handler starts it.
  @discardableResult
  func read(
    from places: [UInt64]? = nil, shape: LiveShape = events, filter: RecordFilter? = nil,
    shardIndex: Int? = nil
  ) -> FakeExchange {
    let exchange = FakeExchange()
    exchange.start(200, Headers())
    let shards = shardIndex.map { [stream.shards[$0]] } ?? stream.shards
    let places = places?.map { Offset($0) } ?? shards.map(\.tail)
    let request = TailRequest(
      stream: stream, shardIndex: shardIndex, shape: shape, filter: filter)
    TailReader(request, from: places, exchange, on: hub).start()
    return exchange
  }

  /// Appends `count` records one by one.
  func append(_ count: Int, key: String? = nil, shard: Int = 0) {
    for _ in 0..<count {
      log.append(["{\"n\":1}"], key: key, to: stream.shards[shard])
    }
  }
}
