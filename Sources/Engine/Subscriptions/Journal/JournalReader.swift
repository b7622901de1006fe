// Reads a journal's bytes back: strictly, and without ever trapping, whatever they are.
import Wire

/// Reads what `JournalFormat` writes. Anything else throws: a byte too few or too many, a number in another form, a set
/// whose ranges touch, a text that is not UTF-8.
struct JournalReader {
  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  // MARK: Records

  static func entry(_ bytes: UnsafeRawBufferPointer) throws(JournalFault) -> JournalEntry {
    var reader = JournalReader(bytes)
    guard try reader.byte() == JournalFormat.version else {
      throw reader.fault("not of version \(JournalFormat.version)")
    }
    switch try reader.byte() {
    case JournalFormat.changesKind:
      return .changes(try reader.changes())
    case JournalFormat.snapshotKind:
      let index = try reader.number()
      let count = try reader.number()
      guard index < count else { throw reader.fault("a part that is not one of its snapshot") }
      return .snapshotPart(index: index, count: count, bytes: Array(bytes[reader.position...]))
    default: throw reader.fault("an unknown kind of record")
    }
  }

  /// What the parts of a snapshot say together.
  static func state(_ bytes: [UInt8]) throws(JournalFault) -> DispatchState {
    let result: Result<DispatchState, JournalFault> = bytes.withUnsafeBytes { raw in
      do throws(JournalFault) { return .success(try state(raw)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  private static func state(
    _ bytes: UnsafeRawBufferPointer
  ) throws(JournalFault) -> DispatchState {
    var reader = JournalReader(bytes)
    let state = try reader.state()
    try reader.end()
    return state
  }

  // MARK: Changes

  private mutating func changes() throws(JournalFault) -> DispatchChanges {
    var changes = DispatchChanges()
    let settled = try count()
    for _ in 0..<settled {
      let track = try track()
      if let last = changes.settled.last, last.track >= track {
        throw fault("settled tracks out of order")
      }
      changes.settled.append(DispatchChanges.Settled(track: track, offsets: try ranges()))
    }
    while position < bytes.count { changes.events.append(try event()) }
    return changes
  }

  private mutating func event() throws(JournalFault) -> DispatchEvent {
    let raw = try byte()
    guard let tag = JournalFormat.EventTag(rawValue: raw) else {
      throw fault("an unknown change")
    }
    switch tag {
    case .attempted: return .attempted(try track(), try attempt())
    case .condemned: return .condemned(try condemned())
    case .buried: return .buried(serial: try varint(), at: try place())
    case .dropped:
      return .dropped(
        try track(), shardIndex: try shardIndex(), offset: try offset(), deliveries: try number(),
        reason: try text(), at: try time())
    case .missing: return .missing(try track(), try ranges(), below: try offset())
    case .unitFormed: return .unitFormed(try unit())
    case .unitTried:
      return .unitTried(
        try varint(), deliveries: try number(), failures: try number(), notBefore: try time())
    case .unitEnded: return .unitEnded(try varint())
    case .trackAdded: return .trackAdded(try trackState())
    case .trackRemoved: return .trackRemoved(try track())
    }
  }

  // MARK: State

  private mutating func state() throws(JournalFault) -> DispatchState {
    var state = DispatchState(places: [])
    let tracks = try count()
    for _ in 0..<tracks {
      let track = try trackState()
      if let last = state.tracks.last, last.track >= track.track {
        throw fault("tracks out of order")
      }
      state.tracks.append(track)
    }
    let condemnedCount = try count()
    for _ in 0..<condemnedCount { state.condemned.append(try condemned()) }
    let units = try count()
    for _ in 0..<units { state.units.append(try unit()) }
    state.nextBurial = try varint()
    state.nextUnit = try varint()
    state.nextTrack = try track().rawValue
    state.history = try history()
    return state
  }

  private mutating func trackState() throws(JournalFault) -> TrackState {
    let id = try track()
    let shardIndex = try shardIndex()
    let parts = try byte()
    guard parts <= 3 else { throw fault("unknown parts of a track") }
    let end = parts & 1 == 0 ? nil : try offset()
    let only = parts & 2 == 0 ? nil : try ranges()
    var state = TrackState(
      track: id, shardIndex: shardIndex, end: end, only: only, floor: try offset())
    state.settled = try ranges()
    let attempts = try count()
    for _ in 0..<attempts {
      let attempt = try attempt()
      if let last = state.attempts.last, last.offset >= attempt.offset {
        throw fault("attempts out of order")
      }
      state.attempts.append(attempt)
    }
    return state
  }

  private mutating func attempt() throws(JournalFault) -> TrackState.Attempt {
    TrackState.Attempt(
      offset: try offset(), deliveries: try number(), failures: try number(),
      notBefore: try time(), isAlone: try flag())
  }

  private mutating func condemned() throws(JournalFault) -> Condemned {
    Condemned(
      serial: try varint(), track: try flag() ? try track() : nil, shardIndex: try shardIndex(),
      offset: try offset(), deliveries: try number(), reason: try text(), at: try time())
  }

  private mutating func place() throws(JournalFault) -> BurialPlace? {
    try flag() ? BurialPlace(shard: try number(), offset: try offset()) : nil
  }

  private mutating func unit() throws(JournalFault) -> UnitState {
    let id = try varint()
    var members: [UnitState.Members] = []
    let tracks = try count()
    for _ in 0..<tracks {
      members.append(UnitState.Members(track: try track(), offsets: try ranges()))
    }
    return UnitState(
      id: id, members: members, deliveries: try number(), failures: try number(),
      notBefore: try time())
  }

  private mutating func history() throws(JournalFault) -> DispatchHistory {
    var history = DispatchHistory()
    let letters = try count()
    for _ in 0..<letters {
      history.deadLetters.append(
        DispatchHistory.DeadLetter(
          serial: try flag() ? try varint() : nil, shardIndex: try shardIndex(),
          offset: try offset(),
          deliveries: try number(), reason: try text(), at: try time(), place: try place()))
    }
    history.buriedCount = try number()
    history.droppedCount = try number()
    let gaps = try count()
    for _ in 0..<gaps {
      let shardIndex = try shardIndex()
      let start = try offset()
      let end = try self.end(of: start, length: try number())
      history.gaps.append(DispatchHistory.Gap(shardIndex: shardIndex, offsets: start..<end))
    }
    history.gapRecords = try number()
    let shards = try count()
    for _ in 0..<shards { history.failed.append(try ranges()) }
    return history
  }

  // MARK: Words

  private func fault(_ what: String) -> JournalFault {
    JournalFault(position: position, what: what)
  }

  private func end() throws(JournalFault) {
    guard position == bytes.count else { throw fault("more than there should be") }
  }

  private mutating func byte() throws(JournalFault) -> UInt8 {
    guard position < bytes.count else { throw fault("cut off") }
    defer { position += 1 }
    return bytes[position]
  }

  private mutating func flag() throws(JournalFault) -> Bool {
    let value = try byte()
    guard value <= 1 else { throw fault("neither yes nor no") }
    return value == 1
  }

  private mutating func varint() throws(JournalFault) -> UInt64 {
    guard let value = Varint.read(bytes, at: &position) else { throw fault("not a number") }
    return value
  }

  /// A number that has room for arithmetic.
  private mutating func number() throws(JournalFault) -> Int {
    let value = try varint()
    guard value < 1 << 62 else { throw fault("a number too large") }
    return Int(value)
  }

  /// How many follow. Each takes a byte at least, so that a claim cannot reserve more than there is.
  private mutating func count() throws(JournalFault) -> Int {
    let value = try number()
    guard value <= bytes.count - position else { throw fault("more announced than there is") }
    return value
  }

  private mutating func track() throws(JournalFault) -> TrackID {
    guard let value = UInt32(exactly: try varint()) else { throw fault("not a track") }
    return TrackID(value)
  }

  private mutating func shardIndex() throws(JournalFault) -> Int {
    guard let value = UInt16(exactly: try varint()) else { throw fault("not a shard of a stream") }
    return Int(value)
  }

  private mutating func offset() throws(JournalFault) -> Offset {
    Offset(UInt64(try number()))
  }

  private func end(of start: Offset, length: Int) throws(JournalFault) -> Offset {
    // Both are below 2^62: the sum is a number, but perhaps too large for an offset that goes on.
    let end = start + length
    guard end.rawValue < 1 << 62 else { throw fault("an offset too large") }
    return end
  }

  private mutating func time() throws(JournalFault) -> Timestamp {
    let raw = try varint()
    return Timestamp(milliseconds: Int64(bitPattern: raw >> 1 ^ (0 &- raw & 1)))
  }

  private mutating func text() throws(JournalFault) -> String {
    let length = try count()
    let slice = UnsafeRawBufferPointer(rebasing: bytes[position..<(position + length)])
    guard let text = String(validating: slice, as: UTF8.self) else { throw fault("not UTF-8") }
    position += length
    return text
  }

  private mutating func ranges() throws(JournalFault) -> OffsetRanges {
    let count = try count()
    var found: [Range<Offset>] = []
    found.reserveCapacity(count)
    var last = Offset.zero
    for index in 0..<count {
      let distance = try number()
      let length = try number()
      guard length > 0, distance > 0 || index == 0 else { throw fault("ranges that touch") }
      let start = try end(of: last, length: distance)
      last = try end(of: start, length: length)
      found.append(start..<last)
    }
    return OffsetRanges(merging: found)
  }
}
