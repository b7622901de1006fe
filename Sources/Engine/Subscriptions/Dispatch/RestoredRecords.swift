// What a journal said of a track's records that were not fetched since.
import Wire

struct RestoredRecords {
  private(set) var settled: OffsetRanges
  private(set) var attempts: [TrackState.Attempt]
  private(set) var condemned: [UInt64] = []
  /// Members of units, in the order of offsets.
  private(set) var members: [(offsets: Range<Offset>, unit: UInt32)] = []
  /// Condemned ones that were buried meanwhile; true: durably.
  private var buried: [UInt64: Bool] = [:]
  private var settledIndex = 0
  /// Of the settled ones, those that were not passed.
  private var settledAhead: Int
  private var passedTo: UInt64 = 0
  private var attemptIndex = 0
  private var condemnedIndex = 0
  private var memberIndex = 0

  init(_ state: TrackState) {
    settled = state.settled
    settledAhead = state.settled.count
    attempts = state.attempts
  }

  mutating func add(condemned offsets: [UInt64]) { condemned = offsets.sorted() }

  /// A condemned record stands in its stream now.
  mutating func bury(_ offset: UInt64, isDurable: Bool) { buried[offset] = isDurable }

  /// Whether it was buried, and whether that is durable.
  func burial(_ offset: UInt64) -> Bool? { buried[offset] }

  mutating func add(_ offsets: OffsetRanges, of unit: UInt32) {
    members += offsets.ranges.map { ($0, unit) }
    members.sort { $0.offsets.lowerBound < $1.offsets.lowerBound }
  }

  /// The first offset from `offset` on that is not settled.
  func skippingSettled(_ offset: UInt64) -> UInt64 {
    if buried[offset] == true { return offset + 1 }
    var index = settledIndex
    while index < settled.ranges.count, settled.ranges[index].upperBound.rawValue <= offset {
      index += 1
    }
    guard index < settled.ranges.count, settled.ranges[index].lowerBound.rawValue <= offset else {
      return offset
    }
    return settled.ranges[index].upperBound.rawValue
  }

  /// Lets go of what is below `offset`.
  mutating func pass(_ offset: UInt64) {
    while settledIndex < settled.ranges.count,
      settled.ranges[settledIndex].upperBound.rawValue <= offset
    {
      countPassed(upTo: offset)
      settledIndex += 1
    }
    countPassed(upTo: offset)
    passedTo = max(passedTo, offset)
    while attemptIndex < attempts.count, attempts[attemptIndex].offset.rawValue < offset {
      attemptIndex += 1
    }
    while condemnedIndex < condemned.count, condemned[condemnedIndex] < offset {
      condemnedIndex += 1
    }
    while memberIndex < members.count, members[memberIndex].offsets.upperBound.rawValue <= offset {
      memberIndex += 1
    }
    if isOver {
      settled = OffsetRanges()
      attempts = []
      condemned = []
      members = []
      buried = [:]
      settledIndex = 0
      attemptIndex = 0
      condemnedIndex = 0
      memberIndex = 0
    }
  }

  /// Takes those of the next settled range below `offset` out of what is ahead.
  private mutating func countPassed(upTo offset: UInt64) {
    guard settledIndex < settled.ranges.count else { return }
    let range = settled.ranges[settledIndex]
    let start = max(range.lowerBound.rawValue, passedTo)
    let end = min(range.upperBound.rawValue, offset)
    if start < end { settledAhead -= Int(end - start) }
  }

  /// Nothing is settled or condemned from here on.
  var end: UInt64 {
    max(settled.ranges.last?.upperBound.rawValue ?? 0, condemned.last.map { $0 + 1 } ?? 0)
  }

  var isEmpty: Bool {
    settled.isEmpty && attempts.isEmpty && condemned.isEmpty && members.isEmpty
  }

  private var isOver: Bool {
    settledIndex == settled.ranges.count && attemptIndex == attempts.count
      && condemnedIndex == condemned.count && memberIndex == members.count
  }

  /// Of those asked in the order of offsets, each after `pass` of it.
  func isSettled(_ offset: UInt64) -> Bool {
    settledIndex < settled.ranges.count
      && settled.ranges[settledIndex].lowerBound.rawValue <= offset
  }

  func isCondemned(_ offset: UInt64) -> Bool {
    condemnedIndex < condemned.count && condemned[condemnedIndex] == offset
  }

  func attempt(_ offset: UInt64) -> TrackState.Attempt? {
    guard attemptIndex < attempts.count, attempts[attemptIndex].offset.rawValue == offset else {
      return nil
    }
    return attempts[attemptIndex]
  }

  func unit(_ offset: UInt64) -> UInt32? {
    guard memberIndex < members.count,
      members[memberIndex].offsets.lowerBound.rawValue <= offset
    else { return nil }
    return members[memberIndex].unit
  }

  /// What is settled from `offset` on.
  func settled(from offset: UInt64) -> OffsetRanges {
    var rest = OffsetRanges()
    for range in settled.ranges[settledIndex...] {
      rest.insert(range.clamped(to: Offset(offset)..<Offset(.max)))
    }
    for offset in condemned(from: offset) where buried[offset] != nil {
      rest.insert(Offset(offset))
    }
    return rest
  }

  /// How many are settled for good from `offset` on; nothing above it was passed.
  func settledCount(from offset: UInt64) -> Int {
    var count = settledAhead
    for range in settled.ranges[settledIndex...] {
      let start = max(range.lowerBound.rawValue, passedTo)
      guard start < offset else { break }
      count -= Int(min(range.upperBound.rawValue, offset) - start)
    }
    return count + buried.count { $0.value && $0.key >= offset }
  }

  func attempts(from offset: UInt64) -> ArraySlice<TrackState.Attempt> {
    attempts[attemptIndex...].drop { $0.offset.rawValue < offset }
  }

  func condemned(from offset: UInt64) -> ArraySlice<UInt64> {
    condemned[condemnedIndex...].drop { $0 < offset }
  }

  /// Members of units from `offset` up to `end`.
  func members(from offset: UInt64, to end: UInt64) -> [(offsets: Range<Offset>, unit: UInt32)] {
    members[memberIndex...].compactMap { member in
      let part = member.offsets.clamped(to: Offset(offset)..<Offset(max(offset, end)))
      return part.isEmpty ? nil : (part, member.unit)
    }
  }

  /// How many of those in `start..<end` are still to be buried.
  func waitingCondemned(from start: UInt64, to end: UInt64) -> Int {
    condemned(from: start).prefix { $0 < end }.count { buried[$0] != true }
  }
}
