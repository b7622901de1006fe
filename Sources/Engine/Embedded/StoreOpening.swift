// How a store comes up: the manifest, each lane's log and checkpoints, and the move to another number of lanes.
import NIOCore
import Wire

/// A lane as it stands after recovery, before it runs.
struct RecoveredLane {
  let number: Int
  let checkpointer: Checkpointer
  var shards: [ShardID: ShardLog] = [:]
  /// In the order of their rows and of the log: nothing depends on a dictionary's.
  var order: [ShardLog] = []
  var dirty: [ShardLog] = []
  var removed: [ShardLog] = []
  var log: LaneLog
  /// The last group of the log, which may never have been synced.
  var last: WALRecovery.LastGroup?
  /// Where the log is damaged: nothing behind it counts.
  var damage: LogDamage?
}

struct StoreOpening {
  let options: StoreOptions
  let disk: any Disk
  let time: any TimeSource
  let liveShards: Set<ShardID>?
  private(set) var salt: UInt64 = 0
  private(set) var report = RecoveryReport()

  init(
    options: StoreOptions, disk: any Disk, time: any TimeSource, liveShards: Set<ShardID>?
  ) {
    self.options = options
    self.disk = disk
    self.time = time
    self.liveShards = liveShards
  }

  /// - Returns: the lanes in order, ready to run.
  mutating func run(
    laneCount: Int, _ checkpoints: (Int) throws(MetaError) -> any CheckpointStore
  ) throws(StoreOpenError) -> [RecoveredLane] {
    var manifest = try findManifest(laneCount: laneCount)
    salt = manifest.salt
    var lanes: [RecoveredLane] = []
    for number in manifest.lanes {
      lanes.append(try recover(number, isNew: !manifest.isReady, checkpoints))
    }
    let damages = lanes.compactMap(\.damage)
    guard damages.isEmpty || options.truncatesDamaged else { throw .damaged(damages) }
    // Up to here nothing was changed.
    let lanesThatHold = manifest.lanes
    try onDisk { () throws(DiskError) in try settleNames(lanesThatHold) }
    for index in lanes.indices where lanes[index].damage != nil { try cut(&lanes[index]) }
    if manifest.laneCount != laneCount {
      report.lanesBefore = manifest.laneCount
      for index in lanes.indices { try flush(&lanes[index]) }
      lanes = try move(lanes, to: laneCount, &manifest, checkpoints)
    }
    for index in lanes.indices { try secureLast(&lanes[index]) }
    if !manifest.isReady {
      manifest.isReady = true
      try onDisk { () throws(DiskError) in try manifest.write(disk) }
    }
    return lanes
  }

  /// Reads what there is and changes nothing: each lane as it would come up, or why it would not.
  /// - Parameter readsLogs: false beside a running server, whose logs change while they are read.
  mutating func look(
    readsLogs: Bool, _ checkpoints: (Int) throws(MetaError) -> any CheckpointStore
  ) throws(StoreOpenError) -> [(number: Int, lane: Result<RecoveredLane, StoreOpenError>)] {
    guard let manifest = try StoreManifest.read(disk) else {
      throw .foreign(file: StoreManifest.path, "it is missing")
    }
    salt = manifest.salt
    var lanes: [(number: Int, lane: Result<RecoveredLane, StoreOpenError>)] = []
    for number in manifest.lanes {
      do throws(StoreOpenError) {
        guard readsLogs else {
          lanes.append((number, .success(try load(number, checkpoints))))
          continue
        }
        var lane = try recover(number, isNew: !manifest.isReady, checkpoints)
        replayLast(&lane)
        lanes.append((number, .success(lane)))
      } catch {
        lanes.append((number, .failure(error)))
      }
    }
    return lanes
  }

  /// Names that a killed process left may not be durable yet, and what comes next relies on them.
  private func settleNames(_ lanes: Range<Int>) throws(DiskError) {
    for number in lanes { try disk.syncDirectory(LaneFiles.directory(number)) }
    try disk.syncDirectory(LaneFiles.root)
    try disk.syncDirectory("")
    // What an interrupted move to another number of lanes left behind.
    for name in try disk.list(LaneFiles.root) {
      if let number = Int(name), !lanes.contains(number) {
        try disk.remove(LaneFiles.directory(number))
      }
    }
  }

