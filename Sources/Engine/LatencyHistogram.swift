// Durations counted in fixed buckets, for `/metrics`.

public struct LatencyHistogram: Sendable {
  /// Upper bounds in microseconds; one more bucket has none.
  public static let bounds = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
  ]
  public private(set) var buckets = [Int](repeating: 0, count: bounds.count + 1)
  public private(set) var sumMicroseconds = 0

  public init() {}

  public mutating func record(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let microseconds = Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
    let bucket = Self.bounds.firstIndex { microseconds <= $0 } ?? Self.bounds.count
    buckets[bucket] += 1
    sumMicroseconds += microseconds
  }

  public mutating func add(_ other: LatencyHistogram) {
    for index in buckets.indices { buckets[index] += other.buckets[index] }
    sumMicroseconds += other.sumMicroseconds
  }
}
