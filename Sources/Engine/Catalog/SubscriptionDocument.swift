// A subscription as the metadata store keeps it: a JSON document that later versions add fields to.
import Wire

struct SubscriptionDocument: DirectoryDocument {
  static let bucket = "subscriptions"

  var name: String
  var spec: SubscriptionSpec
  var createdAt: Timestamp
  var journal: ShardID

  /// IDs of shards are never given twice.
  var incarnation: UInt64 { journal.rawValue }

  func subscription(
    revision: Revision, journal: Shard, seat: SubscriptionSeat?
  ) -> Subscription {
    Subscription(
      name: name, spec: spec, createdAt: createdAt, revision: revision, journal: journal, seat: seat
    )
  }

  // MARK: As JSON

  var encoded: [UInt8] {
    let document: JSONValue = [
      "created_at": .integer(createdAt.milliseconds),
      "journal": .string(journal.description),
      "stream": .string(spec.stream),
      "stream_incarnation": .string(String(spec.streamIncarnation)),
      "start": .string(spec.start.description),
      "start_places": .array(spec.startPlaces.map { .string($0.description) }),
      "ordering": .string(spec.ordering.rawValue),
      "ack_deadline_ms": .integer(spec.ackDeadline.milliseconds),
      "max_in_flight": .integer(Int64(spec.maxInFlight)),
      "max_deliveries": .integer(Int64(spec.maxDeliveries)),
      "backoff_ms": .array(spec.backoff.map { .integer($0.milliseconds) }),
      "dead_letter": spec.deadLetter.map { .string($0) } ?? .null,
      "webhook": spec.webhook.map(Self.encoded) ?? .null,
      "state": Self.encoded(spec.state),
    ]
    return Array(document.text().utf8)
  }

  private static func encoded(_ state: SubscriptionSpec.State) -> JSONValue {
    switch state {
    case .active: "active"
    case .paused: "paused"
    case .disabled(let reason, let at):
      ["disabled": .string(reason), "at": .integer(at.milliseconds)]
    }
  }

  private static func encoded(_ webhook: WebhookSpec) -> JSONValue {
    [
      "url": .string(webhook.url),
      "format": .string(webhook.format.rawValue),
      "secrets": .array(
        webhook.secrets.map { secret in
          [
            "secret": .string(secret.key.text),
            "created_at": .integer(secret.createdAt.milliseconds),
            "expires_at": secret.expiresAt.map { .integer($0.milliseconds) } ?? .null,
          ]
        }),
      "timeout_ms": .integer(webhook.timeout.milliseconds),
      "concurrency": .integer(Int64(webhook.concurrency)),
      "rate_limit": webhook.rateLimit.map { .integer(Int64($0)) } ?? .null,
      "batch_records_max": .integer(Int64(webhook.batchRecordsMax)),
      "batch_linger_ms": .integer(webhook.batchLinger.milliseconds),
      "retry_ms": .array(webhook.retry.map { .integer($0.milliseconds) }),
      "disable_after_ms": webhook.disableAfter.map { .integer($0.milliseconds) } ?? .null,
      "headers": .object(
        JSONObject(webhook.headers.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })),
    ]
  }
}

