// Times and durations as text.
import Testing

@testable import Wire

@Suite struct TimeTests {
  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
      (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
      (951_782_400_123, "2000-02-29T00:00:00.123Z"),
      (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
      (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
      (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
      (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ] as [(Int64, String)])
  func `times are written and read`(milliseconds: Int64, text: String) {
    #expect(RFC3339.text(Timestamp(milliseconds: milliseconds)) == text)
    #expect(RFC3339.parse(text) == Timestamp(milliseconds: milliseconds))
  }

  @Test func `times beyond four digits of year are moved to the nearest`() {
    #expect(RFC3339.text(Timestamp(milliseconds: .max)) == "9999-12-31T23:59:59.999Z")
    #expect(RFC3339.text(Timestamp(milliseconds: .min)) == "0000-01-01T00:00:00.000Z")
  }

  @Test(
    arguments: [
      ("1970-01-01T00:00:00Z", 0), ("1970-01-01t00:00:00z", 0), ("1970-01-01T01:00:00+01:00", 0),
      ("1969-12-31T19:30:00-04:30", 0), ("1970-01-01T00:00:00-00:00", 0),
      ("1970-01-01T00:00:00.1Z", 100), ("1970-01-01T00:00:00.123456789Z", 123),
      ("1990-12-31T23:59:60Z", 662_688_000_000), ("1990-12-31T23:59:60.9Z", 662_688_000_000),
      ("1985-04-12T23:20:50.52Z", 482_196_050_520), ("1996-12-19T16:39:57-08:00", 851_042_397_000),
    ] as [(String, Int64)])
  func `every form of RFC 3339 is read`(text: String, milliseconds: Int64) {
    #expect(RFC3339.parse(text) == Timestamp(milliseconds: milliseconds))
  }

  @Test(arguments: [
    "", "1970-01-01", "1970-01-01T00:00Z", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z",
    "1970-13-01T00:00:00Z", "1970-00-01T00:00:00Z", "1970-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
    "1970-04-31T00:00:00Z", "1970-01-00T00:00:00Z", "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z",
    "1970-01-01T00:00:61Z", "1970-01-01T00:01:60Z", "1970-01-01T00:00:00.Z",
    "1970-01-01T00:00:00+01",
    "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00+01:60", "1970-01-01T00:00:00Zx",
    " 1970-01-01T00:00:00Z", "70-01-01T00:00:00Z", "+970-01-01T00:00:00Z", "1970-01-01T00:00:00,5Z",
    "1970-1-1T00:00:00Z", "１970-01-01T00:00:00Z",
  ])
  func `anything else is refused`(text: String) { #expect(RFC3339.parse(text) == nil) }

  @Test func `any time comes back`() {
    var random = Random(seed: 5)
    let width = UInt64(RFC3339.range.upperBound - RFC3339.range.lowerBound)
    for _ in 0..<20_000 {
      let time = Timestamp(
        milliseconds: RFC3339.range.lowerBound + Int64(random.next(upperBound: width + 1)))
      let text = RFC3339.text(time)
      #expect(text.utf8.count == RFC3339.byteCount)
      #expect(RFC3339.parse(text) == time)
    }
  }

  @Test(
    arguments: [
      ("0s", 0), ("1ms", 1), ("500ms", 500), ("30s", 30_000), ("90s", 90_000), ("5m", 300_000),
      ("2h", 7_200_000), ("7d", 604_800_000), ("36h", 129_600_000), ("1500ms", 1500),
    ] as [(String, Int64)])
  func `durations are written and read`(text: String, milliseconds: Int64) {
    #expect(DurationText.parse(text) == .milliseconds(milliseconds))
    #expect(DurationText.format(.milliseconds(milliseconds)) == text)
  }

  @Test(arguments: ["0ms", "000s", "60s", "1000ms", "0d"])
  func `a duration may be written in more than one way`(text: String) {
    #expect(DurationText.parse(text) != nil)
  }

  @Test(arguments: [
    "", "s", "7", "-1s", "+1s", "1.5s", "1 s", " 1s", "1s ", "1S", "1w", "1y", "1h30m", "1sec",
    "9223372036854775808ms", "106751991168d", "٣s", "0x1s", "1e3s",
  ])
  func `anything else is no duration`(text: String) { #expect(DurationText.parse(text) == nil) }

  @Test func `parts of a millisecond are left out, negative durations are none`() {
    #expect(DurationText.format(.microseconds(1999)) == "1ms")
    #expect(DurationText.format(.microseconds(999)) == "0s")
    #expect(DurationText.format(.seconds(-1)) == "0s")
    #expect(DurationText.parse("9223372036854775807ms") == .milliseconds(Int64.max))
  }
}
