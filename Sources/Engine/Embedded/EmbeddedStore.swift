// The embedded log store: lanes of write-ahead logs, and segments behind them, on one machine's disk.
import Wire

public final class EmbeddedStore: LogStore {
  public let report: RecoveryReport
  public let recovered: [ShardID: ShardSummary]

  /// Opens the store, or makes a new one; blocks until it is ready. To be called once, before `lanes` see any work
  /// of the store; nothing here runs on threads other than the given executors.
  /// - Parameter lanes: one or more; shard `s` lives on `lanes[s % lanes.count]`.
  /// - Parameter blocking: makes an executor that may block, named for what it does; the caller stops it after
  ///   `close` has replied.
  /// - Parameter checkpoints: the checkpoint store of the lane log with this number. Numbers are never used again:
  ///   when the number of lanes changes, the new ones get new numbers.
  /// - Parameter liveShards: shards that are on disk and not among these are dropped; nil keeps all.
  public static func open(
    options: StoreOptions, disk: any Disk, lanes: [any Executor],
    blocking: (String) -> any Executor, time: any TimeSource,
    checkpoints: (Int) throws(MetaError) -> any CheckpointStore, liveShards: Set<ShardID>?
  ) throws(StoreOpenError) -> EmbeddedStore { fatalError() }

  init(report: RecoveryReport, recovered: [ShardID: ShardSummary]) {
    self.report = report
    self.recovered = recovered
  }

  public func executor(of shard: ShardID) -> any Executor { fatalError() }
  public func open(
    _ shard: ShardID, epoch: Epoch, client: any LogClient,
    reply: @escaping @Sendable (Result<ShardRecovery, LogError>) -> Void
  ) { fatalError() }
  public func append(_ frame: Frame) { fatalError() }
  public func room(for shard: ShardID) -> Int { fatalError() }
  public func trim(_ shard: ShardID, before: Offset, epoch: Epoch) { fatalError() }
  public func expired(_ shard: ShardID, policy: Retention, now: Timestamp) -> Offset? {
    fatalError()
  }
  public func read(
    _ shard: ShardID, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) { fatalError() }
  public func find(
    _ time: Timestamp, in shard: ShardID, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void
  ) { fatalError() }
  public func remove(_ shard: ShardID) { fatalError() }
  public func close(reply: @escaping @Sendable () -> Void) { fatalError() }
  public var unready: String? { nil }
  public var metrics: [MetricSample] { fatalError() }
}
