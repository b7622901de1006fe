// The node's own stalls: whoever stood still must not take the silence that it missed for that of others.

extension Swim {
  /// A timer of an idle machine is late by a few milliseconds; one that is later than this was held up.
  private static let lateness = Duration.milliseconds(100)
  /// After a pause like this one may be held for dead.
  private static let longPause = Duration.seconds(2)

  /// Shifts all deadlines by the time that was lost, raises doubt of itself, and accuses nobody for one period.
  ///
  /// - Parameter last: The last time that it did anything. What was due before then was put into the past by what
  ///   came in: a suspicion that its confirmation ends, a view that the last refutation sets free.
  mutating func noticeStall(since last: Instant) {
    guard has(.stallShift), let promised = timers.earliest.map({ max($0, last) }),
      now - promised > Self.lateness
    else { return }
    let lost = now - promised
    stalled += lost
    now = promised
    counters.stalls += 1
    health.note(.stalled)
    mutedUntil = now + probePeriod
    guard lost > Self.longPause, departure == nil else { return }
    for member in roster.draw(3, from: .present, random: &random) { ask(member) }
  }
}
