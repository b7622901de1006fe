// A machine's clocks: a steady one that starts anywhere and runs a little fast or slow, and a wall clock that is wrong.
import Membership
import Wire

struct LocalClock {
  /// What the steady clock showed when the simulation began.
  private let start: Int64
  /// Nanoseconds that it gains in a million.
  private let drift: Int64
  /// Milliseconds that the wall clock is ahead.
  var wallAhead: Int64

  static let exact = LocalClock(start: 0, drift: 0, wallAhead: 0)
  /// Wall clocks show about this when a simulation begins: 2026.
  private static let wallStart: Int64 = 1_790_000_000_000

  private init(start: Int64, drift: Int64, wallAhead: Int64) {
    self.start = start
    self.drift = drift
    self.wallAhead = wallAhead
  }

  /// Up to 200 ppm off, twice what cheap crystals are; wall clocks up to an hour, either way.
  static func draw(_ random: inout Random) -> LocalClock {
    LocalClock(
      start: Int64(random.below(1 << 50)), drift: Int64(random.below(401)) - 200,
      wallAhead: random.oneIn(2) ? 0 : Int64(random.below(7_200_000)) - 3_600_000)
  }

  func instant(at now: Int64) -> Instant {
    Instant(nanoseconds: start + now + now / 1_000_000 * drift)
  }

  /// The first moment of the simulation at which the steady clock shows `instant`.
  func moment(of instant: Instant) -> Int64 {
    let passed = instant.nanoseconds - start
    var moment = passed - passed / 1_000_000 * drift
    // The estimate is off by what the clock gains in the correction itself.
    while self.instant(at: moment) < instant {
      moment += max(1, (instant.nanoseconds - self.instant(at: moment).nanoseconds) / 2)
    }
    return moment
  }

  func wallMilliseconds(at now: Int64) -> UInt64 {
    UInt64(Self.wallStart + now / 1_000_000 + wallAhead)
  }
}
