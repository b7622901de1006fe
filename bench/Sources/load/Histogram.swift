// Nanoseconds counted in log-linear buckets, as HdrHistogram does: 128 to a power of two, so less than 1 % off.

struct Histogram {
  private static let bits = 7
  private static let bucketsPerOctave = 1 << bits
  private var counts = [UInt64](repeating: 0, count: (64 - 7 + 1) << 7)
  private(set) var count = 0
  private(set) var max: UInt64 = 0

  mutating func record(_ nanoseconds: UInt64) {
    counts[Self.bucket(nanoseconds)] += 1
    count += 1
    if nanoseconds > max { max = nanoseconds }
  }

  /// The value that a share of `quantile` of all records does not exceed; 0 if there are none.
  func quantile(_ quantile: Double) -> UInt64 {
    guard count > 0 else { return 0 }
    let rank = UInt64((quantile * Double(count)).rounded(.up))
    var seen: UInt64 = 0
    for (bucket, number) in counts.enumerated() {
      seen += number
      if seen >= rank { return Swift.min(Self.top(of: bucket), max) }
    }
    return max
  }

  private static func bucket(_ value: UInt64) -> Int {
    guard value >= UInt64(bucketsPerOctave) else { return Int(value) }
    let shift = 63 - value.leadingZeroBitCount - bits
    return (shift + 1) << bits + Int(value >> UInt64(shift)) - bucketsPerOctave
  }

  private static func top(of bucket: Int) -> UInt64 {
    guard bucket >= bucketsPerOctave else { return UInt64(bucket) }
    let shift = bucket >> bits - 1
    let mantissa = UInt64(bucket & (bucketsPerOctave - 1) + bucketsPerOctave)
    return (mantissa + 1) << UInt64(shift) - 1
  }
}
