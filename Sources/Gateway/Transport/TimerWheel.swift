// Coarse deadlines of many connections in one ring: setting one costs an array append, and no timer of the loop's.

/// Entries that fall due at ticks. A deadline beyond the ring's horizon falls due at the horizon; whoever set it then
/// sets it again.
///
/// Entries are never taken out: whoever owns one marks it stale by its `stamp`.
struct TimerWheel<Entry> {
  private var slots: [[Entry]]
  /// The next tick to be looked at.
  private(set) var now: UInt64 = 0

  /// - Parameter slots: the horizon in ticks; a power of two.
  init(slots count: Int) {
    precondition(count > 1 && count & (count - 1) == 0, "\(count) slots are no power of two")
    slots = Array(repeating: [], count: count)
  }

  /// Adds `entry`, due at `tick` but no sooner than the next tick. Returns the tick at which it will fall due.
  @discardableResult
  mutating func add(_ entry: Entry, at tick: UInt64) -> UInt64 {
    let due = min(max(tick, now + 1), now + UInt64(slots.count) - 1)
    slots[Int(due) & (slots.count - 1)].append(entry)
    return due
  }

  /// Moves on by one tick and gives what falls due.
  mutating func advance() -> [Entry] {
    now += 1
    let slot = Int(now) & (slots.count - 1)
    let due = slots[slot]
    slots[slot] = []
    return due
  }
}
