// Moments and the durations between them.
import Membership
import Testing

@Suite struct `An instant` {
  @Test func `moves by durations, either way`() {
    let start = Instant(nanoseconds: 5)
    #expect(start + .seconds(2) == Instant(nanoseconds: 2_000_000_005))
    #expect(start + .seconds(2) - .seconds(2) == start)
    #expect(start - (start + .milliseconds(3)) == .milliseconds(-3))
    #expect(start < start + .nanoseconds(1))
  }
}
