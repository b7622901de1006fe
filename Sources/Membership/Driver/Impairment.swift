// A bad network on purpose: datagrams that get lost or come late, decided by a seed. For tests and measurements.
import Wire

/// Of the datagrams that a member sends, some are lost and the others take a while, so that they overtake each other.
/// Streams are left alone, as TCP makes losses good.
public struct Impairment: Sendable {
  /// The share that is lost, 0...1.
  public var loss: Double
  /// What each takes, evenly spread.
  public var delay: ClosedRange<Duration>
  /// When it holds, counted from the member's start.
  public var window: Range<Duration>
  private var random: Random

  public init(
    seed: UInt64, loss: Double = 0, delay: ClosedRange<Duration> = .zero ... .zero,
    window: Range<Duration> = .zero ..< .seconds(1 << 32)
  ) {
    precondition(0...1 ~= loss, "a loss of \(loss)")
    self.loss = loss
    self.delay = delay
    self.window = window
    random = Random(seed: seed)
  }

  enum Fate: Equatable {
    case sent
    case late(Duration)
    case lost
  }

  /// What becomes of a datagram that is sent so long after the start.
  mutating func fate(after elapsed: Duration) -> Fate {
    guard window.contains(elapsed) else { return .sent }
    // Both are drawn for each, so that one setting does not change what another draws.
    let isLost = Double(random.next() >> 11) * 0x1p-53 < loss
    let spread = (delay.upperBound - delay.lowerBound).nanoseconds
    let extra = random.next() % UInt64(spread + 1)
    if isLost { return .lost }
    let late = delay.lowerBound + .nanoseconds(Int64(extra))
    return late > .zero ? .late(late) : .sent
  }
}
