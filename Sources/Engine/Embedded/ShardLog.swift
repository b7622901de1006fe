// One shard as its lane knows it: what is durable, what is queued, and where each record lies.
import Wire

/// A committed frame that is not in a segment yet.
struct FrameEntry {
  struct Marks: OptionSet {
    let rawValue: UInt32
    static let stamped = Marks(rawValue: 1)
    static let opaque = Marks(rawValue: 2)
  }
  var base: Offset
  var timestamp: Timestamp
  var address: WALAddress
  var byteCount: UInt32
  var marks: Marks

  init(
    base: Offset, timestamp: Timestamp, flags: FrameFlags, address: WALAddress, byteCount: Int
  ) {
    self.base = base
    self.timestamp = timestamp
    self.address = address
    self.byteCount = UInt32(byteCount)
    var marks: Marks = []
    if !flags.isDisjoint(with: [.producer, .idempotency]) { marks.insert(.stamped) }
    if flags.contains(.opaque) { marks.insert(.opaque) }
    self.marks = marks
  }

  var addressEnd: WALAddress { address + Int(byteCount) }
}

/// Belongs to its lane's executor. Thousands of these lie idle: empty arrays cost nothing.
final class ShardLog {
  let id: ShardID
  var epoch: Epoch
  var client: (any LogClient)?

  // Durable.
  var earliest: Offset
  var tail: Offset
  var lastTimestamp: Timestamp
  /// By base offset, without holes; the last may still grow.
  var segments: [SegmentCheckpoint]
  /// Trimmed away, but their files and rows are still there.
  var doomed: [SegmentCheckpoint] = []
  /// Frames that a checkpoint is laying into segments just now; they follow the segments.
  var flushing: [FrameEntry] = []
  /// Frames for the next checkpoint; they follow the flushing ones.
  var recent: [FrameEntry] = []
  /// Stamped frames that were trimmed before a checkpoint: their records are gone, yet a repetition must be told. Those
  /// of the running checkpoint lie before the flushing frames, the others before the recent ones.
  private var trimmedFlushing: [FrameEntry] = []
  private var trimmed: [FrameEntry] = []
  private(set) var segmentBytes: Int
  private(set) var flushingBytes = 0
  private(set) var recentBytes = 0

  // Queued.
  var stagedTail: Offset
  var stagedTimestamp: Timestamp
  /// Frames staged or on their way to disk, trims included.
  var queued = 0
  /// Why frames were dropped; the client hears of it when what was queued before them is settled.
  var refusal: LogError?
  /// Runs once nothing is queued and no refusal is left to tell.
  var whenSettled: [() -> Void] = []
  /// What the group at hand committed, for one call to the client.
  var delivery: [Frame] = []
  var isTrimmedNow = false
  var isTouched = false

  var isDirty = false
  var isRemoved = false
  /// The checkpoint store has stamps of it.
  var hasStoredStamps: Bool
  /// As last asked about by `expired`: decides how finely segments are cut.
  var retention = Retention(age: nil, bytes: nil)

  init(_ row: ShardCheckpoint, segments: [SegmentCheckpoint], hasStoredStamps: Bool) {
    id = row.shard
    epoch = row.epoch
    earliest = row.earliest
    tail = row.tail
    lastTimestamp = row.lastTimestamp
    stagedTail = row.tail
    stagedTimestamp = row.lastTimestamp
    self.segments = segments
    segmentBytes = segments.reduce(0) { $0 + $1.bytes }
    self.hasStoredStamps = hasStoredStamps
    doomTrimmedSegments()
  }

  /// A shard never seen before.
  convenience init(new id: ShardID) {
    let row = ShardCheckpoint(
      shard: id, earliest: .zero, tail: .zero, lastTimestamp: Timestamp(milliseconds: .min),
      epoch: Epoch(0))
    self.init(row, segments: [], hasStoredStamps: false)
  }

  /// Bytes of frames kept.
  var bytes: Int { segmentBytes + flushingBytes + recentBytes }

  /// Frames with a stamp that no checkpoint has stored, in offset order.
  var stamped: [FrameEntry] {
    (trimmedFlushing + flushing + trimmed + recent).filter { $0.marks.contains(.stamped) }
  }

  var summary: ShardSummary { ShardSummary(earliest: earliest, tail: tail, bytes: bytes) }

  var row: ShardCheckpoint {
    ShardCheckpoint(
      shard: id, earliest: earliest, tail: tail, lastTimestamp: lastTimestamp, epoch: epoch)
  }

