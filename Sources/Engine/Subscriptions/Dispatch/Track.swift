// One way through a shard: its records from the floor to the newest fetched, each in a slot of a ring.
import Wire

struct Track {
  /// A queue's entry that is a line, not a record.
  static let lineTag: UInt64 = 1 << 32

  let id: TrackID
  let shardIndex: Int
  /// Exclusive; `UInt64.max`: none.
  let end: UInt64
  let only: OffsetRanges?
  /// Everything below is settled for good.
  private(set) var floor: UInt64
  private(set) var fetched: UInt64
  /// From here on nobody was asked whether they want the record.
  var cursor: UInt64
  /// The slot of offset n is at n & mask.
  var slots: [Slot] = []
  private var mask: UInt64 = 0
  /// Those in the ring.
  private(set) var doneCount = 0
  var lines = KeyLines()
  /// Records and lines that are due and were passed by the cursor.
  var queue = Fifo<UInt64>()
  /// The records that stand in it, by themselves or in lines.
  var queuedCount = 0
  /// Acknowledged since changes were last taken.
  var acked: [UInt64] = []
  var inFlight = 0
  /// What a journal said of records not fetched yet.
  var restored: RestoredRecords
  var isQueueListed = false
  var isFreshListed = false
  var isHere = true

  init(_ state: TrackState) {
    id = state.track
    shardIndex = state.shardIndex
    end = state.end?.rawValue ?? .max
    only = state.only
    floor = state.floor.rawValue
    fetched = floor
    cursor = floor
    restored = RestoredRecords(state)
    liftFloor()
  }

  var isFinished: Bool { floor >= end }
  var freshCount: Int { Int(fetched - cursor) }

  @inline(__always)
  func index(_ offset: UInt64) -> Int { Int(offset & mask) }

  func holds(_ offset: UInt64) -> Bool { offset >= floor && offset < fetched }

  /// The next offset at or after `fetched` that is not settled and that this track is for.
  var place: UInt64 {
    var place = fetched
    while place < end {
      var next = restored.skippingSettled(place)
      if let only {
        let index = only.firstIndex(endingAbove: Offset(next))
        next = index == only.ranges.count ? end : max(next, only.ranges[index].lowerBound.rawValue)
      }
      if next == place { return place }
      place = next
    }
    return end
  }

  func isFor(_ offset: UInt64) -> Bool { only?.contains(Offset(offset)) ?? true }

  /// Makes room up to `end` and fills what lies before `start` with what is settled.
  mutating func extend(from start: UInt64, to end: UInt64) {
    if floor == fetched {
      floor = start
      fetched = start
      cursor = start
    }
    reserve(Int(end - floor))
    while fetched < start { append(Slot(state: .done)) }
  }

  mutating func append(_ slot: Slot) {
    slots[index(fetched)] = slot
    if slot.state == .done { doneCount += 1 }
    fetched += 1
  }

  mutating func finish(_ offset: UInt64) {
    slots[index(offset)].state = .done
    doneCount += 1
  }

  /// Moves the floor to the first record that is not settled; what is below it has no slot any more.
  mutating func liftFloor() {
    while floor < fetched, slots[index(floor)].state == .done {
      floor += 1
      doneCount -= 1
    }
    if floor == fetched {
      floor = place
      fetched = floor
      restored.pass(floor)
    }
    if cursor < floor { cursor = floor }
    if slots.count > 64, (fetched - floor) * 8 < UInt64(slots.count) { resize(slots.count / 4) }
  }

  /// Everything below `offset` is over.
  mutating func drop(below offset: UInt64) {
    while floor < min(offset, fetched) {
      if slots[index(floor)].state == .done { doneCount -= 1 }
      floor += 1
    }
    if fetched < offset {
      floor = offset
      fetched = offset
      restored.pass(offset)
    }
    liftFloor()
  }

  private mutating func reserve(_ count: Int) {
    guard count > slots.count else { return }
    var capacity = max(16, slots.count)
    while capacity < count { capacity *= 2 }
    resize(capacity)
  }

  private mutating func resize(_ capacity: Int) {
    var moved = [Slot](repeating: Slot(), count: capacity)
    let newMask = UInt64(capacity - 1)
    for offset in floor..<fetched { moved[Int(offset & newMask)] = slots[index(offset)] }
    slots = moved
    mask = newMask
  }
}
