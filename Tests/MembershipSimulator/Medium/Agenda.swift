// What will happen, in the order of time: a heap, and among equals the one that was put down first.

/// Virtual time in nanoseconds; it leaps from one entry to the next.
struct Agenda<Entry> {
  private struct Place {
    var due: Int64
    var number: UInt64
    var slot: Int
  }

  /// The heap holds places of 24 bytes, so that sifting moves no entry.
  private var places: [Place] = []
  private var entries: [Entry?] = []
  private var freeSlots: [Int] = []
  private var lastNumber: UInt64 = 0

  var count: Int { places.count }
  var nextDue: Int64? { places.first?.due }

  mutating func add(_ entry: Entry, at due: Int64) {
    lastNumber += 1
    let slot: Int
    if let free = freeSlots.popLast() {
      slot = free
      entries[slot] = entry
    } else {
      slot = entries.count
      entries.append(entry)
    }
    places.append(Place(due: due, number: lastNumber, slot: slot))
    siftUp(places.count - 1)
  }

  /// Takes the earliest.
  mutating func next() -> (entry: Entry, due: Int64)? {
    guard let first = places.first else { return nil }
    let last = places.removeLast()
    if !places.isEmpty {
      places[0] = last
      siftDown()
    }
    guard let entry = entries[first.slot] else {
      preconditionFailure("slot \(first.slot) of the agenda is taken twice")
    }
    entries[first.slot] = nil
    freeSlots.append(first.slot)
    return (entry, first.due)
  }

  private static func isEarlier(_ left: Place, _ right: Place) -> Bool {
    left.due != right.due ? left.due < right.due : left.number < right.number
  }

  private mutating func siftUp(_ start: Int) {
    var index = start
    let place = places[index]
    while index > 0 {
      let parent = (index - 1) / 2
      guard Self.isEarlier(place, places[parent]) else { break }
      places[index] = places[parent]
      index = parent
    }
    places[index] = place
  }

  private mutating func siftDown() {
    var index = 0
    let place = places[0]
    while true {
      var child = 2 * index + 1
      guard child < places.count else { break }
      if child + 1 < places.count && Self.isEarlier(places[child + 1], places[child]) { child += 1 }
      guard Self.isEarlier(places[child], place) else { break }
      places[index] = places[child]
      index = child
    }
    places[index] = place
  }
}
