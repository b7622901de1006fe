// Durations in whole units.

extension Duration {
  /// Rounded towards zero.
  public var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1000 + attoseconds / 1_000_000_000_000_000
  }

  /// Rounded towards zero; from about 292 years on the largest there is.
  public var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : whole + attoseconds / 1_000_000_000
  }
}

extension Timestamp {
  public static func + (time: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(milliseconds: time.milliseconds + duration.milliseconds)
  }

  /// How long after `earlier`; negative if before.
  public static func - (time: Timestamp, earlier: Timestamp) -> Duration {
    .milliseconds(time.milliseconds - earlier.milliseconds)
  }
}
