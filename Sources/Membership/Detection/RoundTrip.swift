// How long an answer takes here, learnt from those that came.

/// RFC 6298 §2's estimate, in nanoseconds. One for all members: they share a network, and a single one gives a sample
/// only once a round.
public struct RoundTrip: Sendable {
  /// Schedulers of busy machines are late by tens of milliseconds.
  public static let timeoutMin = Duration.milliseconds(50)
  /// Leaves three quarters of the probe period of 1 s to the helpers; until the first sample, too.
  public static let timeoutMax = Duration.milliseconds(250)

  private var smoothed: Int64?
  private var variation: Int64 = 0

  public init() {}

  /// SRTT; nil before the first sample.
  public var estimate: Duration? { smoothed.map { .nanoseconds($0) } }

  public mutating func add(_ sample: Duration) {
    let sample = min(max(0, sample.nanoseconds), 60_000_000_000)
    guard let smoothed else {
      self.smoothed = sample
      variation = sample / 2
      return
    }
    variation += (abs(smoothed - sample) - variation) / 4
    self.smoothed = smoothed + (sample - smoothed) / 8
  }

  /// How long to wait for an answer: SRTT + 4·RTTVAR within the limits.
  public var timeout: Duration {
    guard let smoothed else { return Self.timeoutMax }
    return min(max(.nanoseconds(smoothed + 4 * variation), Self.timeoutMin), Self.timeoutMax)
  }
}
