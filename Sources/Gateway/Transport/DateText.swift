// HTTP's dates, RFC 9110 §5.6.7: the `date` header's text, made once a second, and those that peers send.
import Glibc
import Wire

enum DateText {
  /// `date: Sun, 06 Nov 1994 08:49:37 GMT` and CRLF.
  static func headerLine(_ text: String) -> [UInt8] { Array("date: \(text)\r\n".utf8) }

  static func text(secondsSince1970 seconds: Int) -> String {
    let days = Int((Double(seconds) / 86_400).rounded(.down))
    let second = seconds - days * 86_400
    let (year, month, day) = civil(daysSince1970: days)
    let weekday = weekdays[((days + 4) % 7 + 7) % 7]
    let time = "\(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60))"
    return "\(weekday), \(two(day)) \(months[month - 1]) \(year) \(time) GMT"
  }

  static func now() -> Int { time(nil) }

  /// Seconds since 1970 of a date in any of the three forms that a recipient must know; nil for anything else:
  /// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
  static func parse(_ text: String) -> Int? {
    var words = text.split { $0 == " " || $0 == "," || $0 == "-" }.map(String.init)
    guard words.count >= 5, let weekday = words.first, weekday.count >= 3 else { return nil }
    words.removeFirst()
    if words.count == 4, words[0].count == 3 {  // asctime: the year is last
      words = [words[1], words[0], words[3], words[2], "GMT"]
    }
    guard words.count == 5, words[4] == "GMT", let day = Int(words[0]),
      let month = months.firstIndex(of: words[1]), let year = year(words[2])
    else { return nil }
    let date = "\(year)-\(two(month + 1))-\(two(day))T\(words[3])Z"
    return RFC3339.parse(date).map { Int($0.milliseconds / 1000) }
  }

  /// Two digits are the nearest year that is not far in the future, as RFC 9110 wants it; 70 is taken as 1970.
  private static func year(_ text: String) -> String? {
    switch text.utf8.count {
    case 4: return text
    case 2: return Int(text).map { String($0 < 70 ? 2000 + $0 : 1900 + $0) }
    default: return nil
    }
  }

  private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
  private static let months = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]

  private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

  /// Howard Hinnant's `civil_from_days`: the proleptic Gregorian calendar.
  private static func civil(daysSince1970: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = daysSince1970 + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }
}
