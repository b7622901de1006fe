// Lays a lane's committed frames into their shards' segments, so that its log files may be used again. Blocks.
import NIOCore
import Wire

/// What a checkpoint is to do: the lane's state at one moment.
struct CheckpointPlan: Sendable {
  struct Shard: Sendable {
    var row: ShardCheckpoint
    /// The segment to go on with, if there is one.
    var open: SegmentCheckpoint?
    /// Trimmed already: only their stamps are kept. They lie before the entries.
    var trimmed: [FrameEntry]
    var entries: [FrameEntry]
    var removed: [SegmentCheckpoint]
    var segmentBytesMax: Int
    var segmentMillisecondsMax: Int64
  }
  var shards: [Shard] = []
  var removedShards: [ShardID] = []
  var logSequence: UInt64
  var log: WALReader
  var now: Timestamp
}

/// What a checkpoint did.
struct CheckpointOutcome: Sendable {
  var change: CheckpointChange
  /// Of each shard of the plan: its segments that are new or grew.
  var written: [[SegmentCheckpoint]]
  var stamped: [Bool]
  var bytesWritten = 0
  var freeBytes: Int
}

enum CheckpointFailure: Error {
  /// Segments could not be written: nothing counts, all is done again.
  case files(LogError)
  /// The segments are written and synced, but it is not known whether the store says so: exactly this must be
  /// recorded before anything else is done.
  case record(MetaError, CheckpointOutcome)
}

/// Used from one executor; holds nothing between calls.
final class Checkpointer: Sendable {
  private static let writeBytes = 1 << 20
  let store: any CheckpointStore
  private let disk: any Disk
  private let options: StoreOptions

  init(store: any CheckpointStore, disk: any Disk, options: StoreOptions) {
    self.store = store
    self.disk = disk
    self.options = options
  }

  func run(_ plan: CheckpointPlan) throws(CheckpointFailure) -> CheckpointOutcome {
    var outcome: CheckpointOutcome
    do {
      outcome = try writeSegments(plan)
    } catch {
      throw .files(error)
    }
    outcome.change.logSequence = plan.logSequence
    outcome.change.keysSince = plan.now.earlier(by: options.keysKept)
    outcome.change.producersSince = plan.now.earlier(by: options.producersKept)
    outcome.change.removedShards = plan.removedShards
    for shard in plan.shards {
      outcome.change.shards.append(shard.row)
      outcome.change.removedSegments += shard.removed.map { ($0.shard, $0.baseOffset) }
    }
    for segments in outcome.written { outcome.change.segments += segments }
    return try record(outcome)
  }

  /// Makes what `run` wrote count. May be called again with what it failed with.
  func record(_ outcome: CheckpointOutcome) throws(CheckpointFailure) -> CheckpointOutcome {
    do {
      try store.commit(outcome.change)
    } catch {
      throw .record(error, outcome)
    }
    return outcome
  }

  // MARK: Segments

  /// Files and directories that must be synced before the checkpoint is recorded.
  private struct Unsynced {
    /// nil: too many to count, the whole file system is synced.
    var files: [any DiskFile]?
    var directories: [String] = []
    mutating func note(_ directory: String) {
      if files != nil, !directories.contains(directory) { directories.append(directory) }
    }
  }

