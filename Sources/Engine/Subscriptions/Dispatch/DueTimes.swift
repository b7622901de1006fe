// What is due when: a heap of back-offs and of deadlines out of the ordinary.

struct DueTimes {
  enum What: UInt8 { case lease, record, line, unit }

  struct Entry {
    /// On the monotonic clock, in nanoseconds.
    var due: Int64
    /// Of those due together the one that was added first goes first.
    var sequence: UInt64
    var what: What
    /// A record's or a line's track.
    var seat: UInt32
    /// A lease's or a unit's index, a line's number, or the low bits of a record's offset.
    var index: UInt32

    func isBefore(_ other: Entry) -> Bool {
      due != other.due ? due < other.due : sequence < other.sequence
    }
  }

  private var heap: [Entry] = []
  /// For the cost of work: how often entries moved.
  private(set) var steps = 0

  var first: Entry? { heap.first }
  var count: Int { heap.count }

  mutating func add(_ entry: Entry) {
    heap.append(entry)
    var hole = heap.count - 1
    while hole > 0 {
      let parent = (hole - 1) / 2
      guard entry.isBefore(heap[parent]) else { break }
      heap[hole] = heap[parent]
      hole = parent
      steps &+= 1
    }
    heap[hole] = entry
  }

  mutating func removeFirst() -> Entry {
    let first = heap[0]
    let last = heap.removeLast()
    if !heap.isEmpty {
      sink(last, from: 0)
    } else if heap.capacity > 64 {
      heap = []
    }
    return first
  }

  /// Lets go of what `isStale` says of leases.
  mutating func purge(_ isStale: (Entry) -> Bool) {
    heap.removeAll { $0.what == .lease && isStale($0) }
    for place in stride(from: heap.count / 2 - 1, through: 0, by: -1) {
      sink(heap[place], from: place)
    }
  }

  private mutating func sink(_ entry: Entry, from start: Int) {
    var hole = start
    while true {
      var child = 2 * hole + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
      guard heap[child].isBefore(entry) else { break }
      heap[hole] = heap[child]
      hole = child
      steps &+= 1
    }
    heap[hole] = entry
  }
}
