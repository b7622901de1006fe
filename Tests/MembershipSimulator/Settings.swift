// What a simulation is like: how many members, how bad the times.
import Membership
import Wire

public struct Settings: Sendable {
  /// At the start; a few more may come.
  public var members: Int
  public var seatsMax: Int
  /// Nothing is lost, nobody pauses for more than 3 s, nobody is cut off: the strict promises hold.
  public var isCalm: Bool
  public var isSealed: Bool
  /// Virtual nanoseconds with faults.
  public var span: Int64
  /// Between two faults, at most.
  public var faultEvery: Int64
  /// Members come one after the other within so long.
  public var startSpan: Int64
  /// All know each other from the start: a thousand real joins are 30 million rumours.
  public var isWarm: Bool
  /// How many processes are looked at after each step.
  public var watched: Int
  /// After the last fault all views are equal within this.
  public var healingMax: Int64
  public var hasFaults = true
  /// After a pause sockets are read before timers fire, as the driver does; the other order is for the experiment.
  public var readsFirst = true
  public var swim = SwimConfiguration()
  public var bug: PlantedBug?

  let rumoursMax = 4096
  let streamsMax = 600

  static let second: Int64 = 1_000_000_000

  static func draw(_ random: inout Random) -> Settings {
    let members = 2 + random.below(random.oneIn(3) ? 30 : 11)
    var settings = Settings(
      members: members, seatsMax: members + random.below(4), isCalm: random.oneIn(2),
      isSealed: random.oneIn(4), span: Int64(30 + random.below(60)) * second,
      faultEvery: Int64(500 + random.below(5000)) * 1_000_000,
      startSpan: random.oneIn(2) ? 0 : Int64(random.below(5000)) * 1_000_000,
      isWarm: false, watched: .max, healingMax: 60 * second)
    settings.swim.awaitsPeers = true
    return settings
  }

  /// As many members as asked for, in calm or storm as drawn.
  static func large(_ members: Int, _ random: inout Random) -> Settings {
    Settings(
      members: members, seatsMax: members + 2, isCalm: random.oneIn(2), isSealed: false,
      span: 15 * second, faultEvery: 4 * second, startSpan: 0, isWarm: members > 200, watched: 8,
      healingMax: 90 * second)
  }

  /// The longest that a suspicion may last among `count` members (MEMBERSHIP.md).
  func suspicionMax(among count: Int) -> Int64 {
    let spread = 4 * swim.gossipInterval.nanoseconds * Int64(ceilLog2(count))
    return 6 * max(4 * Self.second, spread)
  }

  /// A crash is known to all: SWIM's bound of the round robin, then the suspicion.
  func crashKnownMax(among count: Int) -> Int64 {
    Int64(2 * count - 1) * swim.probePeriod.nanoseconds + suspicionMax(among: count)
  }
}

/// 0 for 1, 4 for 9 to 16.
func ceilLog2(_ number: Int) -> Int {
  number <= 1 ? 0 : Int.bitWidth - (number - 1).leadingZeroBitCount
}
