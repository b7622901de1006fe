// The live tails of one event loop: who follows which stream, and the heartbeat of all.
import Engine
import NIOCore
import Wire

struct TailSettings: Sendable {
  var heartbeatInterval = Duration.seconds(15)
  /// What `retry:` tells a browser.
  var reconnectDelay = Duration.seconds(2)
  /// What it tells when the server is in trouble or stops.
  var troubleDelay = Duration.seconds(5)
  /// Unsent bytes above which a reader is served from the log; the transport's own limit, so that it says when it fell.
  var unsentBytesMax = 256 << 10
  /// Frames that wait for a round to end; above it the readers go to the log.
  var pendingBytesMax = 32 << 20
  /// Frames of one round.
  var roundBytesMax = 1 << 20
  /// Readers served before the loop does something else.
  var sliceReadersMax = 256
  /// Frames kept for one reader that is about to become level.
  var feedBytesMax = 1 << 20
  /// Of one read of history, when few readers ask; with many each gets less (`historyBytesMax`).
  var readBytesMax = 1 << 20
  /// Records that were given a time before `until` may still be on their way to the disk for this long.
  var lateCommitGrace = Duration.seconds(5)

  init() {}

  init(_ configuration: GatewayConfiguration) {
    heartbeatInterval = configuration.heartbeatInterval
    reconnectDelay = configuration.reconnectDelay
    unsentBytesMax = configuration.unsentBytesMax
  }
}

/// A tail follows its shards once, however many readers it has on this event loop.
final class TailHub {
  let source: any RecordSource
  let executor: any Executor
  let clock: any TimeSource
  let metrics: LoopMetrics
  let settings: TailSettings
  let heartbeat: Heartbeat
  private var tails: [TailKey: StreamTail] = [:]
  /// Readers that are served from the log.
  private var walking = Roster<TailReader>()
  /// Answers that are not live but read history too.
  var walkingAnswers = 0
  private(set) lazy var pages = PageTurns(on: executor)
  private(set) var isDraining = false

  private struct TailKey: Hashable {
    var stream: ObjectIdentifier
    var shardIndex: Int?
  }

  init(
    source: any RecordSource, executor: any Executor, clock: any TimeSource, metrics: LoopMetrics,
    settings: TailSettings
  ) {
    self.source = source
    self.executor = executor
    self.clock = clock
    self.metrics = metrics
    self.settings = settings
    heartbeat = Heartbeat(after: settings.heartbeatInterval, on: executor)
  }

  /// The tail of all shards of `stream`, or of one; made, and followed, at its first reader.
  func tail(of stream: Stream, shardIndex: Int?) -> StreamTail {
    // A changed stream is another object that shares the shards: the first shard stands for them all.
    let key = TailKey(stream: ObjectIdentifier(stream.shards[0]), shardIndex: shardIndex)
    if let known = tails[key], known.isUsable { return known }
    let scope = ReadScope(incarnation: stream.incarnation, shardIndex: shardIndex)
    let shards = shardIndex.map { [stream.shards[$0]] } ?? stream.shards
    let tail = StreamTail(scope, shards, on: self)
    tails[key] = tail
    tail.open()
    startTicking()
    return tail
  }

  func beginWalking(_ reader: TailReader) {
    walking.add(reader)
    startTicking()
  }

  func endWalking(_ reader: TailReader) { walking.remove(reader) }

  /// Bytes of one read of history: 128 MiB are shared by all that read it on this loop, because an answer to a slow
  /// client lies in memory until it is taken.
  var historyBytesMax: Int {
    let share = (128 << 20) / (walking.count + walkingAnswers + 1)
    return min(settings.readBytesMax, max(32 << 10, share))
  }

  /// True while few enough read history that each may have a read under way while the last is being sent.
  var mayReadAhead: Bool { walking.count + walkingAnswers <= 8 }

  // MARK: Time

  private func startTicking() {
    heartbeat.run { [self] in ticked() }
  }

  /// True if there must be a next tick.
  private func ticked() -> Bool {
    for (key, tail) in tails {
      tail.ticked()
      if tail.isIdle {
        tail.close()
        tails[key] = nil
      }
    }
    for slot in 0..<walking.end { walking[slot]?.ticked() }
    walking.compact()
    return !tails.isEmpty || !walking.isEmpty
  }

  /// Sends every live reader away: the server stops. New ones are sent away at once.
  func drain() {
    isDraining = true
    for tail in tails.values { tail.end(.stopping) }
    for slot in 0..<walking.end { walking[slot]?.end(.stopping) }
  }
}