  private func onDisk<T>(_ body: () throws(DiskError) -> T) throws(StoreOpenError) -> T {
    do { return try body() } catch { throw .disk(error) }
  }

  private func findManifest(laneCount: Int) throws(StoreOpenError) -> StoreManifest {
    if let manifest = try StoreManifest.read(disk) { return manifest }
    let isNew = try onDisk { () throws(DiskError) in
      (try disk.list(LaneFiles.root) + disk.list(SegmentFiles.root)).isEmpty
    }
    guard isNew else {
      throw .mismatched(
        file: StoreManifest.path, "it is missing, but there are lanes or shards beside it")
    }
    let manifest = StoreManifest(
      salt: options.salt, firstLane: 0, laneCount: laneCount, isReady: false)
    try onDisk { () throws(DiskError) in try manifest.write(disk) }
    return manifest
  }

  // MARK: A lane

  private mutating func recover(
    _ number: Int, isNew: Bool, _ checkpoints: (Int) throws(MetaError) -> any CheckpointStore
  ) throws(StoreOpenError) -> RecoveredLane {
    let slots = try onDisk { () throws(DiskError) in
      try disk.list(LaneFiles.directory(number)).compactMap(LaneFiles.slot)
    }
    guard isNew || !slots.isEmpty else {
      throw .mismatched(file: LaneFiles.directory(number), "its log files are missing")
    }
    var lane = try load(number, checkpoints)
    for shard in lane.order {
      if let error = strange(shard.id) { throw error }
    }
    let recovery = WALRecovery(
      disk: disk, lane: number, salt: salt, block: options.walBlockBytes,
      checkpointed: lane.log.checkpointed)
    var tails = lane.shards.mapValues(\.tail)
    var unknown: StoreOpenError?
    let outcome = try recovery.run { frames in
      for frame in frames where isLive(frame.header.shard) && frame.header.kind == .records {
        unknown = unknown ?? strange(frame.header.shard)
        let tail = tails[frame.header.shard] ?? .zero
        guard frame.header.baseOffset == tail else {
          return "shard \(frame.header.shard) goes on at \(frame.header.baseOffset) at byte "
            + "\(frame.address.position), its tail is \(tail)"
        }
        tails[frame.header.shard] = frame.header.endOffset
      }
      return nil
    } _: { frame in
      replay(frame, into: &lane)
    }
    if let unknown { throw unknown }
    lane.damage = outcome.damage.map { tell($0, tails) }
    lane.last = outcome.last
    lane.log.nextSequence =
      outcome.damage == nil ? outcome.nextSequence : outcome.sequenceCeiling
    lane.log.nextGeneration = outcome.nextGeneration
    try openFiles(outcome, of: &lane)
    dropDeadShards(&lane)
    return lane
  }

  private func isLive(_ shard: ShardID) -> Bool { liveShards?.contains(shard) ?? true }

  /// Why this shard's records cannot be this catalog's, or nil.
  private func strange(_ shard: ShardID) -> StoreOpenError? {
    guard let bound = options.shardsBelow, shard >= bound else { return nil }
    return .mismatched(
      file: "catalog.db",
      "it never gave out shard \(shard), which has records here: it is older than they are")
  }

  /// What goes with the damage, shard by shard; `tails` are what will be left.
  private func tell(_ damage: WALRecovery.Damage, _ tails: [ShardID: Offset]) -> LogDamage {
    var losses: [ShardID: RecordLoss] = [:]
    for frame in damage.lost where frame.kind == .records && isLive(frame.shard) {
      let tail = tails[frame.shard] ?? .zero
      // Of a former life of the file.
      guard frame.endOffset > tail else { continue }
      var loss =
        losses[frame.shard] ?? RecordLoss(shard: frame.shard, offsets: tail..<tail, bytes: 0)
      loss.offsets = tail..<max(loss.offsets.upperBound, frame.endOffset)
      loss.bytes += frame.frameBytes
      losses[frame.shard] = loss
    }
    return LogDamage(
      file: damage.file, position: damage.position, reason: damage.reason,
      losses: losses.values.sorted { $0.shard < $1.shard }, unknownBytes: damage.unknownBytes,
      further: damage.further)
  }

