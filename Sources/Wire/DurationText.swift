// Durations as people write them: "500ms", "30s", "5m", "2h", "7d".

public enum DurationText {
  private static let units: [(suffix: String, milliseconds: Int64)] = [
    ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
  ]

  /// One whole number and one unit; nil for anything else, a sign or more than Int64 milliseconds.
  public static func parse(_ text: String) -> Duration? {
    let digits = text.utf8.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    let suffix = text[digits.endIndex...]
    guard let number = Int64(Substring(digits)),
      let unit = units.first(where: { $0.suffix == suffix })
    else { return nil }
    let (milliseconds, overflow) = number.multipliedReportingOverflow(by: unit.milliseconds)
    return overflow ? nil : .milliseconds(milliseconds)
  }

  /// The largest unit that says it without a fraction: 90 seconds are "90s", 120 are "2m". What is below a
  /// millisecond is left out; a negative duration is "0s".
  public static func format(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1000)
    guard seconds >= 0, attoseconds >= 0 else { return "0s" }
    let milliseconds = overflow ? Int64.max : scaled &+ attoseconds / 1_000_000_000_000_000
    guard milliseconds > 0 else { return "0s" }
    let unit = units.first { milliseconds % $0.milliseconds == 0 }!
    return "\(milliseconds / unit.milliseconds)\(unit.suffix)"
  }
}
