// Bugs in what subscriptions journal: their records, changed between the owner and the log.
import Engine
import NIOCore
import Wire

struct SabotagedJournal {
  /// What the journal's records say of its first track: where it stood last, and all that was settled.
  private var floor: UInt64?
  private var settled: Set<UInt64> = []
  private var heardTo = Offset.zero

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

  /// What an owner reads when it takes over, piece by piece.
  mutating func heard(_ chunk: FrameChunk, from: Offset) {
    if from != heardTo { (floor, settled) = (nil, []) }
    heardTo = chunk.end
    chunk.forEachRecord(from: from) { record in
      if RecordContent.origin(of: record.value) == nil { learn(Array(record.value)) }
      return true
    }
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
    case (.seekNotJournaled, _): return withoutSeek(value)
    case (.floorOneTooFar, Self.snapshotKind): return Self.withTrack(value) { $0.floor += 1 }
    case (.rangesForgotten, Self.snapshotKind): return Self.withTrack(value) { $0.settled = [] }
    default: return value
    }
  }

  /// A seek back is a snapshot in which less is settled than before: it is written as if it had not been.
  private mutating func withoutSeek(_ value: [UInt8]) -> [UInt8] {
    let before = self
    learn(value)
    guard value[1] == Self.snapshotKind, let floor, let lowest = before.settled.min(),
      !before.settled.allSatisfy({ $0 < floor || settled.contains($0) })
    else { return value }
    let written = Self.withTrack(value) { track in
      track.floor = before.floor ?? lowest
      while before.settled.contains(track.floor) { track.floor += 1 }
      let floor = track.floor
      track.settled = Self.ranges(before.settled.filter { $0 > floor })
    }
    learn(written)
    return written
  }

  private mutating func learn(_ value: [UInt8]) {
    guard value[1] == Self.changesKind else {
      _ = Self.withTrack(value) { track in
        floor = track.floor
        settled = Set(0..<track.floor).union(Self.offsets(track.settled))
      }
      return
    }
    value.withUnsafeBytes { bytes in
      var position = 2
      func number() -> UInt64 { Varint.read(bytes, at: &position) ?? 0 }
      for _ in 0..<number() {
        let track = number()
        let offsets = Self.offsets((0..<(2 * number())).map { _ in number() })
        if track == 0 { settled.formUnion(offsets) }
      }
    }
  }

  /// Of ranges, each by its distance from the one before and its length.
  private static func offsets(_ ranges: [UInt64]) -> [UInt64] {
    var end: UInt64 = 0
    return stride(from: 0, to: ranges.count, by: 2).flatMap { index in
      let start = end + ranges[index]
      end = start + ranges[index + 1]
      return start..<end
    }
  }

  private static func ranges(_ offsets: Set<UInt64>) -> [UInt64] {
    var ranges: [UInt64] = []
    var end: UInt64 = 0
    for offset in offsets.sorted() {
      if offset == end, !ranges.isEmpty {
        ranges[ranges.count - 1] += 1
      } else {
        ranges += [offset - end, 1]
      }
      end = offset + 1
    }
    return ranges
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