  private func load(
    _ number: Int, _ checkpoints: (Int) throws(MetaError) -> any CheckpointStore
  ) throws(StoreOpenError) -> RecoveredLane {
    try onDisk { () throws(DiskError) in
      guard try !disk.exists(LaneFiles.directory(number)) else { return }
      try disk.createDirectory(LaneFiles.directory(number))
      try disk.syncDirectory(LaneFiles.root)
      try disk.syncDirectory("")
    }
    let store: any CheckpointStore
    let state: CheckpointState
    do {
      store = try checkpoints(number)
      state = try store.load()
    } catch {
      throw .checkpoint(lane: number, error)
    }
    var lane = RecoveredLane(
      number: number, checkpointer: Checkpointer(store: store, disk: disk, options: options),
      log: LaneLog(fileBytes: options.walFileBytes))
    lane.log.checkpointed = state.logSequence
    let stamped = Set(state.stampedShards)
    var segments = state.segments[...]
    for row in state.shards {
      let own = segments.drop { $0.shard < row.shard }.prefix { $0.shard == row.shard }
      segments = segments[own.endIndex...]
      lane.add(
        ShardLog(row, segments: Array(own), hasStoredStamps: stamped.contains(row.shard)))
    }
    return lane
  }

  /// The frame continues its shard: recovery was told to refuse those that do not.
  private mutating func replay(_ frame: ReplayedFrame, into lane: inout RecoveredLane) {
    let header = frame.header
    guard isLive(header.shard) else { return }
    let shard = lane.shards[header.shard] ?? ShardLog(new: header.shard)
    if lane.shards[header.shard] == nil { lane.add(shard) }
    shard.epoch = max(shard.epoch, header.epoch)
    switch header.kind {
    case .records:
      shard.commitRecords(
        FrameEntry(
          base: header.baseOffset, timestamp: header.timestamp, flags: header.flags,
          address: frame.address, byteCount: header.frameBytes), end: header.endOffset)
      report.replayedFrames += 1
      report.replayedBytes += header.frameBytes
    case .trim: shard.commitTrim(before: header.baseOffset)
    case .epoch: break
    }
    shard.unwind()
    lane.markDirty(shard)
  }

  /// Opens the log's files: those with groups wait for a checkpoint, the others are free.
  private func openFiles(_ outcome: WALRecovery.Outcome, of lane: inout RecoveredLane)
    throws(StoreOpenError)
  {
    for slot in outcome.blankSlots + outcome.files.map(\.slot) {
      let path = LaneFiles.log(lane.number, slot: slot)
      let (handle, size) = try onDisk { () throws(DiskError) in
        let handle = SharedFile(try disk.open(path, create: false))
        return (handle, try handle.file.size())
      }
      var file = LaneLog.File(slot: slot, path: path, handle: handle, state: .free)
      file.isOdd = size != options.walFileBytes
      if let index = outcome.files.firstIndex(where: { $0.slot == slot }) {
        file.generation = outcome.files[index].generation
        let next = outcome.files[(index + 1)...].map(\.first).min() ?? lane.log.nextSequence
        file.state = .sealed(last: min(next, lane.log.nextSequence) - 1)
      }
      lane.log.files.append(file)
    }
    lane.log.checkpointed(upTo: lane.log.checkpointed)
  }

  private mutating func dropDeadShards(_ lane: inout RecoveredLane) {
    guard let liveShards else { return }
    for shard in lane.order where !liveShards.contains(shard.id) {
      lane.shards[shard.id] = nil
      shard.isRemoved = true
      lane.removed.append(shard)
      report.removedShards.append(shard.id)
    }
    lane.order.removeAll(where: \.isRemoved)
    report.removedShards.sort()
  }

  // MARK: The last group

  private mutating func replayLast(_ lane: inout RecoveredLane) {
    guard let last = lane.last else { return }
    lane.last = nil
    for frame in last.frames { replay(frame, into: &lane) }
  }