extension SubscriptionDocument {
  init(name: String, decoding bytes: [UInt8]) throws(CatalogDamage) {
    let reader: StoredFields
    do {
      let value = try bytes.withUnsafeBytes { raw throws(JSONFault) in try JSONValue.parse(raw) }
      reader = StoredFields(name: name, value: value)
    } catch {
      throw .document(key: name, reason: "\(error)")
    }
    self.name = name
    createdAt = Timestamp(milliseconds: try reader.integer("created_at"))
    journal = ShardID(try reader.unsigned("journal"))
    let start = SubscriptionStart(try reader.text("start"))
    guard let start else { throw reader.damage("start") }
    spec = SubscriptionSpec(
      stream: try reader.text("stream"),
      streamIncarnation: try reader.unsigned("stream_incarnation"), start: start,
      startPlaces: try reader.array("start_places") { $0.asString.flatMap(UInt64.init) }
        .map { Offset($0) })
    guard let ordering = SubscriptionSpec.Ordering(rawValue: try reader.text("ordering")) else {
      throw reader.damage("ordering")
    }
    spec.ordering = ordering
    spec.ackDeadline = .milliseconds(try reader.integer("ack_deadline_ms"))
    spec.maxInFlight = Int(try reader.integer("max_in_flight"))
    spec.maxDeliveries = Int(try reader.integer("max_deliveries"))
    spec.backoff = try reader.durations("backoff_ms")
    spec.deadLetter = reader["dead_letter"]?.asString
    if let webhook = reader["webhook"], !webhook.isNull {
      spec.delivery = .webhook(try Self.webhook(StoredFields(name: name, value: webhook)))
    }
    switch reader["state"] {
    case "active": spec.state = .active
    case "paused": spec.state = .paused
    case let state?:
      guard let reason = state["disabled"]?.asString, let at = state["at"]?.asInteger else {
        throw reader.damage("state")
      }
      spec.state = .disabled(reason: reason, at: Timestamp(milliseconds: at))
    case nil: throw reader.damage("state")
    }
  }

  private static func webhook(_ reader: StoredFields) throws(CatalogDamage) -> WebhookSpec {
    let secrets = try reader.array("secrets") { secret -> WebhookSecret? in
      guard let key = secret["secret"]?.asString.flatMap(SigningSecret.init),
        let createdAt = secret["created_at"]?.asInteger
      else { return nil }
      return WebhookSecret(
        key: key, createdAt: Timestamp(milliseconds: createdAt),
        expiresAt: secret["expires_at"]?.asInteger.map(Timestamp.init(milliseconds:)))
    }
    guard !secrets.isEmpty else { throw reader.damage("secrets") }
    var webhook = WebhookSpec(url: try reader.text("url"), secrets: secrets)
    guard let format = WebhookSpec.Format(rawValue: try reader.text("format")) else {
      throw reader.damage("format")
    }
    webhook.format = format
    webhook.timeout = .milliseconds(try reader.integer("timeout_ms"))
    webhook.concurrency = Int(try reader.integer("concurrency"))
    webhook.rateLimit = reader["rate_limit"]?.asInteger.map { Int($0) }
    webhook.batchRecordsMax = Int(try reader.integer("batch_records_max"))
    webhook.batchLinger = .milliseconds(try reader.integer("batch_linger_ms"))
    webhook.retry = try reader.durations("retry_ms")
    webhook.disableAfter = reader["disable_after_ms"]?.asInteger.map { .milliseconds($0) }
    guard let headers = reader["headers"]?.asObject else { throw reader.damage("headers") }
    for (name, value) in headers { webhook.headers[name] = value.asString }
    return webhook
  }
}

/// The members of a stored document; one that is missing or of another type is damage.
private struct StoredFields {
  let name: String
  let value: JSONValue

  subscript(field: String) -> JSONValue? { value[field] }

  func damage(_ field: String) -> CatalogDamage {
    .document(key: name, reason: "\(field) is missing or cannot be read")
  }

  func text(_ field: String) throws(CatalogDamage) -> String {
    guard let text = value[field]?.asString else { throw damage(field) }
    return text
  }

  func integer(_ field: String) throws(CatalogDamage) -> Int64 {
    guard let number = value[field]?.asInteger else { throw damage(field) }
    return number
  }

  func unsigned(_ field: String) throws(CatalogDamage) -> UInt64 {
    guard let number = UInt64(try text(field)) else { throw damage(field) }
    return number
  }

  func array<Element>(
    _ field: String, _ read: (JSONValue) -> Element?
  ) throws(CatalogDamage) -> [Element] {
    guard let values = value[field]?.asArray else { throw damage(field) }
    let elements = values.compactMap(read)
    guard elements.count == values.count else { throw damage(field) }
    return elements
  }

  func durations(_ field: String) throws(CatalogDamage) -> [Duration] {
    try array(field) { $0.asInteger.map { .milliseconds($0) } }
  }
}

extension Subscription: DirectoryEntry {
  var document: SubscriptionDocument {
    SubscriptionDocument(name: name, spec: spec, createdAt: createdAt, journal: journal.id)
  }
}
