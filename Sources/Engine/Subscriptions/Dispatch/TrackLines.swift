// A track's records in their lines and in its queue.
import Wire

extension Track {
  /// Puts a record, about to be appended, at the end of its line; `holds`: it is in a unit, so nobody after it may go.
  mutating func queue(_ offset: UInt64, in number: UInt32, holds: Bool) {
    var line = lines[number]
    if line.held > 0 || line.waiting > 0 {
      let tail = floor.offset(low: line.tail)
      if tail < fetched { slots[index(tail)].next = offset.low }
    }
    line.tail = offset.low
    if holds {
      precondition(line.waiting == 0, "a unit's record behind one that waits")
      line.held += 1
      line.holder = 0
    } else {
      if line.waiting == 0 { line.next = offset.low }
      line.waiting += 1
    }
    lines[number] = line
  }

  /// Takes the first that waits out of its line.
  mutating func leaveLine(_ offset: UInt64, _ slot: Slot) {
    precondition(lines[slot.line].next == offset.low, "\(offset) is not the first that waits")
    lines[slot.line].waiting -= 1
    lines[slot.line].next = slot.next
  }

  /// Makes whoever is held after `offset` in its line wait again, and `offset` before them if it `isFirst`; those after
  /// it, in order, whose slots say still that they are held.
  mutating func rewind(_ number: UInt32, to offset: UInt64, isFirst: Bool) -> [UInt64] {
    var line = lines[number]
    var taken: [UInt64] = []
    var last = offset
    var place = offset
    var isJoined = false
    while place.low != line.tail {
      let following = place.offset(low: slots[index(place)].next)
      if line.waiting > 0, following.low == line.next {
        slots[index(last)].next = following.low
        isJoined = true
        break
      }
      place = following
      let state = slots[index(place)].state
      // Whoever is settled or given up leaves the line; that it holds it is counted all the same.
      guard state == .inFlight || state == .parked else { continue }
      taken.append(place)
      slots[index(last)].next = place.low
      last = place
    }
    if !isJoined { line.tail = last.low }
    if isFirst {
      line.next = offset.low
    } else if let first = taken.first {
      line.next = first.low
    }
    line.waiting += UInt32(taken.count) + (isFirst ? 1 : 0)
    line.held -= UInt32(taken.count)
    lines[number] = line
    return taken
  }

  /// Puts a record that is due into the queue.
  mutating func enqueue(_ offset: UInt64) {
    slots[index(offset)].isQueued = true
    queue.append(UInt64(offset.low))
    queuedCount += 1
  }

  /// Puts a line into the queue whose first is due; how many wait in it.
  mutating func enqueue(line number: UInt32) -> Int {
    lines[number].isQueued = true
    lines[number].queued = lines[number].waiting
    queue.append(Self.lineTag | UInt64(number))
    queuedCount += Int(lines[number].waiting)
    return Int(lines[number].waiting)
  }

  mutating func unqueue(_ offset: UInt64) -> Int {
    slots[index(offset)].isQueued = false
    queuedCount -= 1
    return 1
  }

  mutating func unqueue(line number: UInt32) -> Int {
    let count = Int(lines[number].queued)
    lines[number].isQueued = false
    lines[number].queued = 0
    queuedCount -= count
    return count
  }

  /// Of offsets not fetched yet: those that this track is for and that are neither settled nor condemned.
  func unsettled(from start: UInt64, to end: UInt64) -> OffsetRanges {
    let bounds = Offset(start)..<Offset(end)
    var rest = only?.clamped(to: bounds) ?? OffsetRanges(bounds)
    rest.subtract(restored.settled(from: start))
    rest.subtract(
      OffsetRanges(offsets: restored.condemned(from: start).prefix { $0 < end }))
    return rest
  }
}
