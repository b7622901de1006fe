// Times as RFC 3339 text, UTC with milliseconds: 2026-01-01T00:00:00.000Z.
import NIOCore

public enum RFC3339 {
  /// The bytes that `write` writes.
  public static let byteCount = 24
  /// The years 0000 to 9999: what four digits can say.
  static let range: ClosedRange<Int64> = -62_167_219_200_000...253_402_300_799_999

  /// Writes exactly `byteCount` bytes. A time that four digits of year cannot say is moved to the nearest that they
  /// can.
  public static func write(_ timestamp: Timestamp, into buffer: inout ByteBuffer) {
    let milliseconds = min(max(timestamp.milliseconds, range.lowerBound), range.upperBound)
    let days = milliseconds.flooredQuotient(86_400_000)
    var rest = milliseconds - days * 86_400_000
    let (year, month, day) = civil(days: days)
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: byteCount) { target in
      func put(_ number: Int64, _ place: Int, _ digits: Int) {
        var rest = number
        for digit in stride(from: place + digits - 1, through: place, by: -1) {
          target[digit] = UInt8(truncatingIfNeeded: rest % 10) + UInt8(ascii: "0")
          rest /= 10
        }
      }
      put(year, 0, 4)
      target[4] = UInt8(ascii: "-")
      put(month, 5, 2)
      target[7] = UInt8(ascii: "-")
      put(day, 8, 2)
      target[10] = UInt8(ascii: "T")
      put(rest / 3_600_000, 11, 2)
      rest %= 3_600_000
      target[13] = UInt8(ascii: ":")
      put(rest / 60_000, 14, 2)
      rest %= 60_000
      target[16] = UInt8(ascii: ":")
      put(rest / 1000, 17, 2)
      target[19] = UInt8(ascii: ".")
      put(rest % 1000, 20, 3)
      target[23] = UInt8(ascii: "Z")
      return byteCount
    }
  }

  public static func text(_ timestamp: Timestamp) -> String {
    var buffer = ByteBuffer()
    write(timestamp, into: &buffer)
    return String(buffer: buffer)
  }

  /// Reads any RFC 3339 time: with an offset instead of Z, in lower case, with a fraction of any length (what is below
  /// a millisecond is left out) or none. A leap second counts as the second after it. nil for anything else.
  public static func parse(_ text: String) -> Timestamp? {
    var text = text
    return text.withUTF8 { bytes in
      var reader = Reader(bytes: bytes)
      return reader.timestamp()
    }
  }

  private struct Reader {
    let bytes: UnsafeBufferPointer<UInt8>
    var position = 0

    mutating func timestamp() -> Timestamp? {
      guard let year = number(4), take("-"), let month = number(2), take("-"),
        let day = number(2), (1...12).contains(month),
        (1...daysIn(month: month, year: year)).contains(day), take("T") || take("t"),
        let hour = number(2), hour < 24, take(":"), let minute = number(2), minute < 60,
        take(":"), let second = number(2), second < 60 || (second == 60 && minute == 59)
      else { return nil }
      var fraction: Int64 = 0
      if take(".") {
        guard let read = milliseconds() else { return nil }
        fraction = second == 60 ? 0 : read
      }
      guard let offset = offset(), position == bytes.count else { return nil }
      let minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset
      return Timestamp(milliseconds: (minutes * 60 + second) * 1000 + fraction)
    }

    mutating func take(_ letter: Unicode.Scalar) -> Bool {
      guard position < bytes.count, bytes[position] == UInt8(ascii: letter) else { return false }
      position += 1
      return true
    }

    mutating func digit() -> Int64? {
      guard position < bytes.count, bytes[position] &- UInt8(ascii: "0") <= 9 else { return nil }
      defer { position += 1 }
      return Int64(bytes[position] - UInt8(ascii: "0"))
    }

    mutating func number(_ digits: Int) -> Int64? {
      var number: Int64 = 0
      for _ in 0..<digits {
        guard let digit = digit() else { return nil }
        number = number * 10 + digit
      }
      return number
    }

    /// One digit or more after the point.
    mutating func milliseconds() -> Int64? {
      var milliseconds: Int64 = 0
      var scale: Int64 = 100
      guard position < bytes.count, bytes[position] &- UInt8(ascii: "0") <= 9 else { return nil }
      while let digit = digit() {
        milliseconds += digit * scale
        scale /= 10
      }
      return milliseconds
    }

    /// Minutes east of Greenwich.
    mutating func offset() -> Int64? {
      if take("Z") || take("z") { return 0 }
      let isWest = take("-")
      guard isWest || take("+"), let hours = number(2), hours < 24, take(":"),
        let minutes = number(2), minutes < 60
      else { return nil }
      return (isWest ? -1 : 1) * (hours * 60 + minutes)
    }
  }

  private static func daysIn(month: Int64, year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  // Howard Hinnant, "chrono-compatible low-level date algorithms": years start in March, so that the leap day is last.

  /// Days since 1970-01-01 of a date.
  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let year = month <= 2 ? year - 1 : year
    let era = year.flooredQuotient(400)
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = shifted.flooredQuotient(146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }
}

extension Int64 {
  /// Division that rounds down, for times before 1970.
  fileprivate func flooredQuotient(_ divisor: Int64) -> Int64 {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }
}
