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
  public var secret: Field<SigningSecret?> = .absent
  public var timeout: Field<Duration> = .absent
  public var concurrency: Field<Int> = .absent
  public var rateLimit: Field<Int?> = .absent
  public var batchRecordsMax: Field<Int> = .absent
  public var batchLinger: Field<Duration> = .absent
  public var retry: Field<[Duration]> = .absent
  public var disableAfter: Field<Duration?> = .absent
  /// PUT: the headers. PATCH: only those to change.
  public var headers: Field<[String: HeaderChange]> = .absent
  public init() {}
}

// MARK: Against what there is

extension SubscriptionFields {
  /// Changes `spec` as a merge patch does.
  /// - Parameter freshSecret: for a webhook that had none and is given none.
  func patch(
    _ spec: inout SubscriptionSpec, freshSecret: SigningSecret, now: Timestamp
  ) throws(CatalogError) {
    if case .set(let wanted) = stream, wanted != spec.stream { throw .fixed(field: "stream") }
    if case .set(let wanted) = start, wanted != spec.start { throw .fixed(field: "start") }
    if case .set(let wanted) = ordering, wanted != spec.ordering {
      throw .fixed(field: "ordering")
    }
    maxInFlight.patch(&spec.maxInFlight)
    if case .set(let wanted) = deadLetter {
      guard wanted != spec.stream else {
        throw .invalid(
          field: "dead_letter.stream",
          reason: "records would come round again: it is the subscription's own stream.")
      }
      spec.deadLetter = wanted
    }
    if case .set(let wanted) = delivery {
      try wanted.patch(&spec.delivery, freshSecret: freshSecret, now: now)
    }
    try patchPatience(&spec)
  }

  /// What a webhook says with words of its own.
  private func patchPatience(_ spec: inout SubscriptionSpec) throws(CatalogError) {
    func check(_ field: String) throws(CatalogError) {
      guard spec.webhook == nil else {
        throw .invalid(
          field: field, reason: "a webhook's retry and timeout take the place of this.")
      }
    }
    if case .set(let wanted) = ackDeadline {
      try check("ack_deadline")
      spec.ackDeadline = wanted
    }
    if case .set(let wanted) = maxDeliveries {
      try check("max_deliveries")
      spec.maxDeliveries = wanted
    }
    if case .set(let wanted) = backoff {
      try check("backoff")
      spec.backoff = wanted
    }
  }

  /// The fields present here that `spec` has otherwise, by their names in requests.
  func differences(from spec: SubscriptionSpec) -> [String] {
    var different = FieldDifferences()
    different.compare(stream, with: spec.stream, "stream")
    different.compare(start, with: spec.start, "start")
    different.compare(ordering, with: spec.ordering, "ordering")
    different.compare(ackDeadline, with: spec.ackDeadline, "ack_deadline")
    different.compare(maxInFlight, with: spec.maxInFlight, "max_in_flight")
    different.compare(maxDeliveries, with: spec.maxDeliveries, "max_deliveries")
    different.compare(backoff, with: spec.backoff, "backoff")
    different.compare(deadLetter, with: spec.deadLetter, "dead_letter")
    if case .set(let wanted) = delivery {
      different.names += wanted.differences(from: spec.delivery)
    }
    return different.names
  }
}

extension DeliveryFields {
  func patch(
    _ delivery: inout SubscriptionSpec.Delivery, freshSecret: SigningSecret, now: Timestamp
  ) throws(CatalogError) {
    var wanted = delivery.kind
    if case .set(let kind) = kind { wanted = kind }
    switch (wanted, delivery) {
    case (.pull, _):
      guard let field = webhook.firstPresent else { return delivery = .pull }
      throw .invalid(
        field: "delivery.\(field)", reason: "only deliveries of the type webhook have this.")
    case (.webhook, .webhook(var spec)):
      try webhook.patch(&spec, now: now)
      delivery = .webhook(spec)
    case (.webhook, .pull):
      guard case .set(let url) = webhook.url else { throw .missing(field: "delivery.url") }
      if case .set(nil) = webhook.secret {
        throw .invalid(field: "delivery.secret", reason: "there is none yet that could be kept.")
      }
      var spec = WebhookSpec(
        url: url, secrets: [WebhookSecret(key: freshSecret, createdAt: now)])
      try webhook.patch(&spec, now: now)
      delivery = .webhook(spec)
    }
  }

