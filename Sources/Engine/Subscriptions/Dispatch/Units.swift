// Batches that stay together from one attempt to the next.
import Wire

struct Unit {
  var id: UInt64
  var runs = Runs()
  /// Members that are not settled or trimmed.
  var live = 0
  /// Of these: not fetched since a restart.
  var awaited = 0
  var deliveries = 0
  var failures = 0
  /// On the monotonic clock, in nanoseconds; 0: at once.
  var due: Int64 = 0
  /// Its membership is.
  var isDurable = false
  /// Somebody has it: under this lease.
  var isOut = false
  var lease: UInt32 = 0
  /// In the queue of those that are due.
  var isQueued = false
  /// Over; kept only for its place in the queue.
  var isOver = false
}

struct Units {
  private var slab: [Unit] = []
  private var free: [UInt32] = []
  private var ready = Fifo<UInt32>()
  /// In units that are due.
  private(set) var readyRecords = 0
  var nextID: UInt64 = 0
  private var byID: [UInt64: UInt32] = [:]

  subscript(index: UInt32) -> Unit {
    get { slab[Int(index)] }
    _modify { yield &slab[Int(index)] }
  }

  var indices: Range<UInt32> { 0..<UInt32(slab.count) }

  mutating func make(_ unit: Unit) -> UInt32 {
    let index = free.popLast() ?? UInt32(slab.count)
    if index < slab.count { slab[Int(index)] = unit } else { slab.append(unit) }
    byID[unit.id] = index
    return index
  }

  func index(of id: UInt64) -> UInt32? { byID[id] }

  mutating func end(_ index: UInt32) {
    slab[Int(index)].isOver = true
    byID[slab[Int(index)].id] = nil
    if !slab[Int(index)].isQueued { free.append(index) }
  }

  /// The unit is due.
  mutating func enqueue(_ index: UInt32) {
    precondition(!slab[Int(index)].isQueued, "it is in the queue")
    slab[Int(index)].isQueued = true
    readyRecords += slab[Int(index)].live
    ready.append(index)
  }

  /// The first that is due; stays there.
  mutating func firstReady() -> UInt32? {
    while let index = ready.first {
      if !slab[Int(index)].isOver { return index }
      _ = ready.removeFirst()
      free.append(index)
    }
    return nil
  }

  mutating func removeFirstReady() {
    let index = ready.removeFirst()
    slab[Int(index)].isQueued = false
    readyRecords -= slab[Int(index)].live
  }

  /// One member less; true: it was the last.
  mutating func lose(_ index: UInt32) -> Bool {
    slab[Int(index)].live -= 1
    if slab[Int(index)].isQueued { readyRecords -= 1 }
    return slab[Int(index)].live == 0
  }
}
