// A subscription's journal as bytes: one record for each set of changes, and snapshots in parts.
//
// docs/formats.md describes every byte. Numbers are varints, times zigzag varints of milliseconds.
import NIOCore
import Wire

/// What one record of a journal says.
enum JournalEntry: Sendable, Equatable {
  case changes(DispatchChanges)
  /// Part `index` of `count` of a snapshot. Only all of them together, in order and in a row, say anything.
  case snapshotPart(index: Int, count: Int, bytes: [UInt8])
}

/// Why bytes are not what a journal's writer wrote.
struct JournalFault: Error, Equatable, CustomStringConvertible {
  /// Where in the record, or in the snapshot that its parts make.
  var position: Int
  var what: String
  var description: String { "\(what) at byte \(position)" }
}

enum JournalFormat {
  static let version: UInt8 = 1
  static let changesKind: UInt8 = 1
  static let snapshotKind: UInt8 = 2
  /// A part of a snapshot is this long at most: small enough for any frame.
  static let partBytesMax = 256 << 10

  enum EventTag: UInt8 {
    case attempted = 1
    case condemned, buried, dropped, missing, unitFormed, unitTried, unitEnded, trackAdded
    case trackRemoved
  }

  // MARK: Records

  /// The records of a set of changes: one, unless that were longer than `bytesMax`. Of several the last says what is
  /// settled: what a crash may keep of them is a beginning, and so never more than was decided.
  static func records(of changes: DispatchChanges, bytesMax: Int) -> [ByteBuffer] {
    var buffer = ByteBuffer()
    write(changes, into: &buffer)
    guard buffer.readableBytes > bytesMax, let (first, second) = changes.halves else {
      return [buffer]
    }
    return records(of: first, bytesMax: bytesMax) + records(of: second, bytesMax: bytesMax)
  }

  private static func write(_ changes: DispatchChanges, into buffer: inout ByteBuffer) {
    buffer.writeInteger(version)
    buffer.writeInteger(changesKind)
    write(changes.settled.count, into: &buffer)
    for settled in changes.settled {
      write(settled.track, into: &buffer)
      write(settled.offsets, into: &buffer)
    }
    for event in changes.events { write(event, into: &buffer) }
  }

  /// The records of a snapshot of `state`, in order.
  static func snapshot(of state: DispatchState, partBytesMax: Int) -> [ByteBuffer] {
    var whole = ByteBuffer()
    write(state, into: &whole)
    let count = max(1, (whole.readableBytes + partBytesMax - 1) / partBytesMax)
    return (0..<count).map { index in
      var part = ByteBuffer()
      part.writeInteger(version)
      part.writeInteger(snapshotKind)
      write(index, into: &part)
      write(count, into: &part)
      part.writeImmutableBuffer(whole.readSlice(length: min(partBytesMax, whole.readableBytes))!)
      return part
    }
  }

  // MARK: Changes

  private static func write(_ event: DispatchEvent, into buffer: inout ByteBuffer) {
    func tag(_ tag: EventTag) { buffer.writeInteger(tag.rawValue) }
    switch event {
    case .attempted(let track, let attempt):
      tag(.attempted)
      write(track, into: &buffer)
      write(attempt, into: &buffer)
    case .condemned(let condemned):
      tag(.condemned)
      write(condemned, into: &buffer)
    case .buried(let serial, let place):
      tag(.buried)
      Varint.write(serial, into: &buffer)
      write(place, into: &buffer)
    case .dropped(let track, let shardIndex, let offset, let deliveries, let reason, let at):
      tag(.dropped)
      write(track, into: &buffer)
      write(shardIndex, into: &buffer)
      write(offset, into: &buffer)
      write(deliveries, into: &buffer)
      write(reason, into: &buffer)
      write(at, into: &buffer)
    case .missing(let track, let offsets, let below):
      tag(.missing)
      write(track, into: &buffer)
      write(offsets, into: &buffer)
      write(below, into: &buffer)
    case .unitFormed(let unit):
      tag(.unitFormed)
      write(unit, into: &buffer)
    case .unitTried(let unit, let deliveries, let failures, let notBefore):
      tag(.unitTried)
      Varint.write(unit, into: &buffer)
      write(deliveries, into: &buffer)
      write(failures, into: &buffer)
      write(notBefore, into: &buffer)
    case .unitEnded(let unit):
      tag(.unitEnded)
      Varint.write(unit, into: &buffer)
    case .trackAdded(let state):
      tag(.trackAdded)
      write(state, into: &buffer)
    case .trackRemoved(let track):
      tag(.trackRemoved)
      write(track, into: &buffer)
    }
  }

  // MARK: State

  static func write(_ state: DispatchState, into buffer: inout ByteBuffer) {
    write(state.tracks.count, into: &buffer)
    for track in state.tracks { write(track, into: &buffer) }
    write(state.condemned.count, into: &buffer)
    for condemned in state.condemned { write(condemned, into: &buffer) }
    write(state.units.count, into: &buffer)
    for unit in state.units { write(unit, into: &buffer) }
    Varint.write(state.nextBurial, into: &buffer)
    Varint.write(state.nextUnit, into: &buffer)
    Varint.write(UInt64(state.nextTrack), into: &buffer)
    write(state.history, into: &buffer)
  }

  private static func write(_ track: TrackState, into buffer: inout ByteBuffer) {
    write(track.track, into: &buffer)
    write(track.shardIndex, into: &buffer)
    buffer.writeInteger(UInt8((track.end == nil ? 0 : 1) | (track.only == nil ? 0 : 2)))
    if let end = track.end { write(end, into: &buffer) }
    if let only = track.only { write(only, into: &buffer) }
    write(track.floor, into: &buffer)
    write(track.settled, into: &buffer)
    write(track.attempts.count, into: &buffer)
    for attempt in track.attempts { write(attempt, into: &buffer) }
  }

