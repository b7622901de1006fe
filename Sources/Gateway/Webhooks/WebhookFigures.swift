// What webhooks count, for /metrics: by subscription for the first ones, in sum for all.
import Engine
import Synchronization
import Wire

/// Of one subscription. Written on its executor, read by whoever answers `/metrics`.
final class WebhookFigures: Sendable {
  /// Of an answer's status; `none`: there was no answer.
  enum StatusClass: String, CaseIterable, Sendable {
    case success = "2xx"
    case redirect = "3xx"
    case clientError = "4xx"
    case serverError = "5xx"
    case none
  }

  struct Values: Sendable {
    var attempts = [Int](repeating: 0, count: StatusClass.allCases.count)
    /// nil: it does not deliver now.
    var circuit: Circuit.State?
    var concurrency = 0
    var inFlight = 0
  }

  private let values = Mutex(Values())

  func count(_ status: StatusClass) {
    let place = StatusClass.allCases.firstIndex(of: status)!
    values.withLock { $0.attempts[place] += 1 }
  }

  func set(_ core: WebhookCore, isActive: Bool, now: Duration) {
    let circuit = isActive ? core.circuit.state(now: now) : nil
    values.withLock {
      $0.circuit = circuit
      $0.concurrency = core.concurrency.current
      $0.inFlight = core.inFlight
    }
  }

  func read() -> Values { values.withLock { $0 } }
}

/// Of all together.
final class WebhookTotals: Sendable {
  private let latency = Mutex(LatencyHistogram())

  /// From a record's append to the 2xx that it got.
  func delivered(after duration: Duration) {
    latency.withLock { $0.record(max(duration, .zero)) }
  }

  /// - Parameter webhooks: by name.
  func samples(_ webhooks: [(name: String, figures: WebhookFigures)]) -> [MetricSample] {
    let all = webhooks.map { (name: $0.name, values: $0.figures.read()) }
    var samples: [MetricSample] = []
    var rest = WebhookFigures.Values()
    for (place, webhook) in all.enumerated() {
      if place < SubscriptionSeries.namedMax {
        samples += Self.attempts(webhook.values, of: webhook.name)
      } else {
        for status in rest.attempts.indices {
          rest.attempts[status] += webhook.values.attempts[status]
        }
      }
    }
    if all.count > SubscriptionSeries.namedMax { samples += Self.attempts(rest, of: "_other") }
    for (name, values) in all.prefix(SubscriptionSeries.namedMax) {
      samples.append(
        MetricSample(
          "millrace_webhook_concurrency", .gauge, "Requests at once that the endpoint is given.",
          labels: [("subscription", name)], value: Double(values.concurrency)))
    }
    for (name, values) in all.prefix(SubscriptionSeries.namedMax) {
      samples.append(
        MetricSample(
          "millrace_webhook_circuit_open", .gauge,
          "1 while the endpoint is taken to be down and only probed.",
          labels: [("subscription", name)],
          value: values.circuit == .open || values.circuit == .halfOpen ? 1 : 0))
    }
    for state in [Circuit.State.closed, .open, .halfOpen] {
      samples.append(
        MetricSample(
          "millrace_webhooks", .gauge, "Webhooks that deliver, by the state of their circuit.",
          labels: [("circuit", state.rawValue)],
          value: Double(all.count { $0.values.circuit == state })))
    }
    samples.append(
      MetricSample(
        "millrace_webhook_requests_in_flight", .gauge, "Webhook requests under way.",
        value: Double(all.reduce(0) { $0 + $1.values.inFlight })))
    samples.append(
      MetricSample(
        "millrace_webhook_delivery_seconds", "From a record's append to the 2xx that it got.",
        latency.withLock { $0 }))
    return samples
  }

  private static func attempts(
    _ values: WebhookFigures.Values, of name: String
  ) -> [MetricSample] {
    WebhookFigures.StatusClass.allCases.enumerated().map { place, status in
      MetricSample(
        "millrace_webhook_attempts_total", .counter,
        "Webhook requests by subscription and class of the answer's status.",
        labels: [("subscription", name), ("status", status.rawValue)],
        value: Double(values.attempts[place]))
    }
  }
}
