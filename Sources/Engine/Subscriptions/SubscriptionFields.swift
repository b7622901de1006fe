// The fields of a subscription that a request names. PUT compares or creates with them, PATCH changes by them.
import Wire

public struct SubscriptionFields: Sendable, Equatable {
  public var stream: Field<String> = .absent
  public var start: Field<SubscriptionStart> = .absent
  public var ordering: Field<SubscriptionSpec.Ordering> = .absent
  public var ackDeadline: Field<Duration> = .absent
  public var maxInFlight: Field<Int> = .absent
  public var maxDeliveries: Field<Int> = .absent
  public var backoff: Field<[Duration]> = .absent
  public var deadLetter: Field<String?> = .absent
  public var delivery: Field<DeliveryFields> = .absent
  public init() {}
}

/// How records are to leave. Without a type it is as it was; a new subscription is pulled from.
public struct DeliveryFields: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable { case pull, webhook }
  public var kind: Field<Kind> = .absent
  public var webhook = WebhookFields()
  public init() {}
}

public struct WebhookFields: Sendable, Equatable {
  public var url: Field<String> = .absent
  public var format: Field<WebhookSpec.Format> = .absent
  /// A key; nil for the one there is (`"****"`).
  public var secret: Field<[UInt8]?> = .absent
  public var timeout: Field<Duration> = .absent
  public var concurrency: Field<Int> = .absent
  public var rateLimit: Field<Int?> = .absent
  public var batchRecordsMax: Field<Int> = .absent
  public var batchLinger: Field<Duration> = .absent
  public var retry: Field<[Duration]> = .absent
  public var disableAfter: Field<Duration?> = .absent
  /// PUT: the headers. PATCH: only those to change, nil to remove.
  public var headers: Field<[String: String?]> = .absent
  public init() {}
}
