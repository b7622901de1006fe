// A lane: the shards that share a write-ahead log, and how their frames are queued for it.
//
// Everything here belongs to the lane's executor. What blocks is sent to the committer, the checkpointer and the
// readers, and comes back as a job. LaneCommit, LaneCheckpoint and LaneReads hold the rest of it.
import NIOCore
import Wire

final class Lane {
  /// What a lane is given.
  struct Parts {
    var number: Int
    var salt: UInt64
    var options: StoreOptions
    var disk: any Disk
    var time: any TimeSource
    var executor: any Executor
    var committer: any Executor
    var checkpointExecutor: any Executor
    var checkpointer: Checkpointer
    var reader: SegmentReader
    var readers: [any Executor]
    /// What is to stay free on the disk.
    var reserveBytes: Int
  }

  let parts: Parts
  let counters = LaneCounters()
  var options: StoreOptions { parts.options }
  var executor: any Executor { parts.executor }

  // Shards. Never walked in dictionary order where anything is written.
  var shards: [ShardID: ShardLog] = [:]
  /// Shards that a checkpoint has something to say about, in the order in which they changed.
  var dirty: [ShardLog] = []
  /// Shards whose files and rows are to go.
  var removed: [ShardLog] = []

  // Staging.
  var staged: [Frame] = []
  var stagedShards: [ShardLog] = []
  var stagedBytes = 0
  var flight: Flight?
  var isFlushQueued = false
  /// Shards whose clients wait to hear of refused frames.
  var refused: [ShardLog] = []

  // The log.
  var log: LaneLog
  var cache: GroupCache
  /// Nothing can be committed until a checkpoint or a new file makes room.
  var isStalled = false
  var isFull = false

  // Checkpoints.
  var checkpointing = Checkpointing()

  // The end.
  var closing = Closing()
  var isClosed = false
  var isClosing: Bool { closing.reply != nil || isClosed }

  init(_ parts: Parts, log: LaneLog) {
    self.parts = parts
    self.log = log
    cache = GroupCache(bytesMax: parts.options.cacheBytes)
  }

  /// For jobs that come back from elsewhere.
  var confined: Confined<Lane> { Confined(self, to: parts.executor) }

  /// Takes over what recovery found; called once, as the first job.
  func start() {
    prepareSpareFile()
    let mayGrow = log.files.count < options.walFilesPerLane
    if log.free == nil, log.active == nil || !mayGrow { requestCheckpoint() }
    if !dirty.isEmpty || !removed.isEmpty { armCheckpoint() }
    guard isFull else { return }
    removeSpareFiles()
    watchSpace()
  }

  // MARK: Owners

  func open(
    _ id: ShardID, epoch: Epoch, client: any LogClient,
    reply: @escaping @Sendable (Result<ShardRecovery, LogError>) -> Void
  ) {
    guard !isClosing else { return executor.execute { reply(.failure(.gone)) } }
    let shard = shards[id] ?? ShardLog(new: id)
    guard epoch >= shard.epoch else {
      let owner = shard.epoch
      return executor.execute { reply(.failure(.fenced(by: owner))) }
    }
    shards[id] = shard
    counters.shards.set(shards.count)
    if epoch > shard.epoch {
      // Frames carry their epoch, so the first one says it durably; without any, the next checkpoint does.
      shard.epoch = epoch
      markDirty(shard)
    }
    guard shard.queued == 0, shard.refusal == nil else {
      // The former owner's frames are settled first; it can queue no more.
      shard.whenSettled.append { [unowned self] in
        open(id, epoch: epoch, client: client, reply: reply)
      }
      return
    }
    if let former = shard.client, former !== client {
      former.log(id, undecided: .fenced(by: epoch))
    }
    shard.client = client
    recall(shard, reply)
  }

  /// Hands over the shard with its stamps: those in the checkpoint store, then those in the log.
  private func recall(
    _ shard: ShardLog, _ reply: @escaping @Sendable (Result<ShardRecovery, LogError>) -> Void
  ) {
    let stamped = shard.stamped
    let summary = shard.summary
    let lastTimestamp = shard.lastTimestamp
    guard shard.hasStoredStamps || !stamped.isEmpty else {
      let recovery = ShardRecovery(summary: summary, lastTimestamp: lastTimestamp, stamps: [])
      return executor.execute { reply(.success(recovery)) }
    }
    let id = shard.id
    let firstInLog = stamped.first?.base
    let reader = log.pin()
    let store = parts.checkpointer.store
    let lane = confined
    parts.checkpointExecutor.execute {
      let result: Result<ShardRecovery, LogError>
      do throws(LogError) {
        let stored: [StampedRange]
        do { stored = try store.stamps(of: id) } catch { throw .device("\(error)") }
        // A checkpoint may have stored meanwhile what the log has as well.
        let older = firstInLog.map { first in stored.filter { $0.offsets.lowerBound < first } }
        result = .success(
          ShardRecovery(
            summary: summary, lastTimestamp: lastTimestamp,
            stamps: (older ?? stored) + (try reader.stamps(stamped))))
      } catch {
        result = .failure(error)
      }
      lane.executor.execute {
        lane.value.unpin(reader)
        reply(result)
      }
    }
  }

