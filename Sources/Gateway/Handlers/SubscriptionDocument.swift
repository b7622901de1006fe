// A subscription as clients see it: the document of GET, and the fields of PUT and PATCH.
import Engine
import NIOCore
import Wire

enum SubscriptionDocument {
  /// What stands where a secret is.
  static let hidden = "****"

  // MARK: Written

  /// - Parameters:
  ///   - isReplaced: its stream is gone.
  ///   - secret: shown to whoever just had it made.
  ///   - live: writes further members, each after a comma.
  static func write(
    _ subscription: Subscription, isReplaced: Bool, secret: SigningSecret? = nil,
    into buffer: inout ByteBuffer, live: (inout ByteBuffer) -> Void = { _ in }
  ) {
    let spec = subscription.spec
    buffer.writeString("{\"name\":\"\(subscription.name)\"")
    buffer.writeString(",\"incarnation\":\"\(subscription.incarnation)\"")
    buffer.writeString(",\"stream\":\"\(spec.stream)\"")
    buffer.writeString(",\"stream_incarnation\":\"\(spec.streamIncarnation)\"")
    buffer.writeString(",\"start\":\"\(spec.start)\",\"ordering\":\"\(spec.ordering.rawValue)\"")
    if spec.webhook == nil {
      buffer.writeString(",\"ack_deadline\":\(text(spec.ackDeadline))")
      buffer.writeString(",\"max_deliveries\":\(spec.maxDeliveries)")
      buffer.writeString(",\"backoff\":\(text(spec.backoff))")
    }
    buffer.writeString(",\"max_in_flight\":\(spec.maxInFlight),\"dead_letter\":")
    buffer.writeString(spec.deadLetter.map { "{\"stream\":\"\($0)\"}" } ?? "null")
    buffer.writeString(",\"delivery\":")
    write(spec.delivery, secret, into: &buffer)
    write(spec.state, isReplaced: isReplaced, into: &buffer)
    buffer.writeString(",\"created_at\":\"")
    RFC3339.write(subscription.createdAt, into: &buffer)
    buffer.writeString("\"")
    live(&buffer)
    buffer.writeString("}")
  }

  private static func write(
    _ state: SubscriptionSpec.State, isReplaced: Bool, into buffer: inout ByteBuffer
  ) {
    switch state {
    case _ where isReplaced: buffer.writeString(",\"state\":\"stream_replaced\"")
    case .active: buffer.writeString(",\"state\":\"active\"")
    case .paused: buffer.writeString(",\"state\":\"paused\"")
    case .disabled(let reason, let at):
      buffer.writeString(",\"state\":\"disabled\",\"disabled\":{\"reason\":")
      JSONText.writeEscapedString(reason, into: &buffer)
      buffer.writeString(",\"at\":\"")
      RFC3339.write(at, into: &buffer)
      buffer.writeString("\"}")
    }
  }

  private static func write(
    _ delivery: SubscriptionSpec.Delivery, _ secret: SigningSecret?, into buffer: inout ByteBuffer
  ) {
    guard case .webhook(let webhook) = delivery else {
      return _ = buffer.writeString("{\"type\":\"pull\"}")
    }
    buffer.writeString("{\"type\":\"webhook\",\"url\":")
    JSONText.writeEscapedString(webhook.url, into: &buffer)
    buffer.writeString(",\"format\":\"\(webhook.format.rawValue)\"")
    buffer.writeString(",\"secret\":\"\(secret?.text ?? hidden)\"")
    buffer.writeString(",\"timeout\":\(text(webhook.timeout))")
    buffer.writeString(",\"concurrency\":\(webhook.concurrency)")
    buffer.writeString(",\"rate_limit\":\(webhook.rateLimit.map(String.init) ?? "null")")
    buffer.writeString(",\"batch\":{\"max_records\":\(webhook.batchRecordsMax)")
    buffer.writeString(",\"linger\":\(text(webhook.batchLinger))}")
    buffer.writeString(",\"retry\":\(text(webhook.retry))")
    buffer.writeString(",\"disable_after\":\(webhook.disableAfter.map(text) ?? "null")")
    buffer.writeString(",\"headers\":{")
    var separator = ""
    for (name, value) in webhook.headers.sorted(by: { $0.key < $1.key }) {
      buffer.writeString("\(separator)\"\(name)\":")
      JSONText.writeEscapedString(
        WebhookHeaders.isCredential(name) ? hidden : value, into: &buffer)
      separator = ","
    }
    buffer.writeString("}}")
  }

  private static func text(_ duration: Duration) -> String {
    "\"\(DurationText.format(duration))\""
  }

  private static func text(_ durations: [Duration]) -> String {
    "[" + durations.map(text).joined(separator: ",") + "]"
  }

  // MARK: Read

  private static let known = [
    "stream", "start", "ordering", "ack_deadline", "max_in_flight", "max_deliveries", "backoff",
    "dead_letter", "delivery",
  ]

  /// The fields that a PUT names, or that a PATCH changes.
  /// - Parameter policy: a webhook's URL that could never be dialled is refused.
  static func fields(
    of body: JSONValue?, isPatch: Bool, _ policy: EgressPolicy
  ) throws(Problem) -> SubscriptionFields {
    var fields = SubscriptionFields()
    guard let body else { return fields }
    let object = try JSONFields(body, known: known)
    if let stream = try object.name("stream") { fields.stream = .set(stream) }
    if let text = try object.text("start") {
      guard let start = SubscriptionStart(text) else {
        throw JSONFields.badValue(
          "/start", "it is earliest, tail or @TIME such as \"@2026-01-01T00:00:00Z\".")
      }
      fields.start = .set(start)
    }
    if let ordering = try object.choice("ordering", of: SubscriptionSpec.Ordering.self) {
      fields.ordering = .set(ordering)
    }
    if let deadline = try object.duration("ack_deadline", in: SubscriptionLimits.ackDeadline) {
      fields.ackDeadline = .set(deadline)
    }
    if let count = try object.integer("max_in_flight", in: SubscriptionLimits.maxInFlight) {
      fields.maxInFlight = .set(count)
    }
    if let count = try object.integer("max_deliveries", in: SubscriptionLimits.maxDeliveries) {
      fields.maxDeliveries = .set(count)
    }
    if let backoff = try object.durations(
      "backoff", in: SubscriptionLimits.backoff, countMax: SubscriptionLimits.backoffCountMax)
    {
      fields.backoff = .set(backoff)
    }
    fields.deadLetter = try deadLetter(object)
    if let delivery = try object.object("delivery", known: DeliveryReader.known) {
      fields.delivery = .set(try DeliveryReader.fields(of: delivery, isPatch: isPatch, policy))
    }
    return fields
  }

  private static func deadLetter(_ object: JSONFields) throws(Problem) -> Field<String?> {
    if object["dead_letter"] == .null { return .set(nil) }
    guard let deadLetter = try object.object("dead_letter", known: ["stream"]) else {
      return .absent
    }
    guard let stream = try deadLetter.name("stream") else {
      throw Problem(
        .missingField, "A dead_letter names its stream.",
        facts: [("pointer", .text("/dead_letter/stream"))])
    }
    return .set(stream)
  }
}
