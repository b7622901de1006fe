// Records that were given up, on their way to the dead-letter stream: numbered, in order.
import Wire

struct Burials {
  /// In the order of serials; those before `head` are buried.
  private var letters: [Condemned]
  private var head = 0
  private(set) var next: UInt64
  /// What is below was journaled.
  private var durableEnd: UInt64
  /// What is below was handed out.
  private var handedEnd: UInt64 = 0

  init(_ letters: [Condemned] = [], next: UInt64 = 0) {
    self.letters = letters
    self.next = next
    durableEnd = next
  }

  var count: Int { letters.count - head }
  var waiting: ArraySlice<Condemned> { letters[head...] }

  mutating func condemn(
    _ track: TrackID, shardIndex: Int, offset: Offset, deliveries: Int, reason: String,
    at: Timestamp
  ) -> Condemned {
    let letter = Condemned(
      serial: next, track: track, shardIndex: shardIndex, offset: offset, deliveries: deliveries,
      reason: reason, at: at)
    letters.append(letter)
    next += 1
    return letter
  }

  mutating func durable(_ serial: UInt64) { durableEnd = max(durableEnd, serial + 1) }

  mutating func handOut(max countMax: Int) -> [Condemned] {
    let start = index(of: handedEnd)
    let end = min(index(of: durableEnd), start + countMax)
    guard start < end else { return [] }
    handedEnd = letters[end - 1].serial + 1
    return Array(letters[start..<end])
  }

  mutating func failed() { handedEnd = 0 }

  /// The letter, which stands in its stream.
  mutating func bury(_ serial: UInt64) -> Condemned {
    let index = index(of: serial)
    precondition(
      index < letters.count && letters[index].serial == serial && serial < durableEnd,
      "\(serial) is not to be buried")
    let letter = letters[index]
    if index == head {
      head += 1
      if head > 64, head * 2 > letters.count {
        letters.removeFirst(head)
        head = 0
      }
    } else {
      letters.remove(at: index)
    }
    return letter
  }

  /// The track is no longer concerned about them.
  mutating func detach(_ track: TrackID, below offset: Offset) {
    for index in letters.indices[head...]
    where letters[index].track == track && letters[index].offset < offset {
      letters[index].track = nil
    }
  }

  /// Of the first letter with this serial or a higher one.
  private func index(of serial: UInt64) -> Int {
    var low = head
    var high = letters.count
    while low < high {
      let middle = (low + high) / 2
      if letters[middle].serial >= serial { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