  func remove(_ id: ShardID) {
    guard let shard = shards.removeValue(forKey: id) else { return }
    counters.shards.set(shards.count)
    shard.isRemoved = true
    shard.client = nil
    shard.refusal = nil
    for segment in shard.segments + shard.doomed { parts.reader.forget(segment) }
    removed.append(shard)
    armCheckpoint()
  }

  // MARK: Queueing

  func append(_ frame: Frame) {
    guard let shard = shards[frame.shard] else {
      preconditionFailure("shard \(frame.shard) was not opened")
    }
    // Frames behind a dropped one are dropped with it; frames of a former owner, who was told, as well.
    guard shard.refusal == nil, frame.epoch >= shard.epoch else { return }
    precondition(frame.epoch == shard.epoch, "the owner of \(shard.epoch) wrote \(frame.epoch)")
    precondition(frame.kind == .records && frame.byteCount <= options.frameBytesMax)
    precondition(
      frame.baseOffset == shard.stagedTail,
      "shard \(shard.id): frame at \(frame.baseOffset), tail \(shard.stagedTail)")
    precondition(frame.timestamp >= shard.stagedTimestamp, "time goes on within a shard")
    if isClosing { return refuse(shard, .gone) }
    if isFull { return refuse(shard, .full) }
    shard.stagedTail = frame.endOffset
    shard.stagedTimestamp = frame.timestamp
    stage(frame, of: shard)
  }

  /// Trims are taken while the disk is full: they are the way out.
  func trim(_ id: ShardID, before: Offset, epoch: Epoch) {
    guard let shard = shards[id] else { preconditionFailure("shard \(id) was not opened") }
    precondition(before <= shard.tail, "shard \(id): trim to \(before), tail \(shard.tail)")
    guard shard.refusal == nil, epoch >= shard.epoch else { return }
    if isClosing { return refuse(shard, .gone) }
    let time = max(shard.stagedTimestamp, Timestamp(milliseconds: 0))
    stage(
      FrameDraft.control(.trim).seal(
        shard: id, baseOffset: before, epoch: epoch, timestamp: time), of: shard)
  }

  func room() -> Int {
    if isFull { return max(1, options.stagedBytesMax - stagedBytes) }
    // A full log that is being emptied is a matter of moments; one that cannot be emptied is not.
    let isStuck = isStalled && checkpointing.hasFailed
    return isStuck ? min(0, -stagedBytes) : options.stagedBytesMax - stagedBytes
  }

  private func stage(_ frame: Frame, of shard: ShardLog) {
    shard.queued += 1
    staged.append(frame)
    stagedShards.append(shard)
    stagedBytes += frame.byteCount
    if flight == nil { queueFlush() }
  }

  /// Once a tick: whatever comes in the same tick shares the commit.
  func queueFlush() {
    guard !isFlushQueued else { return }
    isFlushQueued = true
    let lane = confined
    executor.execute { lane.value.flush() }
  }

  private func flush() {
    isFlushQueued = false
    startCommit()
    tellRefusals()
    goOnClosing()
  }

  // MARK: Refusals

  /// Drops a frame, and all that follow it until the client has heard.
  func refuse(_ shard: ShardLog, _ error: LogError) {
    shard.refusal = error
    guard shard.queued == 0 else { return }  // told when what is before it is settled
    refused.append(shard)
    queueFlush()
  }

  private func tellRefusals() {
    let shards = refused
    refused = []
    for shard in shards { settle(shard) }
  }

  /// Tells what is left to tell when nothing of the shard is queued any more.
  func settle(_ shard: ShardLog) {
    guard shard.queued == 0 else { return }
    if let refusal = shard.refusal {
      shard.refusal = nil
      shard.unwind()
      shard.client?.log(shard.id, undecided: refusal)
    }
    guard !shard.whenSettled.isEmpty, shard.queued == 0, shard.refusal == nil else { return }
    let waiting = shard.whenSettled
    shard.whenSettled = []
    for job in waiting { job() }
  }
}
