// Group commit: what is staged goes to the log in one write and one sync, and then takes effect all at once.
import NIOCore
import Wire

extension Lane {
  /// The group on its way to disk.
  struct Flight {
    var frames: [Frame]
    var shards: [ShardLog]
    var bytes: Int
    var start: WALAddress
    /// Of the file it goes to: files come and go while it is on its way, so their places in the list move.
    var slot: Int
  }

  /// How a commit went, as the committer tells it.
  enum CommitResult: Sendable {
    /// The group as it was written, for readers near the tail.
    case durable(ByteBuffer)
    case notWritten(DiskError)
    case notSynced(DiskError)
  }

  /// Sends what is staged to disk, unless a group is on its way already.
  func startCommit() {
    guard flight == nil, !isClosed else { return }
    let block = options.walBlockBytes
    guard let first = staged.first else {
      // Those who waited for room were told that there is none.
      if isStalled, log.hasRoom(forGroupOf: block) { stall(false) }
      return
    }
    let least = GroupHeader.groupBytes(payloadBytes: first.byteCount, block: block)
    guard let file = log.file(forGroupOf: least) else {
      stall(true)
      makeRoom()
      return
    }
    stall(false)
    let position = log.files[file].position
    if position == 0 { beganFile() }
    let payloadMax = min(options.groupBytesMax, log.fileBytes - position - block)
    let (frames, shards, bytes) = takeStaged(bytesMax: payloadMax)
    let header = GroupHeader(
      generation: log.files[file].generation, sequence: log.nextSequence, payloadBytes: bytes,
      frameCount: frames.count, lane: parts.number)
    flight = Flight(
      frames: frames, shards: shards, bytes: bytes,
      start: WALAddress(generation: header.generation, position: position),
      slot: log.files[file].slot)
    let (handle, salt, time) = (log.files[file].handle, parts.salt, parts.time)
    let lane = confined
    parts.committer.execute {
      let start = time.monotonic
      let result = Self.write(header, frames, to: handle.file, at: position, block, salt)
      let spent = time.monotonic - start
      lane.executor.execute { lane.value.landed(result, spent) }
    }
  }

  private func stall(_ stalled: Bool) {
    isStalled = stalled
    counters.isStuck.set(stalled && checkpointing.hasFailed ? 1 : 0)
  }

  /// Blocks; on the committer.
  private static func write(
    _ header: GroupHeader, _ frames: [Frame], to file: any DiskFile, at position: Int,
    _ block: Int, _ salt: UInt64
  ) -> CommitResult {
    let group = header.group(of: frames.lazy.map(\.bytes), block: block, salt: salt)
    do throws(DiskError) {
      try file.write([group], at: position)
    } catch {
      return .notWritten(error)
    }
    do throws(DiskError) {
      try file.sync()
    } catch {
      return .notSynced(error)
    }
    return .durable(group)
  }

  /// At least the first frame; more as long as they fit.
  private func takeStaged(bytesMax: Int) -> ([Frame], [ShardLog], Int) {
    var count = 1
    var bytes = staged[0].byteCount
    while count < staged.count, bytes + staged[count].byteCount <= bytesMax {
      bytes += staged[count].byteCount
      count += 1
    }
    defer { counters.stagedBytes.set(stagedBytes) }
    if count == staged.count {
      let taken = (staged, stagedShards)
      staged = []
      stagedShards = []
      staged.reserveCapacity(count)
      stagedShards.reserveCapacity(count)
      return (taken.0, taken.1, bytes)
    }
    defer {
      staged.removeFirst(count)
      stagedShards.removeFirst(count)
    }
    return (Array(staged[..<count]), Array(stagedShards[..<count]), bytes)
  }

