// An embedded store on a disk in memory, everything tiny, run by the test turn by turn: crashed, copied, opened again.
import Engine
import NIOCore
import Synchronization
import Testing
import Wire

final class StoreBench {
  static let options: StoreOptions = {
    var options = StoreOptions(salt: 7)
    options.walFileBytes = 8 << 10
    options.walFilesPerLane = 3
    options.walBlockBytes = 512
    options.groupBytesMax = 4 << 10
    options.stagedBytesMax = 64 << 10
    options.cacheBytes = 0
    options.segmentBytes = 2 << 10
    options.indexEveryBytes = 256
    options.openFilesMax = 2
    options.checkpointDelay = .seconds(10)
    options.reserveBytes = 64 << 10
    options.syncsEachMax = 3
    return options
  }()

  let turns = Turns()
  let disk: MemoryDisk
  private let checkpoints: Checkpoints
  private var laneExecutors: [TurnExecutor] = []
  private(set) var store: EmbeddedStore!

  /// Of every lane, by its number; made when first asked for.
  final class Checkpoints: Sendable {
    private let lanes = Mutex<[Int: MemoryCheckpoint]>([:])

    func of(_ lane: Int) -> MemoryCheckpoint {
      lanes.withLock { lanes in
        if let known = lanes[lane] { return known }
        lanes[lane] = MemoryCheckpoint()
        return lanes[lane]!
      }
    }

    func copy() -> Checkpoints {
      let twin = Checkpoints()
      let copies = lanes.withLock { $0.mapValues { $0.copy() } }
      twin.lanes.withLock { $0 = copies }
      return twin
    }
  }

  init(disk: MemoryDisk = MemoryDisk(), checkpoints: Checkpoints = Checkpoints()) {
    self.disk = disk
    self.checkpoints = checkpoints
  }

  static func opened(lanes: Int = 1) throws -> StoreBench {
    let bench = StoreBench()
    try bench.open(lanes: lanes)
    return bench
  }

  /// What a kill -9 leaves at this moment, not opened yet.
  func crashed() -> StoreBench { StoreBench(disk: disk.copy(), checkpoints: checkpoints.copy()) }

  func checkpoint(of lane: Int) -> MemoryCheckpoint { checkpoints.of(lane) }

  func open(
    lanes: Int = 1, liveShards: Set<ShardID>? = nil,
    _ change: (inout StoreOptions) -> Void = { _ in }
  ) throws(StoreOpenError) {
    var options = Self.options
    change(&options)
    laneExecutors = (0..<lanes).map { turns.executor("lane-\($0)") }
    store = try EmbeddedStore.open(
      options: options, disk: disk, lanes: laneExecutors, blocking: turns.executor,
      time: turns.time,
      checkpoints: { [checkpoints] lane throws(MetaError) in checkpoints.of(lane) },
      liveShards: liveShards)
    turns.run()
  }

  /// Stops in order: with a last checkpoint.
  func close() { turns.on(laneExecutors[0]) { store.close {} } }

  /// Lets the checkpoint's time come.
  func makeCheckpoint() { turns.advance(by: .seconds(11)) }

  func executor(of shard: UInt64) -> TurnExecutor {
    guard let executor = store.executor(of: ShardID(shard)) as? TurnExecutor else {
      preconditionFailure("the store runs on the bench's executors")
    }
    return executor
  }

  func room(_ shard: UInt64) -> Int {
    turns.on(executor(of: shard)) { store.room(for: ShardID(shard)) }
  }

  // MARK: Shards

  /// The shard's owner, opened.
  func owner(_ shard: UInt64, epoch: UInt64 = 1) throws -> Owner {
    let executor = executor(of: shard)
    let owner = Owner(
      store, ShardID(shard), epoch: Epoch(epoch), tail: .zero, time: turns.time.now)
    let confined = Confined(owner, to: executor)
    let opened = Box<Result<ShardRecovery, LogError>>()
    turns.on(executor) {
      store.open(ShardID(shard), epoch: Epoch(epoch), client: owner) { result in
        if case .success(let recovery) = result { confined.value.begin(recovery) }
        opened.set(result)
      }
    }
    _ = try #require(opened.value).get()
    return owner
  }

  /// Appends one frame and runs until its fate is known; the error, or nil.
  @discardableResult
  func append(_ owner: Owner, _ values: [String], extras: FrameExtras = .none) -> LogError? {
    let answer = Box<LogError?>()
    turns.on(executor(of: owner.shard.rawValue)) {
      owner.append(values, extras: extras, at: turns.time.now) { answer.set($0) }
    }
    guard let fate = answer.value else { return .device("it was not answered") }
    return fate
  }

  @discardableResult
  func trim(_ owner: Owner, before: UInt64) -> LogError? {
    let answer = Box<LogError?>()
    turns.on(executor(of: owner.shard.rawValue)) {
      owner.trim(before: Offset(before)) { answer.set($0) }
    }
    guard let fate = answer.value else { return .device("it was not answered") }
    return fate
  }

  func read(_ shard: UInt64, from: UInt64, bytesMax: Int = 1 << 20) -> ReadOutcome {
    let answer = Box<ReadOutcome>()
    let executor = executor(of: shard)
    turns.on(executor) {
      store.read(ShardID(shard), from: Offset(from), bytesMax: bytesMax, on: executor) {
        answer.set($0)
      }
    }
    return answer.value ?? .failed(.device("it was not answered"))
  }

  /// Everything from `from` to the tail; or the outcome that is neither frames nor the tail, in words.
  func values(_ shard: UInt64, from: UInt64 = 0) -> [String] {
    var values: [String] = []
    var next = Offset(from)
    while true {
      switch read(shard, from: next.rawValue, bytesMax: 700) {
      case .frames(let chunk):
        values += chunk.values(from: next)
        next = chunk.end
      case .atTail: return values
      case let other: return values + [other.name]
      }
    }
  }
}

/// What a reply brought.
final class Box<Value: Sendable>: Sendable {
  private let held = Mutex<Value?>(nil)
  var value: Value? { held.withLock { $0 } }
  func set(_ value: Value) { held.withLock { $0 = value } }
}

/// Says when the n-th of something comes.
final class Countdown: Sendable {
  private let held: Mutex<Int>
  init(_ count: Int) { held = Mutex(count) }
  /// Counts; true for the n-th and everything after it.
  func isOver() -> Bool {
    held.withLock { left in
      left -= 1
      return left < 0
    }
  }
  var left: Int { held.withLock { $0 } }
}
