// One record between a track's floor and the newest fetched.

struct Slot {
  enum State: UInt8 {
    /// For a consumer, or for its back-off, or for others of its key.
    case waiting
    /// In a lease.
    case inFlight
    /// In a unit that nobody has.
    case parked
    /// Acknowledged or dropped, not durably yet.
    case settling
    /// Given up, to be buried.
    case condemned
    /// Buried, not durably yet.
    case buried
    /// Settled for good; or not one of those that a replay is for.
    case done
  }

  /// While waiting: not before this, on the monotonic clock in nanoseconds; 0: at once.
  var due: Int64 = 0
  /// In flight: its lease's index. Parked: its unit's.
  var holder: UInt32 = 0
  /// Its line's number; 0: it has no order.
  var line: UInt32 = 0
  /// The low bits of the next offset in its line, if it is not the line's last.
  var next: UInt32 = 0
  /// With the one that is going on.
  var deliveries: UInt16 = 0
  var failures: UInt16 = 0
  var state = State.waiting
  /// In its track's queue.
  var isQueued = false
  /// Of a unit that was split: never in a unit with others again.
  var isAlone = false
}

extension Slot {
  /// The holder of a condemned record that still holds its line: not durably condemned.
  static let condemnedHolds = UInt32.max
}

extension UInt64 {
  var low: UInt32 { UInt32(truncatingIfNeeded: self) }

  /// The offset with these low bits at or after this one.
  func offset(low: UInt32) -> UInt64 { self &+ UInt64(low &- self.low) }
}

extension Int64 {
  /// Later by `delay`, or as late as can be.
  func later(by delay: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(delay)
    return overflow ? .max : sum
  }
}
