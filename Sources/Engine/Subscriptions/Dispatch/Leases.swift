// What consumers hold: leases, each with one deadline for all its records.

/// A stretch of a track's offsets; who of them is meant, the slots say.
struct Run {
  var seat: UInt32
  var count: UInt32
  var first: UInt64
}

/// Some records, as stretches in the order they were added.
struct Runs {
  private var first = Run(seat: 0, count: 0, first: 0)
  private var more: [Run] = []

  /// Others may lie between; so far apart at most, a stretch goes on.
  private static let strideMax: UInt64 = 8

  var count: Int { first.count == 0 ? 0 : 1 + more.count }
  subscript(index: Int) -> Run { index == 0 ? first : more[index - 1] }

  mutating func add(seat: UInt32, offset: UInt64) {
    let last = count - 1
    if last < 0 {
      first = Run(seat: seat, count: 1, first: offset)
    } else if last == 0 {
      if !Self.extend(&first, seat, offset) {
        more.append(Run(seat: seat, count: 1, first: offset))
      }
    } else if !Self.extend(&more[last - 1], seat, offset) {
      more.append(Run(seat: seat, count: 1, first: offset))
    }
  }

  private static func extend(_ run: inout Run, _ seat: UInt32, _ offset: UInt64) -> Bool {
    let end = run.first + UInt64(run.count)
    guard run.seat == seat, offset >= end, offset - end < strideMax,
      offset - run.first < UInt64(UInt32.max)
    else { return false }
    run.count = UInt32(offset - run.first + 1)
    return true
  }
}

struct Lease {
  /// Of the delivery: a lease that was extended apart keeps it.
  var serial: UInt64
  var consumer: UInt32
  /// How many records it holds still.
  var live: UInt32 = 0
  /// Its unit's index and one; 0: none.
  var unit: UInt32 = 0
  /// On the monotonic clock, in nanoseconds; `.max`: none.
  var deadline: Int64 = .max
  /// Among all that is due; tells its entry from one of a lease that had this place before.
  var sequence: UInt64 = 0
  /// In the line of ordinary deadlines; else, with a deadline, in the heap.
  var isInLine = false
  var runs = Runs()
  /// Indices and one; 0: none.
  var previousOfConsumer: UInt32 = 0
  var nextOfConsumer: UInt32 = 0
  var previousDue: UInt32 = 0
  var nextDue: UInt32 = 0
}

struct Leases {
  private var slab: [Lease] = []
  private var free: [UInt32] = []
  private var bySerial: [UInt64: UInt32] = [:]
  /// The line of ordinary deadlines, the earliest first; indices and one.
  private var firstDue: UInt32 = 0
  private var lastDue: UInt32 = 0
  /// Entries in the heap whose lease is over.
  private(set) var staleInHeap = 0

  subscript(index: UInt32) -> Lease {
    get { slab[Int(index)] }
    _modify { yield &slab[Int(index)] }
  }

  var count: Int { slab.count - free.count }

  func index(of serial: UInt64) -> UInt32? { bySerial[serial] }

  /// The lease with the earliest ordinary deadline.
  var earliest: UInt32? { firstDue == 0 ? nil : firstDue - 1 }

  mutating func make(serial: UInt64, consumer: UInt32) -> UInt32 {
    let lease = Lease(serial: serial, consumer: consumer)
    if let index = free.popLast() {
      slab[Int(index)] = lease
      return index
    }
    slab.append(lease)
    return UInt32(slab.count - 1)
  }

  /// From now on found by its serial.
  mutating func name(_ index: UInt32) { bySerial[self[index].serial] = index }

  /// Gives it a deadline in line if it is not before the last one's.
  mutating func appendToLine(_ index: UInt32, deadline: Int64, sequence: UInt64) -> Bool {
    if lastDue != 0, self[lastDue - 1].deadline > deadline { return false }
    slab[Int(index)].deadline = deadline
    slab[Int(index)].sequence = sequence
    slab[Int(index)].isInLine = true
    slab[Int(index)].previousDue = lastDue
    slab[Int(index)].nextDue = 0
    if lastDue == 0 { firstDue = index + 1 } else { slab[Int(lastDue) - 1].nextDue = index + 1 }
    lastDue = index + 1
    return true
  }

  /// Takes its deadline away.
  mutating func unschedule(_ index: UInt32) {
    let lease = slab[Int(index)]
    guard lease.deadline != .max else { return }
    slab[Int(index)].deadline = .max
    guard lease.isInLine else {
      staleInHeap += 1
      return
    }
    slab[Int(index)].isInLine = false
    if lease.previousDue == 0 {
      firstDue = lease.nextDue
    } else {
      slab[Int(lease.previousDue) - 1].nextDue = lease.nextDue
    }
    if lease.nextDue == 0 {
      lastDue = lease.previousDue
    } else {
      slab[Int(lease.nextDue) - 1].previousDue = lease.previousDue
    }
  }

  /// An entry in the heap with this index and sequence is of a lease that is over or has another deadline now.
  func isStale(_ index: UInt32, sequence: UInt64) -> Bool {
    let lease = slab[Int(index)]
    return lease.deadline == .max || lease.isInLine || lease.sequence != sequence
  }

  mutating func purged(_ count: Int) { staleInHeap -= count }

  /// It holds nothing more and has no deadline.
  mutating func end(_ index: UInt32) {
    let lease = slab[Int(index)]
    precondition(lease.live == 0 && lease.deadline == .max, "live \(lease.live)")
    if bySerial[lease.serial] == index { bySerial[lease.serial] = nil }
    slab[Int(index)].runs = Runs()
    free.append(index)
    if free.count == slab.count, slab.count > 16, staleInHeap == 0 {
      slab = []
      free = []
      bySerial = [:]
    }
  }
}