  func differences(from delivery: SubscriptionSpec.Delivery) -> [String] {
    if case .set(let kind) = kind, kind != delivery.kind { return ["delivery.type"] }
    guard case .webhook(let spec) = delivery else {
      return webhook.firstPresent.map { ["delivery.\($0)"] } ?? []
    }
    return webhook.differences(from: spec).map { "delivery.\($0)" }
  }
}

extension SubscriptionSpec.Delivery {
  public var kind: DeliveryFields.Kind {
    switch self {
    case .pull: .pull
    case .webhook: .webhook
    }
  }
}

extension WebhookFields {
  func patch(_ spec: inout WebhookSpec, now: Timestamp) throws(CatalogError) {
    url.patch(&spec.url)
    format.patch(&spec.format)
    if case .set(let key?) = secret, key != spec.secrets[0].key {
      spec.secrets = [WebhookSecret(key: key, createdAt: now)]
    }
    timeout.patch(&spec.timeout)
    concurrency.patch(&spec.concurrency)
    rateLimit.patch(&spec.rateLimit)
    batchRecordsMax.patch(&spec.batchRecordsMax)
    batchLinger.patch(&spec.batchLinger)
    retry.patch(&spec.retry)
    disableAfter.patch(&spec.disableAfter)
    if case .set(let changes) = headers {
      for (name, change) in changes {
        switch change {
        case .value(let value): spec.headers[name] = value
        case .removed: spec.headers[name] = nil
        case .kept where spec.headers[name] == nil:
          throw .invalid(field: "delivery.headers", reason: "there is no \(name) yet to be kept.")
        case .kept: break
        }
      }
      guard spec.headers.count <= SubscriptionLimits.headersMax else {
        throw .invalid(
          field: "delivery.headers",
          reason: "a webhook has at most \(SubscriptionLimits.headersMax) headers of its own.")
      }
    }
  }

  func differences(from spec: WebhookSpec) -> [String] {
    var different = FieldDifferences()
    different.compare(url, with: spec.url, "url")
    different.compare(format, with: spec.format, "format")
    if case .set(let key?) = secret, key != spec.secrets[0].key {
      different.names.append("secret")
    }
    different.compare(timeout, with: spec.timeout, "timeout")
    different.compare(concurrency, with: spec.concurrency, "concurrency")
    different.compare(rateLimit, with: spec.rateLimit, "rate_limit")
    different.compare(batchRecordsMax, with: spec.batchRecordsMax, "batch.max_records")
    different.compare(batchLinger, with: spec.batchLinger, "batch.linger")
    different.compare(retry, with: spec.retry, "retry")
    different.compare(disableAfter, with: spec.disableAfter, "disable_after")
    if case .set(let wanted) = headers, isDifferent(wanted, from: spec.headers) {
      different.names.append("headers")
    }
    return different.names
  }

  private func isDifferent(
    _ wanted: [String: HeaderChange], from headers: [String: String]
  ) -> Bool {
    wanted.count != headers.count
      || wanted.contains { name, change in
        change != .kept && headers[name].map(HeaderChange.value) != change
          || headers[name] == nil
      }
  }

  /// The name of a field that is set here, if any is.
  var firstPresent: String? {
    func name<Value>(_ field: Field<Value>, _ name: String) -> String? {
      field == .absent ? nil : name
    }
    let names: [String?] = [
      name(url, "url"), name(format, "format"), name(secret, "secret"), name(timeout, "timeout"),
      name(concurrency, "concurrency"), name(rateLimit, "rate_limit"),
      name(batchRecordsMax, "batch.max_records"), name(batchLinger, "batch.linger"),
      name(retry, "retry"), name(disableAfter, "disable_after"), name(headers, "headers"),
    ]
    return names.compactMap { $0 }.first
  }
}

/// What becomes of one header.
public enum HeaderChange: Sendable, Equatable {
  case value(String)
  /// PATCH only.
  case removed
  /// The value that there is stays: it is one that is not shown (`"****"`).
  case kept
}
