// Bugs in what subscriptions journal: their records, changed between the owner and the log.
import Engine
import NIOCore
import Wire

struct SabotagedJournal {
  /// The last snapshot that went through, and where its first track stood.
  private var snapshot: (value: [UInt8], floor: UInt64)?

  private static let changesKind: UInt8 = 1
  private static let snapshotKind: UInt8 = 2
  /// The version, the kind, and none of anything.
  private static let noChanges: [UInt8] = [1, changesKind, 0]

  /// The journal of a subscription holds records of its own making: everything else here was made by a client.
  static func isJournal(_ frame: Frame) -> Bool {
    var isOurs = true
    FrameChunk([frame]).forEachRecord(from: frame.baseOffset) { record in
      isOurs = RecordContent.origin(of: record.value) == nil
      return false
    }
    return isOurs
  }

  mutating func rewritten(_ frame: Frame, _ bug: PlantedBug) -> Frame {
    var builder = FrameBuilder(extras: frame.extras, valuesBytesHint: frame.byteCount)
    FrameChunk([frame]).forEachRecord(from: frame.baseOffset) { record in
      let value = rewritten(Array(record.value), frame, bug)
      var attributes = RecordAttributes()
      attributes.contentType = record.contentType
      value.withUnsafeBytes { builder.append($0, attributes) }
      return true
    }
    return builder.finish().seal(
      shard: frame.shard, baseOffset: frame.baseOffset, epoch: frame.epoch,
      timestamp: frame.timestamp)
  }

  private mutating func rewritten(
    _ value: [UInt8], _ frame: Frame, _ bug: PlantedBug
  ) -> [UInt8] {
    switch (bug, value[1]) {
    case (.acksNotWritten, Self.changesKind) where frame.baseOffset.rawValue % 8 == 5:
      return Self.noChanges
    case (.seekNotJournaled, Self.snapshotKind): return withoutSeek(value)
    case (.floorOneTooFar, Self.snapshotKind): return Self.withTrack(value) { $0.floor += 1 }
    case (.rangesForgotten, Self.snapshotKind): return Self.withTrack(value) { $0.settled = [] }
    default: return value
    }
  }

  /// A seek is a snapshot that stands before the last one: that is written once more in its place.
  private mutating func withoutSeek(_ value: [UInt8]) -> [UInt8] {
    var floor: UInt64?
    _ = Self.withTrack(value) { floor = $0.floor }
    guard let floor else { return value }
    if let snapshot, floor < snapshot.floor { return snapshot.value }
    snapshot = (value, floor)
    return value
  }

  /// A snapshot's track, as far as bugs are interested.
  private struct Track {
    var head: [UInt8]
    var floor: UInt64
    /// The first settled offset after what is before, and how many, in turn.
    var settled: [UInt64]
  }

  /// A snapshot in one part with its first track changed.
  private static func withTrack(_ value: [UInt8], _ change: (inout Track) -> Void) -> [UInt8] {
    value.withUnsafeBytes { bytes in
      var position = 2
      func number() -> UInt64 { Varint.read(bytes, at: &position) ?? 0 }
      let (index, count) = (number(), number())
      guard index == 0, count == 1, number() > 0 else { return value }
      let start = position
      _ = number()
      _ = number()
      let flags = bytes[position]
      position += 1
      guard flags == 0 else { return value }
      var track = Track(head: Array(bytes[start..<position]), floor: number(), settled: [])
      let ranges = number()
      for _ in 0..<(2 * ranges) { track.settled.append(number()) }
      let rest = position
      change(&track)
      var changed = ByteBuffer(bytes: bytes[..<start])
      changed.writeBytes(track.head)
      Varint.write(track.floor, into: &changed)
      Varint.write(UInt64(track.settled.count / 2), into: &changed)
      for number in track.settled { Varint.write(number, into: &changed) }
      changed.writeBytes(bytes[rest...])
      return Array(changed.readableBytesView)
    }
  }
}
