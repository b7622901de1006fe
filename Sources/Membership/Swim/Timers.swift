// When something is due: one heap for what comes and goes, one slot for each thing that every node does.

/// What a node does now and again, each with one time at most.
enum Alarm: Int, CaseIterable, Sendable {
  case period, gossip, contacts, review, lifelines, watch, show, view, contest, leaving, snapshot
  case expiry
}

/// What is waited for. A timer may outlive what it waits for, and may come too early when that was put off: whoever is
/// woken looks at the thing itself.
enum Wake: Hashable, Sendable {
  case probe(UInt32)
  case relay(UInt32)
  case suspicion(MemberID)
  case stream(StreamID)
}

struct Timers: Sendable {
  private struct Entry: Sendable {
    let at: Instant
    /// Of two at the same time the older comes first.
    let order: UInt64
    let wake: Wake

    func precedes(_ other: Entry) -> Bool {
      at != other.at ? at < other.at : order < other.order
    }
  }

  private var alarms = [Instant?](repeating: nil, count: Alarm.allCases.count)
  private var heap: [Entry] = []
  private var nextOrder: UInt64 = 0
  /// When each wake of the heap is due. An entry of another time was overtaken by an earlier one, and counts for
  /// nothing; the first of the heap is never such a one.
  private var due: [Wake: Instant] = [:]

  subscript(alarm: Alarm) -> Instant? {
    get { alarms[alarm.rawValue] }
    set { alarms[alarm.rawValue] = newValue }
  }

  /// Not later than `time`, whatever was set before.
  mutating func bringForward(_ alarm: Alarm, to time: Instant) {
    self[alarm] = min(self[alarm] ?? time, time)
  }

  /// Nothing if the wake is due no later already: whoever is woken too early looks again. So each is in here once, but
  /// for those that were brought forward.
  mutating func add(_ wake: Wake, at time: Instant) {
    if let known = due[wake], known <= time { return }
    due[wake] = time
    heap.append(Entry(at: time, order: nextOrder, wake: wake))
    nextOrder += 1
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].precedes(heap[parent]) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  var earliest: Instant? {
    var earliest = heap.first?.at
    for alarm in alarms {
      guard let alarm else { continue }
      if earliest == nil || alarm < earliest! { earliest = alarm }
    }
    return earliest
  }

  /// The first alarm that is due, which is cleared.
  mutating func takeAlarm(at now: Instant) -> Alarm? {
    var first: (alarm: Int, at: Instant)?
    for index in alarms.indices {
      guard let at = alarms[index], at <= now, first == nil || at < first!.at else { continue }
      first = (index, at)
    }
    guard let first else { return nil }
    alarms[first.alarm] = nil
    return Alarm(rawValue: first.alarm)
  }

  mutating func takeWake(at now: Instant) -> Wake? {
    guard let first = heap.first, first.at <= now else { return nil }
    dropFirst()
    return first.wake
  }

  /// The one that comes first, to be dropped if it waits for nothing any more, so that nobody is woken for it.
  var first: Wake? { heap.first?.wake }
  mutating func dropFirst() {
    due[heap[0].wake] = nil
    repeat { removeFirst() } while heap.first.map { due[$0.wake] != $0.at } ?? false
  }

  var count: Int { heap.count }

  /// Leaves only those that wait for something.
  mutating func keep(_ isLive: [Bool]) {
    let kept = zip(heap, isLive).filter { $1 && due[$0.wake] == $0.at }.map(\.0)
    heap = kept.sorted { $0.precedes($1) }
    due = Dictionary(kept.map { ($0.wake, $0.at) }) { first, _ in first }
  }

  var wakes: [Wake] { heap.map(\.wake) }

  private mutating func removeFirst() {
    let last = heap.removeLast()
    guard !heap.isEmpty else { return }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].precedes(heap[least]) {
        least = child
      }
      if least == parent { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
