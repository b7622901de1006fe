// The embedded log store: lanes of write-ahead logs, and segments behind them, on one machine's disk.
import Wire

/// Layout below the data directory: `millrace.store` says what it is; `lanes/N/wal-K.log` are the logs;
/// `shards/ID÷1000/ID/BASE.seg` are the records. What each shard has is in the lanes' checkpoint stores.
public final class EmbeddedStore: LogStore {
  /// What opening found and did.
  public let report: RecoveryReport
  public let recovered: [ShardID: ShardSummary]
  public let frameBytesMax: Int
  private let lanes: [Confined<Lane>]
  private let counters: [LaneCounters]
  private let reader: SegmentReader

  /// Opens the store, or makes a new one; blocks until it is ready. Nothing here runs on threads other than the
  /// caller's and the given executors.
  /// - Parameter lanes: one or more; shard `s` lives on `lanes[s % lanes.count]`.
  /// - Parameter blocking: makes an executor that may block, named for what it does; the caller stops it after
  ///   `close` has replied.
  /// - Parameter checkpoints: the checkpoint store of the lane with this number, below `lanes/N`. Numbers are never
  ///   used again: when the number of lanes changes, the new ones get new numbers, and the old files are removed.
  /// - Parameter liveShards: shards that are on disk and not among these are dropped; nil keeps all.
  public static func open(
    options: StoreOptions, disk: any Disk, lanes: [any Executor],
    blocking: (String) -> any Executor, time: any TimeSource,
    checkpoints: (Int) throws(MetaError) -> any CheckpointStore, liveShards: Set<ShardID>?
  ) throws(StoreOpenError) -> EmbeddedStore {
    precondition(!lanes.isEmpty, "a store has a lane")
    options.check()
    var opening = StoreOpening(options: options, disk: disk, time: time, liveShards: liveShards)
    let opened = try opening.run(laneCount: lanes.count, checkpoints)
    let reader = SegmentReader(disk: disk, options: options)
    let readers = (0..<options.readers).map { blocking("read-\($0)") }
    var store: [Lane] = []
    for (index, lane) in opened.enumerated() {
      let parts = Lane.Parts(
        number: lane.number, salt: opening.salt, options: options, disk: disk, time: time,
        executor: lanes[index], committer: blocking("commit-\(index)"),
        checkpointExecutor: blocking("checkpoint-\(index)"), checkpointer: lane.checkpointer,
        reader: reader, readers: readers, reserveBytes: options.reserveBytes * lanes.count)
      store.append(Lane(parts, taking: lane))
    }
    return EmbeddedStore(
      report: opening.report, lanes: store, reader: reader, frameBytesMax: options.frameBytesMax)
  }

  private init(
    report: RecoveryReport, lanes: [Lane], reader: SegmentReader, frameBytesMax: Int
  ) {
    self.report = report
    self.frameBytesMax = frameBytesMax
    self.reader = reader
    var recovered: [ShardID: ShardSummary] = [:]
    for lane in lanes { recovered.merge(lane.shards.mapValues(\.summary)) { one, _ in one } }
    self.recovered = recovered
    counters = lanes.map(\.counters)
    self.lanes = lanes.map(\.confined)
    for lane in self.lanes { lane.executor.execute { lane.value.start() } }
  }

  private func lane(of shard: ShardID) -> Confined<Lane> {
    lanes[Int(shard.rawValue % UInt64(lanes.count))]
  }

  public func executor(of shard: ShardID) -> any Executor { lane(of: shard).executor }

  public func open(
    _ shard: ShardID, epoch: Epoch, client: any LogClient,
    reply: @escaping @Sendable (Result<ShardRecovery, LogError>) -> Void
  ) {
    lane(of: shard).value.open(shard, epoch: epoch, client: client, reply: reply)
  }

  public func append(_ frame: Frame) { lane(of: frame.shard).value.append(frame) }

  public func room(for shard: ShardID) -> Int { lane(of: shard).value.room() }

  public func trim(_ shard: ShardID, before: Offset, epoch: Epoch) {
    lane(of: shard).value.trim(shard, before: before, epoch: epoch)
  }

  public func expired(_ shard: ShardID, policy: Retention, now: Timestamp) -> Offset? {
    lane(of: shard).value.shards[shard]?.expired(policy, now: now)
  }

  public func read(
    _ shard: ShardID, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) {
    lane(of: shard).value.read(shard, from: from, bytesMax: bytesMax, on: executor, reply: reply)
  }

  public func find(
    _ time: Timestamp, in shard: ShardID, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void
  ) {
    lane(of: shard).value.find(time, in: shard, on: executor, reply: reply)
  }

  public func remove(_ shard: ShardID) { lane(of: shard).value.remove(shard) }

  public func close(reply: @escaping @Sendable () -> Void) {
    close(lane: 0, reply)
  }

  /// One lane after another: each makes its last checkpoint.
  private func close(lane index: Int, _ reply: @escaping @Sendable () -> Void) {
    guard index < lanes.count else {
      reader.forgetAll()
      return reply()
    }
    let lane = lanes[index]
    lane.executor.execute { lane.value.close { self.close(lane: index + 1, reply) } }
  }

  public var unready: String? {
    for lane in counters {
      if lane.isFull.load(ordering: .relaxed) != 0 { return "the disk is full" }
      if lane.isStuck.load(ordering: .relaxed) != 0 {
        let reason = lane.lastCheckpointFailure.withLock { $0 }
        return "the write-ahead log is full, and no checkpoint succeeds: \(reason)"
      }
    }
    return nil
  }

  public var metrics: [MetricSample] {
    var commits = LatencyHistogram()
    for lane in counters { commits.add(lane.commitLatency.withLock { $0 }) }
    return counters.enumerated().flatMap { $1.samples(lane: $0) } + [
      MetricSample(
        "millrace_store_commit_duration_seconds",
        "A group commit: what is staged is written and synced.", commits),
      MetricSample(
        "millrace_store_open_segments", .gauge, "Segment files held open for reading.",
        value: Double(reader.openFiles)),
    ]
  }
}

extension StoreOptions {
  /// Traps on sizes that cannot work together.
  fileprivate func check() {
    precondition(walBlockBytes >= 128, "a block holds a group's header and trailer")
    precondition(
      walFileBytes % walBlockBytes == 0 && walFileBytes >= 2 * walBlockBytes
        && walFileBytes <= UInt32.max,
      "a log file is a whole number of blocks")
    precondition(walFilesPerLane >= 2, "one file is written while another waits for its checkpoint")
    precondition(readers >= 1 && openFilesMax >= 1 && indexEveryBytes >= 1 && segmentBytes >= 1)
  }
}