  private func writeSegments(_ plan: CheckpointPlan) throws(LogError) -> CheckpointOutcome {
    var outcome = CheckpointOutcome(
      change: CheckpointChange(), written: [], stamped: [], freeBytes: .max)
    let touched = plan.shards.count { !$0.entries.isEmpty || !$0.removed.isEmpty }
    let syncsAll = touched + plan.removedShards.count > options.syncsEachMax
    var witness: (any DiskWitness)?
    var unsynced = Unsynced(files: syncsAll ? nil : [])
    defer { for file in unsynced.files ?? [] { file.close() } }
    do {
      if syncsAll { witness = try disk.witness() }
      // Removals first: on a disk that is full to the last byte they make the room that the rest needs.
      for shard in plan.shards {
        for segment in shard.removed { try remove(segment, &unsynced) }
      }
      for shard in plan.removedShards {
        try disk.remove(SegmentFiles.directory(shard))
        unsynced.note(SegmentFiles.group(shard))
      }
      for shard in plan.shards { try write(shard, plan, &outcome, &unsynced) }
      if syncsAll {
        try witness!.syncAll()
      } else {
        for file in unsynced.files ?? [] { try file.sync() }
        for directory in unsynced.directories { try syncDirectory(directory) }
      }
      outcome.freeBytes = try disk.freeBytes()
    } catch let error as LogError {
      throw error
    } catch let error as DiskError {
      throw LogError(error)
    } catch {
      throw .device("\(error)")
    }
    return outcome
  }

  /// Of a shard that was removed before it had a segment, there may be no directory, nor one above it.
  private func syncDirectory(_ path: String) throws(DiskError) {
    do {
      try disk.syncDirectory(path)
    } catch {
      guard error.kind == .notFound else { throw error }
    }
  }

  private func remove(_ segment: SegmentCheckpoint, _ unsynced: inout Unsynced) throws(DiskError) {
    // A crash may have come between the removal and its record: not there is fine, and so is the directory.
    try disk.remove(SegmentFiles.records(segment.shard, segment.baseOffset))
    try disk.remove(SegmentFiles.index(segment.shard, segment.baseOffset))
    unsynced.note(SegmentFiles.directory(segment.shard))
  }

  private func write(
    _ shard: CheckpointPlan.Shard, _ plan: CheckpointPlan, _ outcome: inout CheckpointOutcome,
    _ unsynced: inout Unsynced
  ) throws {
    var written: [SegmentCheckpoint] = []
    let trimmed = try plan.log.stamps(shard.trimmed)
    outcome.change.stamps += trimmed.map { (shard.row.shard, $0) }
    var isStamped = !trimmed.isEmpty
    var open = shard.open
    var rest = shard.entries[...]
    while let first = rest.first {
      var segment = SegmentCheckpoint(
        shard: shard.row.shard, baseOffset: first.base, endOffset: first.base, bytes: 0,
        firstTimestamp: first.timestamp, lastTimestamp: first.timestamp)
      if let last = open, takes(first, in: last, shard) { segment = last }
      open = nil
      var bytes = segment.bytes
      let run = rest.prefix { entry in
        defer { bytes += Int(entry.byteCount) }
        var soFar = segment
        soFar.bytes = bytes
        return bytes == 0 || takes(entry, in: soFar, shard)
      }
      rest = rest[run.endIndex...]
      try makeDirectory(for: segment, isFirst: shard.open == nil && written.isEmpty, &unsynced)
      let stamps = try append(run, to: &segment, plan.log, &unsynced)
      outcome.bytesWritten += run.reduce(0) { $0 + Int($1.byteCount) }
      outcome.change.stamps += stamps.map { (segment.shard, $0) }
      isStamped = isStamped || !stamps.isEmpty
      written.append(segment)
    }
    outcome.written.append(written)
    outcome.stamped.append(isStamped)
  }

  /// Whether the frame still goes into this segment: judged by the frames alone, so that a checkpoint that is done
  /// again after a crash cuts in the same places.
  private func takes(
    _ entry: FrameEntry, in segment: SegmentCheckpoint, _ shard: CheckpointPlan.Shard
  ) -> Bool {
    segment.bytes + Int(entry.byteCount) <= shard.segmentBytesMax
      && entry.timestamp.milliseconds - segment.firstTimestamp.milliseconds
        <= shard.segmentMillisecondsMax
  }

  private func makeDirectory(
    for segment: SegmentCheckpoint, isFirst: Bool, _ unsynced: inout Unsynced
  ) throws(DiskError) {
    guard segment.bytes == 0 else { return }
    unsynced.note(SegmentFiles.directory(segment.shard))
    guard isFirst else { return }
    try disk.createDirectory(SegmentFiles.directory(segment.shard))
    unsynced.note(SegmentFiles.group(segment.shard))
    unsynced.note(SegmentFiles.root)
    unsynced.note("")
  }

