// When a lane's frames go into segments, and how log files and disk space come free again.
import Wire

extension Lane {
  struct Checkpointing {
    var isRunning = false
    /// Another one is to follow the running one at once.
    var isWanted = false
    var timer: ScheduledJob?
    var spaceTimer: ScheduledJob?
    /// The shards of the plan that is being carried out, and those it removes.
    var shards: [ShardLog] = []
    var removing: [ShardLog] = []
    var removedSegments: [[SegmentCheckpoint]] = []
    /// Where the log's next group was to go when the plan was made.
    var end = WALAddress(generation: 0, position: 0)
    /// Written, but maybe not recorded: to be recorded before anything else.
    var unrecorded: CheckpointOutcome?
    var hasFailed = false
  }

  func markDirty(_ shard: ShardLog) {
    guard !shard.isDirty, !shard.isRemoved else { return }
    shard.isDirty = true
    dirty.append(shard)
    armCheckpoint()
  }

  /// Sees to a checkpoint after the usual delay.
  func armCheckpoint() {
    guard checkpointing.timer == nil, !checkpointing.isRunning, !isClosed else { return }
    // While the disk is full, what was trimmed or deleted should make room soon.
    let isUrgent = checkpointing.hasFailed || isFull
    let delay = isUrgent ? options.retryDelay : options.checkpointDelay
    let lane = confined
    checkpointing.timer = executor.schedule(after: delay) {
      lane.value.checkpointing.timer = nil
      lane.value.requestCheckpoint()
    }
  }

  func requestCheckpoint() {
    guard !isClosed else { return }
    if checkpointing.isRunning {
      checkpointing.isWanted = true
      return
    }
    // A disk that fails is not asked again and again: the next attempt has its time.
    let waitsAfterFailure = checkpointing.hasFailed && checkpointing.timer != nil
    if !waitsAfterFailure { startCheckpoint() }
  }

  func startCheckpoint() {
    checkpointing.timer?.cancel()
    checkpointing.timer = nil
    let (checkpointer, time, lane) = (parts.checkpointer, parts.time, confined)
    let work: @Sendable () throws(CheckpointFailure) -> CheckpointOutcome
    if let unrecorded = checkpointing.unrecorded {
      work = { () throws(CheckpointFailure) in try checkpointer.record(unrecorded) }
    } else if let plan = makePlan() {
      work = { () throws(CheckpointFailure) in try checkpointer.run(plan) }
    } else {
      return
    }
    checkpointing.isRunning = true
    parts.checkpointExecutor.execute {
      let start = time.monotonic
      let result: Result<CheckpointOutcome, CheckpointFailure>
      do throws(CheckpointFailure) {
        result = .success(try work())
      } catch {
        result = .failure(error)
      }
      let spent = time.monotonic - start
      lane.executor.execute { lane.value.checkpointed(result, spent) }
    }
  }

  /// Everything committed so far that is not in segments; nil if that is nothing.
  func makePlan() -> CheckpointPlan? {
    // Frames of a removed shard may still be on their way; its files go when none can follow.
    checkpointing.removing = removed.filter { $0.queued == 0 }
    removed.removeAll { $0.queued == 0 }
    checkpointing.shards = dirty.filter { !$0.isRemoved }
    dirty = []
    guard
      !checkpointing.shards.isEmpty || !checkpointing.removing.isEmpty
        || log.durable > log.checkpointed
    else { return nil }
    var plan = CheckpointPlan(logSequence: log.durable, log: log.reader, now: parts.time.now)
    plan.removedShards = checkpointing.removing.map(\.id)
    for shard in checkpointing.shards {
      shard.isDirty = false
      plan.shards.append(shard.beginFlush(options))
    }
    checkpointing.removedSegments = plan.shards.map(\.removed)
    checkpointing.end = log.end
    return plan
  }

  private func checkpointed(
    _ result: Result<CheckpointOutcome, CheckpointFailure>, _ spent: Duration
  ) {
    checkpointing.isRunning = false
    counters.checkpointNanoseconds.add(Int(spent.nanoseconds))
    switch result {
    case .success(let outcome):
      checkpointing.hasFailed = false
      adopt(outcome)
      if outcome.freeBytes < parts.reserveBytes { becomeFull() }
    case .failure(.files(let error)):
      undoPlan()
      failedCheckpoint("\(error)", isFull: error == .full)
    case .failure(.record(let error, let outcome)):
      checkpointing.unrecorded = outcome
      failedCheckpoint("\(error)", isFull: outcome.freeBytes < parts.reserveBytes)
    }
    counters.isStuck.set(isStalled && checkpointing.hasFailed ? 1 : 0)
    let again = checkpointing.isWanted && !checkpointing.hasFailed
    checkpointing.isWanted = false
    if again {
      startCheckpoint()
    } else if checkpointing.hasFailed || !dirty.isEmpty || !removed.isEmpty {
      armCheckpoint()
    }
    if isStalled, !checkpointing.hasFailed { startCommit() }
    goOnClosing()
  }

  private func failedCheckpoint(_ reason: String, isFull: Bool) {
    checkpointing.hasFailed = true
    counters.failedCheckpoints.add(1)
    counters.lastCheckpointFailure.withLock { $0 = reason }
    if isFull { becomeFull() }
    // Whoever waits for room in the log would wait for ever: none of it was written.
    guard isStalled, flight == nil, !staged.isEmpty else { return }
    dropStaged(
      isFull
        ? .full : .device("the write-ahead log is full, and no checkpoint succeeds: \(reason)"))
  }

