// What `/metrics` says of subscriptions: a series for each of the first by name, one for all others together.
import Wire

extension Engine {
  /// Subscriptions that are asked to read their journals for one look at the figures.
  private static let wakesMax = 200

  private struct Sums {
    var backlog: Backlog?
    var inFlight = 0
    var counts = SubscriptionCounts()

    mutating func add(_ backlog: Backlog?, _ numbers: SubscriptionFigures.Numbers?) {
      if let backlog {
        let before = self.backlog ?? Backlog(records: 0, oldestAge: nil)
        self.backlog = Backlog(
          records: before.records + backlog.records,
          oldestAge: [before.oldestAge, backlog.oldestAge].compactMap { $0 }.max())
      }
      guard let numbers else { return }
      inFlight += numbers.inFlight
      counts.acked += numbers.counts.acked
      counts.redeliveries += numbers.counts.redeliveries
      counts.deadLetters += numbers.counts.deadLetters
      counts.dropped += numbers.counts.dropped
      counts.missed += numbers.counts.missed
    }
  }

  /// From any thread. What nobody knows yet is looked up, and is there the next time: a subscription that nobody uses
  /// has a backlog, too.
  var subscriptionSamples: [MetricSample] {
    var samples: [MetricSample] = []
    var others = Sums()
    var wakes = 0
    let all = subscriptions(prefix: "", after: nil, limit: .max)
    for (index, subscription) in all.enumerated() {
      let figures = subscription.seat.figures
      let source = source(of: subscription)
      if figures.numbers == nil, source != nil {
        if subscription.journal.tail == .zero {
          figures.begin(subscription.spec.startPlaces)
        } else if wakes < Self.wakesMax {
          wakes += 1
          wake(subscription)
        }
      }
      let backlog = source.flatMap { self.backlog(of: subscription, in: $0) }
      if index < SubscriptionSeries.namedMax {
        var sums = Sums()
        sums.add(backlog, figures.numbers)
        samples += Self.samples(subscription.name, sums)
      } else {
        others.add(backlog, figures.numbers)
      }
    }
    // No subscription has a name that begins so.
    if all.count > SubscriptionSeries.namedMax { samples += Self.samples("_other", others) }
    return samples
  }

  private static func samples(_ name: String, _ sums: Sums) -> [MetricSample] {
    func sample(
      _ what: String, _ kind: MetricSample.Kind, _ help: String, _ value: Double
    ) -> MetricSample {
      MetricSample(
        "millrace_subscription_" + what, kind, help, labels: [("subscription", name)],
        value: value)
    }
    var samples: [MetricSample] = []
    if let backlog = sums.backlog {
      samples.append(
        sample(
          "backlog_records", .gauge, "Records not settled, up to the tail.",
          Double(backlog.records)))
      // A record whose time is just being looked up has none: no age is better than a wrong one.
      if let age = backlog.records == 0 ? .zero : backlog.oldestAge {
        samples.append(
          sample(
            "backlog_seconds", .gauge, "Age of the oldest record that is not settled.",
            Double(age.milliseconds) / 1000))
      }
    }
    samples += [
      sample("in_flight", .gauge, "Records delivered and not settled.", Double(sums.inFlight)),
      sample(
        "acked_total", .counter, "Records acknowledged since start.", Double(sums.counts.acked)),
      sample(
        "redeliveries_total", .counter, "Deliveries that were not a record's first, since start.",
        Double(sums.counts.redeliveries)),
      sample(
        "dead_letters_total", .counter, "Records appended to the dead-letter stream.",
        Double(sums.counts.deadLetters)),
      sample(
        "dropped_total", .counter, "Records given up without a dead-letter stream.",
        Double(sums.counts.dropped)),
      sample(
        "missed_total", .counter, "Records trimmed before they were settled.",
        Double(sums.counts.missed)),
    ]
    return samples
  }
}