  /// The last group may be no more than a page in the kernel's memory that never reached the disk, and that a failed
  /// sync marked clean. Readers will see it, so it is written anew, to another file, and synced.
  private mutating func secureLast(_ lane: inout RecoveredLane) throws(StoreOpenError) {
    let options = options
    let size = GroupHeader.groupBytes(
      payloadBytes: lane.last?.payload.readableBytes ?? 0, block: options.walBlockBytes)
    if lane.log.free == nil, lane.log.files.count > options.walFilesPerLane {
      // Killed again before its log lay in segments: the log does not grow with every kill.
      try flush(&lane)
    }
    if lane.log.free == nil {
      // One file beyond the limit makes it ready at once, not once a full log lies in segments.
      do throws(StoreOpenError) {
        try addFile(to: &lane, bytes: max(options.walFileBytes, size))
      } catch {
        // No room for one more file: what the others hold goes into segments first.
        guard case .disk(let cause) = error, cause.kind == .full else { throw error }
        try flush(&lane)
        guard lane.log.free != nil else { throw error }
      }
    }
    guard var last = lane.last else { return }
    lane.last = nil
    lane.log.nextSequence = last.sequence
    let file = lane.log.file(forGroupOf: min(size, options.walFileBytes))!
    let header = GroupHeader(
      generation: lane.log.files[file].generation, sequence: last.sequence,
      payloadBytes: last.payload.readableBytes, frameCount: last.frames.count, lane: lane.number)
    let group = header.group(
      of: CollectionOfOne(last.payload), block: options.walBlockBytes, salt: salt)
    let handle = lane.log.files[file].handle
    try onDisk { () throws(DiskError) in
      try handle.file.write([group], at: 0)
      try handle.file.sync()
    }
    lane.log.files[file].position = group.readableBytes
    lane.log.files[file].commits = 1
    lane.log.nextSequence += 1
    var position = GroupHeader.bytes
    for index in last.frames.indices {
      last.frames[index].address = WALAddress(generation: header.generation, position: position)
      position += last.frames[index].header.frameBytes
      replay(last.frames[index], into: &lane)
    }
  }

  private func addFile(to lane: inout RecoveredLane, bytes: Int) throws(StoreOpenError) {
    let taken = Set(lane.log.files.map(\.slot))
    let (number, slot) = (lane.number, (0...).first { !taken.contains($0) }!)
    let handle = try onDisk { () throws(DiskError) in
      try LaneLog.makeFile(disk, lane: number, slot: slot, bytes: bytes)
    }
    lane.log.addFile(lane: number, slot: slot, handle)
  }

  // MARK: Damage

  /// Gives up what lies behind the damage: all that is whole goes into segments, and a checkpoint says that the log's
  /// numbers count no more.
  private mutating func cut(_ lane: inout RecoveredLane) throws(StoreOpenError) {
    guard let damage = lane.damage else { return }
    let shards = lane.order
    // Before the cut counts: whoever is killed in between finds the damage again, and comes here again.
    try onDisk { () throws(DiskError) in
      for shard in shards where !shard.isRemoved { try removeStrays(of: shard) }
    }
    try flush(&lane)
    report.dropped.append(damage)
  }

  /// A checkpoint may have laid down what was cut just now: its files would be taken for those of the records that get
  /// the same offsets next. An index that is gone is made anew.
  private func removeStrays(of shard: ShardLog) throws(DiskError) {
    var kept = Set(shard.segments.map { SegmentFiles.name(of: $0.baseOffset) })
    kept.formUnion(shard.segments.dropLast().map { SegmentFiles.indexName(of: $0.baseOffset) })
    let directory = SegmentFiles.directory(shard.id)
    let strays = try disk.list(directory).filter { !kept.contains($0) }
    guard !strays.isEmpty else { return }
    for name in strays { try disk.remove("\(directory)/\(name)") }
    try disk.syncDirectory(directory)
  }

  // MARK: Checkpoints at start

