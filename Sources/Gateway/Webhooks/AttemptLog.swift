// The last attempts of one webhook, for people who look for what went wrong. In memory, since the start of the server.
import NIOCore
import Wire

/// One request that was made, or tried to be.
struct WebhookAttempt: Sendable {
  enum Status: String, Sendable, CaseIterable { case succeeded, failed }
  enum Cause: String, Sendable {
    case delivery
    case resend
    case test
  }

  /// Grows with each attempt of the subscription; 0 until it is in the log.
  var serial: UInt64 = 0
  var cause: Cause
  /// The message's, the same for every attempt of it.
  var webhookID: String
  /// What it carried: offsets by shard, in order. Empty for a test.
  var records: [AttemptRecords]
  /// Of its first record.
  var delivery: Int
  var startedAt: Timestamp
  var latency: Duration
  var status: Status
  var httpStatus: Int?
  /// Why there is no answer, or what is wrong with it; for people.
  var error: String?
  /// The first `AttemptLog.answerBytesMax` bytes of the answer.
  var answer: ByteBuffer?
  /// True if the answer was longer than that.
  var isCut = false
  /// nil: there is none.
  var nextAttemptAt: Timestamp?

  /// What it takes in memory, about.
  var byteCount: Int {
    320 + (answer?.readableBytes ?? 0) + (error?.utf8.count ?? 0) + 48 * records.count
  }
}

/// Offsets of one shard.
struct AttemptRecords: Sendable, Equatable {
  var shard: Int
  var offsets: [Offset]
}

/// Bounded in count and bytes, each for those that succeeded and those that failed: a thousand successes a second must
/// not wash away the one failure that somebody looks for.
struct AttemptLog: Sendable {
  static let answerBytesMax = 4 << 10
  private var succeeded: Ring
  private var failed: Ring
  private var nextSerial: UInt64 = 1

  init(countMax: Int = 100, failedCountMax: Int = 400, bytesMax: Int = 128 << 10) {
    succeeded = Ring(countMax: countMax, bytesMax: bytesMax)
    failed = Ring(countMax: failedCountMax, bytesMax: bytesMax)
  }

  /// Gives the attempt its serial.
  @discardableResult
  mutating func add(_ attempt: WebhookAttempt) -> WebhookAttempt {
    var attempt = attempt
    attempt.serial = nextSerial
    nextSerial += 1
    if let answer = attempt.answer {
      // A copy: a slice would keep all of what was received.
      let kept = min(answer.readableBytes, Self.answerBytesMax)
      attempt.isCut = attempt.isCut || kept < answer.readableBytes
      attempt.answer =
        kept == 0 ? nil : ByteBuffer(bytes: answer.readableBytesView.prefix(kept))
    }
    if attempt.status == .failed { failed.add(attempt) } else { succeeded.add(attempt) }
    return attempt
  }

  subscript(serial: UInt64) -> WebhookAttempt? {
    failed.first { $0.serial == serial } ?? succeeded.first { $0.serial == serial }
  }

  /// Up to `limit`, newest first, older than `before`.
  func page(
    status: WebhookAttempt.Status?, before: UInt64?, limit: Int
  ) -> [WebhookAttempt] {
    var rest = [ArraySlice<WebhookAttempt>]()
    if status != .succeeded { rest.append(failed.older(than: before)) }
    if status != .failed { rest.append(succeeded.older(than: before)) }
    var page: [WebhookAttempt] = []
    while page.count < limit {
      guard
        let newest = rest.indices.filter({ !rest[$0].isEmpty })
          .max(by: { rest[$0].last!.serial < rest[$1].last!.serial })
      else { break }
      page.append(rest[newest].removeLast())
    }
    return page
  }

  var lastFailed: WebhookAttempt? { failed.newest }
  var last: WebhookAttempt? {
    guard let failure = failed.newest, let success = succeeded.newest else {
      return failed.newest ?? succeeded.newest
    }
    return failure.serial > success.serial ? failure : success
  }

  /// The newest attempts of one status, oldest first.
  private struct Ring: Sendable {
    private let countMax: Int
    private let bytesMax: Int
    /// From `start` on they count; what is before has been let go of.
    private var entries: [WebhookAttempt] = []
    private var start = 0
    private var bytes = 0

    init(countMax: Int, bytesMax: Int) {
      self.countMax = countMax
      self.bytesMax = bytesMax
    }

    var newest: WebhookAttempt? { entries.last }

    mutating func add(_ attempt: WebhookAttempt) {
      entries.append(attempt)
      bytes += attempt.byteCount
      while entries.count - start > 1, entries.count - start > countMax || bytes > bytesMax {
        bytes -= entries[start].byteCount
        entries[start].answer = nil
        entries[start].error = nil
        start += 1
      }
      // Moved together once as many are gone as are left, so that adding costs the same whatever the size.
      if start > countMax {
        entries.removeFirst(start)
        start = 0
      }
    }

    func older(than serial: UInt64?) -> ArraySlice<WebhookAttempt> {
      let all = entries[start...]
      guard let serial else { return all }
      // Serials grow: a binary search would do, but a page is asked for by hand.
      return all.prefix { $0.serial < serial }
    }

    func first(where isWanted: (WebhookAttempt) -> Bool) -> WebhookAttempt? {
      entries[start...].first(where: isWanted)
    }
  }
}
