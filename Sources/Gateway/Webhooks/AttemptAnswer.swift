// What came back from an endpoint, in the words of the core, of the log and of people.
import Engine
import NIOCore
import Wire

struct AttemptAnswer: Sendable {
  let result: WebhookCore.Result
  let httpStatus: Int?
  /// Why it is no success; nil if it is.
  let error: String?
  private let answer: ByteBuffer?
  private let isCut: Bool

  init(_ received: Result<OutboundAnswer, OutboundFailure>, now: Timestamp) {
    switch received {
    case .success(let got):
      httpStatus = got.status
      let outcome = AttemptOutcome(status: got.status)
      let mayWait = got.status == 429 || got.status == 503
      result = WebhookCore.Result(
        outcome: outcome, latency: got.latency,
        retryAfter: mayWait ? got.retryAfter.flatMap { RetryAfter.parse($0, now: now) } : nil)
      error = outcome == .delivered ? nil : Self.words(for: got.status)
      answer = got.body
      isCut = got.isCut
    case .failure(let failure):
      httpStatus = nil
      result = WebhookCore.Result(
        outcome: failure.isAboutEndpoint ? .failed : .void, latency: failure.latency)
      error = failure.text
      answer = nil
      isCut = false
    }
  }

  private static func words(for status: Int) -> String {
    switch status {
    case 300...399: "the endpoint answered \(status): redirects are not followed"
    case 410: "the endpoint answered 410: the webhook is disabled"
    default: "the endpoint answered \(status)"
    }
  }

  /// The verdict with the last reason in it.
  func explained(_ verdict: UnitVerdict) -> UnitVerdict {
    guard case .exhausted(let reason) = verdict, let error else { return verdict }
    return .exhausted(reason: "\(reason); the last one: \(error)")
  }

  var httpClass: WebhookFigures.StatusClass {
    guard let httpStatus else { return .none }
    switch httpStatus {
    case 200...299: return .success
    case 300...399: return .redirect
    case 400...499: return .clientError
    default: return .serverError
    }
  }

  func attempt(
    _ cause: WebhookAttempt.Cause, _ message: WebhookMessage, startedAt: Timestamp
  ) -> WebhookAttempt {
    WebhookAttempt(
      cause: cause, webhookID: message.id, records: message.records, delivery: message.delivery,
      startedAt: startedAt, latency: result.latency,
      status: result.outcome == .delivered ? .succeeded : .failed, httpStatus: httpStatus,
      error: error, answer: answer, isCut: isCut)
  }
}
