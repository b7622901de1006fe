// What a simulated subscription is like: drawn tiny, so that deadlines pass, windows fill and records are given up.
import Engine
import Wire

struct SubscriptionPlan {
  var ordering: SubscriptionSpec.Ordering
  var start: SubscriptionStart
  var isWebhook: Bool
  var buries: Bool
  var backoff: [Duration]
  /// The settings that a change may alter, and the bounds of all that were asked for.
  private(set) var ackDeadline: Duration
  private(set) var maxDeliveries: Int
  private(set) var maxInFlight: Int
  private(set) var ackDeadlineMin: Duration
  private(set) var maxDeliveriesMax: Int
  private(set) var maxDeliveriesMin: Int
  private(set) var maxInFlightMax: Int
  /// Records of a webhook's unit at most; nil: each by itself.
  var unitRecordsMax: Int?

  init(drawing random: inout Random) {
    ordering = [.key, .key, .shard, .none][random.below(4)]
    start = [.earliest, .earliest, .tail][random.below(3)]
    isWebhook = random.oneIn(4)
    buries = random.oneIn(2)
    backoff = (0..<random.below(3)).map { _ in .milliseconds(random.below(20)) }
    ackDeadline = Self.drawDeadline(&random)
    maxDeliveries = Self.drawDeliveries(&random)
    maxInFlight = Self.drawInFlight(&random)
    ackDeadlineMin = ackDeadline
    maxDeliveriesMin = maxDeliveries
    maxDeliveriesMax = maxDeliveries
    maxInFlightMax = maxInFlight
    unitRecordsMax = random.oneIn(2) ? 1 + random.below(8) : nil
  }

  private static func drawDeadline(_ random: inout Random) -> Duration {
    .milliseconds(2 << random.below(6))
  }
  private static func drawDeliveries(_ random: inout Random) -> Int {
    random.oneIn(3) ? 1 + random.below(4) : 1000
  }
  private static func drawInFlight(_ random: inout Random) -> Int {
    [1 + random.below(8), 1 + random.below(60), 1000][random.below(3)]
  }

  /// Records may be given up although nobody asked for it.
  var mayGiveUp: Bool { !isWebhook && maxDeliveriesMin < 100 }

  /// - Parameter bug: the order is the dispatcher's own, and no seam lies before it: it is planted in the question.
  func fields(stream: String, deadLetter: String, _ bug: PlantedBug?) -> SubscriptionFields {
    var fields = SubscriptionFields()
    fields.stream = .set(stream)
    fields.start = .set(start)
    fields.ordering = .set(bug == .orderForgotten ? .none : ordering)
    fields.maxInFlight = .set(maxInFlight)
    if buries { fields.deadLetter = .set(deadLetter) }
    if isWebhook {
      var delivery = DeliveryFields()
      delivery.kind = .set(.webhook)
      delivery.webhook.url = .set("https://svc.example/hook")
      fields.delivery = .set(delivery)
    } else {
      fields.ackDeadline = .set(ackDeadline)
      fields.maxDeliveries = .set(maxDeliveries)
      fields.backoff = .set(backoff)
    }
    return fields
  }

  /// Draws other settings for those that may change.
  mutating func change(_ random: inout Random) -> SubscriptionFields {
    var fields = SubscriptionFields()
    maxInFlight = Self.drawInFlight(&random)
    maxInFlightMax = max(maxInFlightMax, maxInFlight)
    fields.maxInFlight = .set(maxInFlight)
    guard !isWebhook else { return fields }
    ackDeadline = Self.drawDeadline(&random)
    ackDeadlineMin = min(ackDeadlineMin, ackDeadline)
    fields.ackDeadline = .set(ackDeadline)
    maxDeliveries = Self.drawDeliveries(&random)
    maxDeliveriesMin = min(maxDeliveriesMin, maxDeliveries)
    maxDeliveriesMax = max(maxDeliveriesMax, maxDeliveries)
    fields.maxDeliveries = .set(maxDeliveries)
    return fields
  }
}
