// Tries of one thing that fail in a row: why the last one did, and when the next is due.

struct Setback {
  private(set) var reason: String?
  private(set) var retryAt: Duration?
  private var failures = 0

  mutating func fail(_ reason: String, now: Duration, _ tuning: SubscriptionTuning) {
    self.reason = reason
    failures += 1
    retryAt = now + tuning.rest(failures: failures)
  }

  mutating func succeed() {
    reason = nil
    failures = 0
  }

  /// The time of the next try comes.
  mutating func tick(_ now: Duration) {
    if let due = retryAt, due <= now { retryAt = nil }
  }

  /// No try is due yet.
  var isResting: Bool { retryAt != nil }
}