  /// Writes the frames behind the segment's end and moves it. Returns the stamps among them.
  private func append(
    _ entries: ArraySlice<FrameEntry>, to segment: inout SegmentCheckpoint, _ log: WALReader,
    _ unsynced: inout Unsynced
  ) throws -> [StampedRange] {
    let file = try disk.open(
      SegmentFiles.records(segment.shard, segment.baseOffset), create: true)
    if unsynced.files != nil { unsynced.files!.append(file) }
    defer { if unsynced.files == nil { file.close() } }
    let indexer = SegmentIndexer(every: options.indexEveryBytes)
    let firstIndexEntry = indexer.count(bytes: segment.bytes)
    var index = ByteBuffer()
    var stamps: [StampedRange] = []
    var rest = entries
    let bytes = entries.reduce(0) { $0 + Int($1.byteCount) }
    var piece = ByteBufferAllocator().buffer(capacity: min(bytes, Self.writeBytes))
    while !rest.isEmpty {
      piece.clear()
      let start = segment.bytes
      while let run = log.nextRun(of: rest, bytesMax: Self.writeBytes - piece.readableBytes) {
        try log.read(run, into: &piece)
        rest = rest[run.endIndex...]
      }
      var position = 0
      while position < piece.readableBytes {
        let (header, stamp) = try check(piece, at: position, of: segment)
        for _ in indexer.entries(position: start + position, frameBytes: header.frameBytes) {
          SegmentIndexEntry(
            offset: header.baseOffset, position: start + position, timestamp: header.timestamp
          ).write(into: &index)
        }
        if let stamp { stamps.append(stamp) }
        position += header.frameBytes
        segment.endOffset = header.endOffset
        segment.lastTimestamp = header.timestamp
      }
      try file.write([piece], at: start)
      segment.bytes += position
    }
    if index.readableBytes > 0 { try write(index, at: firstIndexEntry, of: segment) }
    return stamps
  }

  /// Bytes that come back from a log file are not believed, not even to be written elsewhere.
  private func check(
    _ piece: ByteBuffer, at position: Int, of segment: SegmentCheckpoint
  ) throws -> (FrameHeader, StampedRange?) {
    try piece.withUnsafeReadableBytes { bytes in
      let frame = UnsafeRawBufferPointer(rebasing: bytes[position...])
      let header: FrameHeader
      do {
        header = try FrameHeader(checking: frame)
        try header.checkPayload(frame)
        guard header.shard == segment.shard, header.baseOffset == segment.endOffset else {
          throw FrameDamage.field("shard or offset")
        }
      } catch {
        throw LogError.device(
          "shard \(segment.shard), offset \(segment.endOffset) came back damaged: \(error)")
      }
      let extras = header.extras(in: frame)
      guard extras != .none else { return (header, nil) }
      return (
        header,
        StampedRange(
          extras: extras, offsets: header.baseOffset..<header.endOffset,
          timestamp: header.timestamp)
      )
    }
  }

  private func write(_ index: ByteBuffer, at entry: Int, of segment: SegmentCheckpoint)
    throws(DiskError)
  {
    let file = try disk.open(
      SegmentFiles.index(segment.shard, segment.baseOffset), create: true)
    defer { file.close() }
    try file.write([index], at: entry * SegmentIndexEntry.bytes)
  }
}

extension LogError {
  init(_ error: DiskError) {
    self =
      error.kind == .full
      ? .full : .device("\(error.operation) \(error.path): \(error.kind), errno \(error.code)")
  }
}

extension Timestamp {
  func earlier(by duration: Duration) -> Timestamp {
    let (time, overflow) = milliseconds.subtractingReportingOverflow(duration.milliseconds)
    return Timestamp(milliseconds: overflow ? .min : time)
  }
}
