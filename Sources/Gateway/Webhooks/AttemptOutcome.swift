// What an attempt's answer means: for the record, and for the endpoint.
import Wire

/// One class for every way an attempt can end.
enum AttemptOutcome: Equatable, Sendable {
  /// 2xx.
  case delivered
  /// The endpoint lives and will not take this record. What it says is about the record, not about the endpoint.
  case refused
  /// Everything else: no answer, a redirect, 5xx, a password asked for. It may be about all records alike.
  case failed
  /// 410: nobody wants them any more.
  case gone
  /// Nothing was sent, or nothing can be known of the endpoint; the attempt is as good as not made.
  case void

  init(status: Int) {
    switch status {
    case 200...299: self = .delivered
    case 410: self = .gone
    case 400, 406, 409, 412...415, 422, 424, 428, 431, 451: self = .refused
    default: self = .failed
    }
  }
}

/// `Retry-After`: a number of seconds or a date (RFC 9110 §10.2.3).
enum RetryAfter {
  /// Nobody may put us off for longer.
  static let max = Duration.seconds(3600)

  /// How long to wait; nil if the text is neither. At most `max`; a date that has passed is no wait.
  static func parse(_ text: String, now: Timestamp) -> Duration? {
    let text = text.trimmed()
    if !text.isEmpty, text.utf8.allSatisfy({ $0 &- 48 < 10 }) {
      // More digits than an Int has are more than `max`.
      return min(.seconds(Int(text) ?? .max >> 1), max)
    }
    guard let seconds = DateText.parse(text) else { return nil }
    let wait = seconds.subtractingReportingOverflow(Int(now.milliseconds / 1000))
    return wait.overflow ? nil : min(.seconds(Swift.max(wait.partialValue, 0)), max)
  }
}
