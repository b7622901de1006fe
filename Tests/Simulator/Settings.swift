// What a simulation is like: drawn from its seed, tiny, so that files roll, fill and are recycled all the time.
import Engine
import Wire

struct Settings {
  var lanesMax: Int
  var store: StoreOptions
  var engine: EngineSettings
  var shardsMax: Int
  var streamCount: Int
  var appenders: Int
  var followers: Int
  var visitors: Int
  /// Bytes of a usual record; some are larger.
  var recordBytes: Int
  var recordsMax: Int
  /// The longest of a client's usual pauses.
  var pauseMicroseconds: Int
  var subscriptions: Int
  var pullers: Int
  var attachers: Int
  var hasSeeks: Bool
  var hasFaults: Bool
  var hasClockJumps: Bool
  /// To be found.
  var bug: PlantedBug?

  static func draw(_ random: inout Random) -> Settings {
    var store = StoreOptions(salt: random.next())
    store.walBlockBytes = [512, 1024, 4096][random.below(3)]
    store.walFileBytes = max(8, 1 << (3 + random.below(3))) * 1024
    store.walFilesPerLane = 2 + random.below(4)
    store.groupBytesMax = 1024 << random.below(5)
    store.stagedBytesMax = 2048 << random.below(5)
    store.cacheBytes = random.below(4) * 4096
    store.segmentBytes = 1024 << random.below(5)
    store.indexEveryBytes = 128 << random.below(4)
    store.openFilesMax = 1 + random.below(6)
    store.readers = 1 + random.below(2)
    store.checkpointDelay = .milliseconds(2 << random.below(8))
    store.retryDelay = .milliseconds(5 << random.below(4))
    store.syncsEachMax = random.below(5)
    store.reserveBytes = random.below(3) * 8192
    store.keysKept = .milliseconds(3000)
    var engine = EngineSettings()
    engine.retentionInterval = .milliseconds(20 << random.below(5))
    engine.shardLimits.idempotencyKept = .milliseconds(2500)
    engine.subscriptions.restMin = .milliseconds(1 << random.below(4))
    engine.subscriptions.restMax = .milliseconds(20)
    engine.subscriptions.snapshotAfterBytes = 100 << random.below(6)
    engine.subscriptions.windowMax = [8, 100, 1_000_000][random.below(3)]
    engine.subscriptions.idleMax = .milliseconds(4 << random.below(8))
    engine.subscriptions.followingIdleMax = .milliseconds(1 << random.below(6))
    return Settings(
      lanesMax: 1 + random.below(3), store: store, engine: engine,
      shardsMax: 1 + random.below(3), streamCount: 1 + random.below(4),
      appenders: 2 + random.below(5), followers: 1 + random.below(4),
      visitors: 1 + random.below(2), recordBytes: 16 << random.below(6),
      recordsMax: 1 + random.below(12), pauseMicroseconds: 100 << random.below(6),
      subscriptions: random.below(4), pullers: 1 + random.below(3), attachers: random.below(3),
      hasSeeks: !random.oneIn(4), hasFaults: !random.oneIn(4),
      hasClockJumps: random.oneIn(2))
  }

  /// Bytes of the values of one batch; it fits a log file.
  func drawSizes(_ random: inout Random) -> [Int] {
    let count = 1 + random.below(recordsMax)
    var left = store.frameBytesMax - 600 - 40 * count
    return (0..<count).map { _ in
      let bytes = random.oneIn(20) ? random.below(3000) : random.below(2 * recordBytes)
      let size = RecordContent.bytesMin + min(bytes, max(0, left - 64 * count))
      left -= size
      return size
    }
  }
}
