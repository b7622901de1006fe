// What a subscription remembers of records that nobody got done: dead letters, dropped ones, gaps.
import Wire

struct DispatchHistory: Sendable, Equatable {
  /// A record that was given up.
  struct DeadLetter: Sendable, Equatable {
    /// nil: dropped, for want of a dead-letter stream.
    var serial: UInt64?
    var shardIndex: Int
    var offset: Offset
    var deliveries: Int
    var reason: String
    var at: Timestamp
    /// nil: dropped, or its record was trimmed before it could be buried.
    var place: BurialPlace?

    init(
      serial: UInt64?, shardIndex: Int, offset: Offset, deliveries: Int, reason: String,
      at: Timestamp, place: BurialPlace?
    ) {
      self.serial = serial
      self.shardIndex = shardIndex
      self.offset = offset
      self.deliveries = deliveries
      self.reason = reason
      self.at = at
      self.place = place
    }

    init(_ letter: Condemned, at place: BurialPlace?) {
      self.init(
        serial: letter.serial, shardIndex: letter.shardIndex, offset: letter.offset,
        deliveries: letter.deliveries, reason: letter.reason, at: letter.at, place: place)
    }
  }
  struct Gap: Sendable, Equatable {
    var shardIndex: Int
    var offsets: Range<Offset>
  }

  static let deadLettersMax = 1000
  static let gapsMax = 100
  static let failedRangesMax = 100_000

  /// The newest, oldest first: buried and dropped ones.
  var deadLetters: [DeadLetter] = []
  /// How many were ever buried.
  var buriedCount = 0
  /// How many were ever dropped.
  var droppedCount = 0
  /// The newest, oldest first.
  var gaps: [Gap] = []
  /// How many records were ever trimmed before they were settled.
  var gapRecords = 0
  /// By shard: what was given up and not replayed since.
  var failed: [OffsetRanges] = []

  mutating func gaveUp(_ letter: DeadLetter) {
    if letter.serial == nil { droppedCount += 1 } else { buriedCount += 1 }
    deadLetters.append(letter)
    if deadLetters.count > Self.deadLettersMax { deadLetters.removeFirst() }
    while failed.count <= letter.shardIndex { failed.append(OffsetRanges()) }
    failed[letter.shardIndex].insert(letter.offset)
    failed[letter.shardIndex].dropLowest(keeping: Self.failedRangesMax)
  }

  mutating func missed(_ offsets: OffsetRanges, inShard shardIndex: Int) {
    gapRecords += offsets.count
    for range in offsets.ranges.suffix(Self.gapsMax) {
      gaps.append(Gap(shardIndex: shardIndex, offsets: range))
    }
    if gaps.count > Self.gapsMax { gaps.removeFirst(gaps.count - Self.gapsMax) }
  }

  /// What a replay takes up again is no longer failed.
  mutating func replaying(_ replay: TrackState) {
    guard failed.indices.contains(replay.shardIndex), let end = replay.end else { return }
    failed[replay.shardIndex].subtract(replay.only ?? OffsetRanges(replay.floor..<end))
  }

  /// What failed in a shard within `offsets`.
  func failed(inShard shardIndex: Int, within offsets: Range<Offset>) -> OffsetRanges {
    guard failed.indices.contains(shardIndex) else { return OffsetRanges() }
    return failed[shardIndex].clamped(to: offsets)
  }
}