  // MARK: What a committed frame changes

  func commitRecords(_ entry: FrameEntry, end: Offset) {
    precondition(entry.base == tail, "shard \(id): frame at \(entry.base), tail \(tail)")
    recent.append(entry)
    recentBytes += Int(entry.byteCount)
    tail = end
    lastTimestamp = entry.timestamp
  }

  func commitTrim(before: Offset) {
    guard before > earliest else { return }
    earliest = before
    doomTrimmedSegments()
    dropTrimmedEntries()
  }

  /// Forgets what was queued behind the durable tail.
  func unwind() {
    queued = 0
    stagedTail = tail
    stagedTimestamp = lastTimestamp
  }

  // MARK: Checkpoints

  /// What a checkpoint has to do for this shard.
  func beginFlush(_ options: StoreOptions) -> CheckpointPlan.Shard {
    precondition(flushing.isEmpty, "shard \(id): one checkpoint at a time")
    swap(&flushing, &recent)
    swap(&flushingBytes, &recentBytes)
    swap(&trimmedFlushing, &trimmed)
    let limits = segmentLimits(options)
    return CheckpointPlan.Shard(
      row: row, open: segments.last, trimmed: trimmedFlushing, entries: flushing,
      removed: doomed,
      segmentBytesMax: limits.bytes, segmentMillisecondsMax: limits.milliseconds)
  }

  /// The frames lie in these segments now; the doomed ones named are gone.
  func endFlush(written: [SegmentCheckpoint], removed: [SegmentCheckpoint]) {
    flushing = []
    flushingBytes = 0
    trimmedFlushing = []
    doomed.removeAll { old in removed.contains { $0.baseOffset == old.baseOffset } }
    for segment in written {
      // A trim may have doomed the segment that this checkpoint was adding live records to.
      doomed.removeAll { $0.baseOffset == segment.baseOffset }
      if let last = segments.last, last.baseOffset == segment.baseOffset {
        segmentBytes -= last.bytes
        segments.removeLast()
      }
      segments.append(segment)
      segmentBytes += segment.bytes
    }
    doomTrimmedSegments()
  }

  func undoFlush() {
    recent = flushing + recent
    recentBytes += flushingBytes
    flushing = []
    flushingBytes = 0
    let later = trimmed
    trimmed = trimmedFlushing
    trimmedFlushing = []
    dropTrimmedEntries()
    trimmed += later
  }

  private func doomTrimmedSegments() {
    let count = segments.prefix { $0.endOffset <= earliest }.count
    guard count > 0 else { return }
    doomed += segments[..<count]
    segmentBytes -= segments[..<count].reduce(0) { $0 + $1.bytes }
    segments.removeFirst(count)
  }

  /// An entry ends where the next begins.
  /// Drops the recent frames below `earliest`, all but what a repetition is told by.
  private func dropTrimmedEntries() {
    var count = 0
    while count < recent.count {
      let entryEnd = count + 1 < recent.count ? recent[count + 1].base : tail
      guard entryEnd <= earliest else { break }
      recentBytes -= Int(recent[count].byteCount)
      if recent[count].marks.contains(.stamped) { trimmed.append(recent[count]) }
      count += 1
    }
    if count > 0 { recent.removeFirst(count) }
  }

  // MARK: Retention

  /// The offset below which `policy` lets whole segments go, or nil.
  func expired(_ policy: Retention, now: Timestamp) -> Offset? {
    retention = policy
    var cut = earliest
    var bytesLeft = bytes
    for segment in segments {
      let isOld =
        policy.age.map { now.milliseconds - segment.lastTimestamp.milliseconds > $0.milliseconds }
        ?? false
      let isSurplus = policy.bytes.map { bytesLeft - segment.bytes >= $0 } ?? false
      guard isOld || isSurplus else { break }
      bytesLeft -= segment.bytes
      cut = segment.endOffset
    }
    return cut > earliest ? cut : nil
  }

  /// How a checkpoint cuts this shard's segments: fine enough that retention keeps little more than it is told.
  func segmentLimits(_ options: StoreOptions) -> (bytes: Int, milliseconds: Int64) {
    let bytes = retention.bytes.map { max($0 / 4, options.indexEveryBytes) } ?? .max
    let age = retention.age.map { max($0.milliseconds / 8, 1) } ?? .max
    return (min(bytes, options.segmentBytes), age)
  }
}