  /// Lays all that the lane's log holds into segments.
  private mutating func flush(_ lane: inout RecoveredLane) throws(StoreOpenError) {
    replayLast(&lane)
    var plan = CheckpointPlan(logSequence: lane.log.durable, log: lane.log.reader, now: time.now)
    let shards = lane.dirty
    for shard in shards where !shard.isRemoved {
      shard.isDirty = false
      plan.shards.append(shard.beginFlush(options))
    }
    plan.removedShards = lane.removed.map(\.id)
    let outcome: CheckpointOutcome
    do {
      outcome = try lane.checkpointer.run(plan)
    } catch {
      switch error {
      case .files(.full):
        throw .disk(DiskError(.full, operation: "checkpoint", path: SegmentFiles.root))
      case .files(let error):
        throw .disk(
          DiskError(
            .inputOutput, operation: "checkpoint: \(error)",
            path: LaneFiles.directory(lane.number)))
      case .record(let error, _): throw .checkpoint(lane: lane.number, error)
      }
    }
    let planned = shards.filter { !$0.isRemoved }
    for (index, shard) in planned.enumerated() {
      shard.endFlush(written: outcome.written[index], removed: plan.shards[index].removed)
      if outcome.stamped[index] { shard.hasStoredStamps = true }
    }
    lane.dirty = []
    lane.removed = []
    lane.log.checkpointed(upTo: plan.logSequence)
  }

  // MARK: Another number of lanes

  /// All records are in segments; only what the checkpoint stores say has to move. The manifest's change is the
  /// moment when it counts: before it, the next start begins the move anew.
  private mutating func move(
    _ old: [RecoveredLane], to laneCount: Int, _ manifest: inout StoreManifest,
    _ checkpoints: (Int) throws(MetaError) -> any CheckpointStore
  ) throws(StoreOpenError) -> [RecoveredLane] {
    let formerLanes = manifest.lanes
    manifest.firstLane = formerLanes.upperBound
    manifest.laneCount = laneCount
    var lanes: [RecoveredLane] = []
    for number in manifest.lanes {
      try onDisk { () throws(DiskError) in try disk.remove(LaneFiles.directory(number)) }
      lanes.append(try load(number, checkpoints))
    }
    do {
      for index in lanes.indices {
        var change = CheckpointChange()
        // A checkpoint store that is not below the lane's directory may remember an interrupted move.
        change.removedShards = lanes[index].order.map(\.id)
        lanes[index].order = []
        lanes[index].shards = [:]
        for former in old {
          for shard in former.order where shard.id.rawValue % UInt64(laneCount) == UInt64(index) {
            lanes[index].add(shard)
            change.shards.append(shard.row)
            change.segments += shard.segments + shard.doomed
            if shard.hasStoredStamps {
              change.stamps += try former.checkpointer.store.stamps(of: shard.id).map {
                (shard.id, $0)
              }
            }
          }
        }
        try lanes[index].checkpointer.store.commit(change)
        lanes[index].log.checkpointed = 0
      }
    } catch {
      throw .checkpoint(lane: manifest.firstLane, error)
    }
    for index in lanes.indices { try secureLast(&lanes[index]) }
    let moved = manifest
    try onDisk { () throws(DiskError) in try moved.write(disk) }
    for lane in old { lane.checkpointer.store.close() }
    try onDisk { () throws(DiskError) in
      for number in formerLanes { try disk.remove(LaneFiles.directory(number)) }
    }
    return lanes
  }
}

extension RecoveredLane {
  mutating func add(_ shard: ShardLog) {
    shards[shard.id] = shard
    order.append(shard)
  }

  mutating func markDirty(_ shard: ShardLog) {
    guard !shard.isDirty else { return }
    shard.isDirty = true
    dirty.append(shard)
  }
}

extension Lane {
  convenience init(_ parts: Parts, taking recovered: RecoveredLane) {
    self.init(parts, log: recovered.log)
    shards = recovered.shards
    dirty = recovered.dirty
    removed = recovered.removed
    for shard in recovered.order where !shard.doomed.isEmpty && !shard.isDirty {
      shard.isDirty = true
      dirty.append(shard)
    }
    counters.shards.set(shards.count)
    counters.logFiles.set(log.files.count)
    counters.logBytesInUse.set(log.bytesInUse)
    isFull = (try? parts.disk.freeBytes()).map { $0 < parts.reserveBytes } ?? false
    counters.isFull.set(isFull ? 1 : 0)
  }
}
