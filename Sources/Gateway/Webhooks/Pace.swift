// How many requests at once and how many a second an endpoint is given.
import Wire

/// Adapts the number of requests at once to what an endpoint can take: additive increase, multiplicative decrease
/// (Chiu and Jain, 1989), started slowly as TCP is (RFC 5681 §3.1), held back when answers grow slow as in Netflix'
/// concurrency-limits (Gradient2). Times are monotonic.
struct AdaptiveConcurrency: Sendable {
  /// As the operator allows it.
  private(set) var max: Int
  private var limit = 1.0
  /// Below it one more for each success, above it one more for each round of them.
  private var slowStartBelow: Double
  private var decreasedAt: Duration?
  /// Seconds that a success takes: of late, and in the long run.
  private var shortLatency: Double?
  private var longLatency: Double = 0

  init(max: Int) {
    self.max = max
    slowStartBelow = Double(max)
  }

  /// Requests at once, now: 1 to `max`.
  var current: Int { Int(limit) }

  mutating func change(max: Int) {
    self.max = max
    limit = min(limit, Double(max))
    slowStartBelow = Double(max)
  }

  /// - Parameter inFlight: with this one. A limit that nobody reaches proves nothing and does not grow.
  mutating func succeeded(latency: Duration, startedAt: Duration, inFlight: Int, now: Duration) {
    let seconds = latency / .seconds(1)
    let short = shortLatency.map { $0 + (seconds - $0) / 16 } ?? seconds
    longLatency = shortLatency == nil ? seconds : longLatency + (short - longLatency) / 512
    shortLatency = short
    if short > 2 * longLatency + Self.slack {
      return decrease(to: 0.9, startedAt: startedAt, now: now)
    }
    guard Double(inFlight) * 2 >= limit else { return }
    limit = min(limit + (limit < slowStartBelow ? 1 : 1 / limit), Double(max))
  }

  mutating func failed(startedAt: Duration, now: Duration) {
    decrease(to: 0.5, startedAt: startedAt, now: now)
  }

  /// Begins anew: the endpoint was away.
  mutating func restart() {
    slowStartBelow = Swift.max(limit / 2, 2)
    limit = 1
    shortLatency = nil
  }

  /// Once for all requests that were under way at the last decrease: they tell of the same trouble.
  private mutating func decrease(to share: Double, startedAt: Duration, now: Duration) {
    if let decreasedAt, startedAt < decreasedAt { return }
    decreasedAt = now
    limit = Swift.max(limit * share, 1)
    slowStartBelow = limit
  }

  /// Slower by less than this is no sign of anything.
  private static let slack = 0.02
}

/// A bucket of tokens: so many requests a second, with a little ahead. Times are monotonic.
struct TokenBucket: Sendable {
  private let perSecond: Double
  /// What may be made up for at once: a tenth of a second's worth.
  private let capacity: Double
  private var tokens: Double
  private var filledAt: Duration

  init(perSecond: Int, now: Duration) {
    self.perSecond = Double(perSecond)
    capacity = max(Double(perSecond) / 10, 1)
    tokens = capacity
    filledAt = now
  }

  /// Whole tokens, now.
  mutating func available(now: Duration) -> Int {
    fill(now)
    return Int(tokens)
  }

  /// Takes one even if there is none: the next waits longer then.
  mutating func take(now: Duration) {
    fill(now)
    tokens -= 1
  }

  /// When there will be a whole one; nil if there is.
  func nextToken(now: Duration) -> Duration? {
    guard tokens < 1 else { return nil }
    // A microsecond more, lest rounding wake us a moment too early.
    return filledAt + .seconds((1 - tokens) / perSecond) + .microseconds(1)
  }

  private mutating func fill(_ now: Duration) {
    guard now > filledAt else { return }
    tokens = min(tokens + (now - filledAt) / .seconds(1) * perSecond, capacity)
    filledAt = now
  }
}