  /// The plan was carried out and recorded.
  func adopt(_ outcome: CheckpointOutcome) {
    counters.checkpoints.add(1)
    counters.checkpointBytes.add(outcome.bytesWritten)
    checkpointing.unrecorded = nil
    for (index, shard) in checkpointing.shards.enumerated() {
      let removed = checkpointing.removedSegments[index]
      shard.endFlush(written: outcome.written[index], removed: removed)
      if outcome.stamped[index] { shard.hasStoredStamps = true }
      for segment in removed + shard.doomed { parts.reader.forget(segment) }
      if !shard.doomed.isEmpty { markDirty(shard) }
    }
    checkpointing.shards = []
    checkpointing.removing = []
    checkpointing.removedSegments = []
    log.checkpointed(upTo: outcome.change.logSequence)
    removeSpareFiles()
    cache.drop(before: checkpointing.end)
    counters.logBytesInUse.set(log.bytesInUse)
    counters.cachedBytes.set(cache.byteCount)
  }

  private func undoPlan() {
    for shard in checkpointing.shards {
      shard.undoFlush()
      if !shard.isRemoved, !shard.isDirty {
        shard.isDirty = true
        dirty.append(shard)
      }
    }
    removed = checkpointing.removing + removed
    checkpointing.shards = []
    checkpointing.removing = []
    checkpointing.removedSegments = []
  }

  // MARK: Log files

  /// The log is full: a checkpoint frees files, or another one is made.
  func makeRoom() {
    prepareSpareFile()
    requestCheckpoint()
  }

  /// A file was begun: the next one is made in good time, and once half of the log waits for it there is a checkpoint.
  /// Each opens a file for every shard it finds records of, so with thousands of shards few and large ones pay, while
  /// the other half of the log takes what comes meanwhile.
  func beganFile() {
    prepareSpareFile()
    let sealed = log.files.count { $0.state != .free && $0.state != .active }
    if sealed >= max(1, options.walFilesPerLane / 2) { requestCheckpoint() }
  }

  func prepareSpareFile() {
    guard log.free == nil, !log.isMakingFile, log.files.count < options.walFilesPerLane, !isClosing
    else { return }
    log.isMakingFile = true
    let taken = Set(log.files.map(\.slot))
    let slot = (0...).first { !taken.contains($0) }!
    let (disk, number, bytes, lane) = (parts.disk, parts.number, log.fileBytes, confined)
    parts.checkpointExecutor.execute {
      let result: Result<SharedFile, DiskError>
      do throws(DiskError) {
        result = .success(try LaneLog.makeFile(disk, lane: number, slot: slot, bytes: bytes))
      } catch {
        result = .failure(error)
      }
      lane.executor.execute { lane.value.madeFile(slot, result) }
    }
  }

  private func madeFile(_ slot: Int, _ result: Result<SharedFile, DiskError>) {
    log.isMakingFile = false
    switch result {
    case .success(let file):
      log.addFile(lane: parts.number, slot: slot, file)
      counters.logFiles.set(log.files.count)
    case .failure(let error):
      // The files that there are must do; the next one that is begun asks again.
      if error.kind == .full { becomeFull() }
    }
    if isStalled { startCommit() }
    goOnClosing()
  }

  /// Removes free files of another size than the options ask for, and those that are too many: a start with a full log
  /// makes one more than it may have, and on a full disk all but the next one are space that records need.
  func removeSpareFiles() {
    let idle = log.files.filter { $0.state == .free && $0.pins == 0 }
    let odd = idle.filter(\.isOdd)
    let usual = idle.filter { !$0.isOdd }
    let surplus = log.files.count - odd.count - options.walFilesPerLane
    let files = odd + usual.prefix(max(0, isFull ? usual.count - 1 : surplus))
    guard !files.isEmpty else { return }
    log.files.removeAll { file in files.contains { $0.slot == file.slot } }
    counters.logFiles.set(log.files.count)
    let (disk, lane) = (parts.disk, confined)
    parts.checkpointExecutor.execute {
      // If it stays, the next start finds it and tries again.
      for file in files { try? disk.remove(file.path) }
      lane.executor.execute { lane.value.prepareSpareFile() }
    }
  }

  func unpin(_ reader: WALReader) {
    log.unpin(reader)
    if isStalled { startCommit() }
  }

  // MARK: Disk space

  func becomeFull() {
    guard !isFull else { return }
    isFull = true
    counters.isFull.set(1)
    removeSpareFiles()
    watchSpace()
  }

  /// Looks for free space from time to time until there is enough; trims and others make it.
  func watchSpace() {
    guard isFull, checkpointing.spaceTimer == nil, !isClosing else { return }
    let (disk, lane) = (parts.disk, confined)
    let checkpointExecutor = parts.checkpointExecutor
    checkpointing.spaceTimer = executor.schedule(after: options.retryDelay) {
      checkpointExecutor.execute {
        let free = (try? disk.freeBytes()) ?? 0
        lane.executor.execute { lane.value.sawSpace(free) }
      }
    }
  }

  private func sawSpace(_ freeBytes: Int) {
    checkpointing.spaceTimer = nil
    // A little more than what makes it full, so that it does not go to and fro.
    guard freeBytes >= parts.reserveBytes + parts.reserveBytes / 8 else { return watchSpace() }
    isFull = false
    counters.isFull.set(0)
    prepareSpareFile()
    if !dirty.isEmpty || !removed.isEmpty { requestCheckpoint() }
    startCommit()
  }
}