  private static func write(_ attempt: TrackState.Attempt, into buffer: inout ByteBuffer) {
    write(attempt.offset, into: &buffer)
    write(attempt.deliveries, into: &buffer)
    write(attempt.failures, into: &buffer)
    write(attempt.notBefore, into: &buffer)
    buffer.writeInteger(UInt8(attempt.isAlone ? 1 : 0))
  }

  private static func write(_ condemned: Condemned, into buffer: inout ByteBuffer) {
    Varint.write(condemned.serial, into: &buffer)
    buffer.writeInteger(UInt8(condemned.track == nil ? 0 : 1))
    if let track = condemned.track { write(track, into: &buffer) }
    write(condemned.shardIndex, into: &buffer)
    write(condemned.offset, into: &buffer)
    write(condemned.deliveries, into: &buffer)
    write(condemned.reason, into: &buffer)
    write(condemned.at, into: &buffer)
  }

  private static func write(_ place: BurialPlace?, into buffer: inout ByteBuffer) {
    buffer.writeInteger(UInt8(place == nil ? 0 : 1))
    guard let place else { return }
    write(place.shard, into: &buffer)
    write(place.offset, into: &buffer)
  }

  private static func write(_ unit: UnitState, into buffer: inout ByteBuffer) {
    Varint.write(unit.id, into: &buffer)
    write(unit.members.count, into: &buffer)
    for members in unit.members {
      write(members.track, into: &buffer)
      write(members.offsets, into: &buffer)
    }
    write(unit.deliveries, into: &buffer)
    write(unit.failures, into: &buffer)
    write(unit.notBefore, into: &buffer)
  }

  private static func write(_ history: DispatchHistory, into buffer: inout ByteBuffer) {
    write(history.deadLetters.count, into: &buffer)
    for letter in history.deadLetters {
      buffer.writeInteger(UInt8(letter.serial == nil ? 0 : 1))
      if let serial = letter.serial { Varint.write(serial, into: &buffer) }
      write(letter.shardIndex, into: &buffer)
      write(letter.offset, into: &buffer)
      write(letter.deliveries, into: &buffer)
      write(letter.reason, into: &buffer)
      write(letter.at, into: &buffer)
      write(letter.place, into: &buffer)
    }
    write(history.buriedCount, into: &buffer)
    write(history.droppedCount, into: &buffer)
    write(history.gaps.count, into: &buffer)
    for gap in history.gaps {
      write(gap.shardIndex, into: &buffer)
      write(gap.offsets.lowerBound, into: &buffer)
      write(gap.offsets.upperBound.distance(from: gap.offsets.lowerBound), into: &buffer)
    }
    write(history.gapRecords, into: &buffer)
    write(history.failed.count, into: &buffer)
    for offsets in history.failed { write(offsets, into: &buffer) }
  }

  // MARK: Words

  private static func write(_ count: Int, into buffer: inout ByteBuffer) {
    Varint.write(UInt64(count), into: &buffer)
  }

  private static func write(_ track: TrackID, into buffer: inout ByteBuffer) {
    Varint.write(UInt64(track.rawValue), into: &buffer)
  }

  private static func write(_ offset: Offset, into buffer: inout ByteBuffer) {
    Varint.write(offset.rawValue, into: &buffer)
  }

  private static func write(_ time: Timestamp, into buffer: inout ByteBuffer) {
    let value = time.milliseconds
    Varint.write(UInt64(bitPattern: value << 1 ^ value >> 63), into: &buffer)
  }

  private static func write(_ text: String, into buffer: inout ByteBuffer) {
    write(text.utf8.count, into: &buffer)
    buffer.writeString(text)
  }

  /// Each range by its distance from the end of the one before (the first: from 0) and its length.
  private static func write(_ offsets: OffsetRanges, into buffer: inout ByteBuffer) {
    write(offsets.ranges.count, into: &buffer)
    var end = Offset.zero
    for range in offsets.ranges {
      write(range.lowerBound.distance(from: end), into: &buffer)
      write(range.upperBound.distance(from: range.lowerBound), into: &buffer)
      end = range.upperBound
    }
  }
}

extension DispatchChanges {
  /// Two sets that say the same one after the other; nil of one that is too small for that.
  fileprivate var halves: (DispatchChanges, DispatchChanges)? {
    var (first, second) = (DispatchChanges(), DispatchChanges())
    if events.count > 1 || !events.isEmpty && !settled.isEmpty {
      let middle = settled.isEmpty ? events.count / 2 : (events.count + 1) / 2
      first.events = Array(events[..<middle])
      second.events = Array(events[middle...])
      second.settled = settled
      return (first, second)
    }
    if settled.count > 1 {
      first.settled = Array(settled[..<(settled.count / 2)])
      second.settled = Array(settled[(settled.count / 2)...])
      return (first, second)
    }
    guard let only = settled.first, only.offsets.ranges.count > 1 else { return nil }
    let middle = only.offsets.ranges.count / 2
    func part(_ ranges: ArraySlice<Range<Offset>>) -> [Settled] {
      [Settled(track: only.track, offsets: OffsetRanges(merging: Array(ranges)))]
    }
    first.settled = part(only.offsets.ranges[..<middle])
    second.settled = part(only.offsets.ranges[middle...])
    return (first, second)
  }
}