  private func landed(_ result: CommitResult, _ spent: Duration) {
    guard let flight else { preconditionFailure("a commit came back twice") }
    self.flight = nil
    stagedBytes -= flight.bytes
    counters.stagedBytes.set(stagedBytes)
    counters.commitNanoseconds.add(Int(spent.nanoseconds))
    counters.commitLatency.withLock { $0.record(spent) }
    switch result {
    case .durable(let group): committed(flight, group)
    case .notWritten(let error):
      // A group cut short has no trailer: recovery will not find it.
      failed(flight, error.kind == .full ? .full : LogError(error), isFull: error.kind == .full)
    case .notSynced(let error):
      let reason = "\(error.operation) \(error.path): errno \(error.code)"
      failed(flight, .device(reason), isFull: error.kind == .full)
    }
    goOnClosing()
  }

  // MARK: Success

  private func committed(_ flight: Flight, _ group: ByteBuffer) {
    counters.commits.add(1)
    counters.frames.add(flight.frames.count)
    counters.bytes.add(flight.bytes)
    log.committed(bytes: group.readableBytes, slot: flight.slot)
    counters.logBytesInUse.set(log.bytesInUse)
    cache.insert(group, at: flight.start)
    counters.cachedBytes.set(cache.byteCount)
    var address = flight.start + GroupHeader.bytes
    var touched: [ShardLog] = []
    for (frame, shard) in zip(flight.frames, flight.shards) {
      apply(frame, to: shard, at: address)
      address = address + frame.byteCount
      if !shard.isTouched {
        shard.isTouched = true
        touched.append(shard)
      }
    }
    // The next group is on its way while clients answer for this one.
    startCommit()
    for shard in touched { deliver(shard) }
  }

  private func apply(_ frame: Frame, to shard: ShardLog, at address: WALAddress) {
    shard.queued -= 1
    guard !shard.isRemoved else { return }
    switch frame.kind {
    case .records:
      shard.commitRecords(
        FrameEntry(
          base: frame.baseOffset, timestamp: frame.timestamp, flags: frame.flags,
          address: address, byteCount: frame.byteCount), end: frame.endOffset)
      shard.delivery.append(frame)
    case .trim:
      forgetTrimmed(shard) { shard.commitTrim(before: frame.baseOffset) }
      shard.isTrimmedNow = true
    case .epoch:
      preconditionFailure("this store writes no epoch frames")
    }
    markDirty(shard)
  }

  private func forgetTrimmed(_ shard: ShardLog, _ trim: () -> Void) {
    let before = shard.doomed.count
    trim()
    for segment in shard.doomed[before...] { parts.reader.forget(segment) }
  }

  private func deliver(_ shard: ShardLog) {
    shard.isTouched = false
    let frames = shard.delivery
    shard.delivery = []
    let isTrimmed = shard.isTrimmedNow
    shard.isTrimmedNow = false
    if !frames.isEmpty { shard.client?.log(shard.id, committed: frames) }
    if isTrimmed {
      shard.client?.log(shard.id, trimmed: shard.earliest, bytes: shard.bytes)
    }
    settle(shard)
  }

  // MARK: Failure

  /// Nobody knows what became of the group, and what was staged behind it continues offsets that may not exist.
  private func failed(_ flight: Flight, _ error: LogError, isFull: Bool) {
    counters.failedCommits.add(1)
    log.abandonActive()
    if isFull { becomeFull() }
    staged = flight.frames + staged
    stagedShards = flight.shards + stagedShards
    dropStaged(error)
    // The former file waits for a checkpoint now.
    requestCheckpoint()
  }

  /// Drops everything that is queued, and tells whom it concerns.
  func dropStaged(_ error: LogError) {
    var touched: [ShardLog] = []
    for shard in stagedShards where !shard.isTouched {
      shard.isTouched = true
      touched.append(shard)
    }
    staged = []
    stagedShards = []
    stagedBytes = 0
    counters.stagedBytes.set(0)
    for shard in touched {
      shard.isTouched = false
      shard.unwind()
      // One answer for all, also for what was refused behind it. Whoever hears it may append at once to a shard whose
      // owner has not heard yet, and so goes on behind what was dropped: that is dropped too.
      shard.refusal = error
    }
    for shard in touched {
      shard.refusal = nil
      shard.client?.log(shard.id, undecided: error)
      settle(shard)
    }
  }
}
