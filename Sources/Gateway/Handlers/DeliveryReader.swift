// How a subscription is to deliver, as PUT and PATCH say it: pulled from, or a webhook with all that belongs to one.
import Engine
import Wire

enum DeliveryReader {
  static let known = [
    "type", "url", "format", "secret", "timeout", "concurrency", "rate_limit", "batch", "retry",
    "disable_after", "headers",
  ]

  /// - Parameter policy: a URL that could never be dialled is refused.
  static func fields(
    of object: JSONFields, isPatch: Bool, _ policy: EgressPolicy
  ) throws(Problem) -> DeliveryFields {
    var fields = DeliveryFields()
    if let kind = try object.choice("type", of: DeliveryFields.Kind.self) {
      fields.kind = .set(kind)
    } else if !isPatch {
      throw Problem(
        .missingField, "A delivery names its type: pull or webhook.",
        facts: [("pointer", .text("/delivery/type"))])
    }
    fields.webhook = try webhook(object, isPatch: isPatch, policy)
    return fields
  }

  private static func webhook(
    _ object: JSONFields, isPatch: Bool, _ policy: EgressPolicy
  ) throws(Problem) -> WebhookFields {
    var fields = WebhookFields()
    if let url = try object.text("url") {
      do throws(OutboundURLFault) {
        try policy.check(url: url)
      } catch {
        throw JSONFields.badValue("/delivery/url", "\(error.reason).")
      }
      fields.url = .set(url)
    }
    if let format = try object.choice("format", of: WebhookSpec.Format.self) {
      fields.format = .set(format)
    }
    if let text = try object.text("secret") {
      fields.secret = .set(try secret(text, mayKeep: true))
    }
    if let timeout = try object.duration("timeout", in: SubscriptionLimits.webhookTimeout) {
      fields.timeout = .set(timeout)
    }
    if let count = try object.integer("concurrency", in: SubscriptionLimits.webhookConcurrency) {
      fields.concurrency = .set(count)
    }
    if object["rate_limit"] == .null {
      fields.rateLimit = .set(nil)
    } else if let rate = try object.integer("rate_limit", in: SubscriptionLimits.webhookRate) {
      fields.rateLimit = .set(rate)
    }
    if let batch = try object.object("batch", known: ["max_records", "linger"]) {
      if let count = try batch.integer("max_records", in: SubscriptionLimits.batchRecords) {
        fields.batchRecordsMax = .set(count)
      }
      if let linger = try batch.duration("linger", in: SubscriptionLimits.batchLinger) {
        fields.batchLinger = .set(linger)
      }
    }
    if let retry = try object.durations(
      "retry", in: SubscriptionLimits.retry, countMax: SubscriptionLimits.retryCountMax)
    {
      fields.retry = .set(retry)
    }
    if object["disable_after"] == .null {
      fields.disableAfter = .set(nil)
    } else if let after = try object.duration("disable_after", in: SubscriptionLimits.disableAfter)
    {
      fields.disableAfter = .set(after)
    }
    if let headers = try object.object("headers", known: nil) {
      fields.headers = .set(try WebhookHeaders.read(headers, mayRemove: isPatch))
    }
    return fields
  }

  /// - Parameter mayKeep: `"****"`, as GET shows it, stands for the one there is, and gives nil.
  static func secret(
    _ text: String, at pointer: String = "/delivery/secret", mayKeep: Bool
  ) throws(Problem) -> SigningSecret? {
    if mayKeep, text == SubscriptionDocument.hidden { return nil }
    guard let secret = SigningSecret(text) else {
      throw JSONFields.badValue(
        pointer, "it is \"whsec_\" and 24 to 64 bytes in Base64, as Standard Webhooks has it.")
    }
    return secret
  }
}

/// The headers of its own that a webhook sends along.
enum WebhookHeaders {
  /// What belongs to the connection, to the message or to whoever signs it.
  private static let reserved: Set = [
    "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade",
  ]
  private static let reservedPrefixes = ["webhook-", "ce-", "millrace-", "record-header-", ":"]

  /// Words in the names of headers that carry what lets somebody in: their values are never shown.
  private static let credentialWords = [
    "auth", "cookie", "credential", "key", "pass", "secret", "session", "signature", "token",
  ]

  /// Whether `name`'s value is a secret, so far as its name can tell.
  static func isCredential(_ name: String) -> Bool {
    credentialWords.contains { name.contains($0) }
  }

  /// - Parameter mayRemove: null takes a header away.
  static func read(
    _ object: JSONFields, mayRemove: Bool
  ) throws(Problem) -> [String: HeaderChange] {
    var headers: [String: HeaderChange] = [:]
    try object.forEach { written, value, pointer throws(Problem) in
      let name = written.lowercased()
      try checkName(name, pointer)
      guard headers[name] == nil else {
        throw JSONFields.badValue(pointer, "the header comes twice, but for its capitals.")
      }
      switch value {
      case .string(SubscriptionDocument.hidden) where isCredential(name): headers[name] = .kept
      case .string(let text):
        try checkValue(text, pointer)
        headers[name] = .value(text)
      case .null where mayRemove: headers[name] = .removed
      default: throw JSONFields.wrongType(pointer, "a string", isNull: value == .null)
      }
    }
    let countMax = SubscriptionLimits.headersMax
    guard headers.count <= 2 * countMax, mayRemove || headers.count <= countMax else {
      throw JSONFields.badValue(object.pointer, "a webhook has at most \(countMax) headers.")
    }
    return headers
  }

  private static func checkName(_ name: String, _ pointer: String) throws(Problem) {
    guard (1...SubscriptionLimits.headerNameBytesMax).contains(name.utf8.count),
      name.utf8.allSatisfy(HeaderText.isToken)
    else {
      throw JSONFields.badValue(
        pointer,
        "a header's name is a token of at most \(SubscriptionLimits.headerNameBytesMax) bytes.")
    }
    guard !reserved.contains(name), !reservedPrefixes.contains(where: name.hasPrefix) else {
      throw JSONFields.badValue(pointer, "\(name) is the server's own to set.")
    }
  }

  private static func checkValue(_ value: String, _ pointer: String) throws(Problem) {
    let isText = value.utf8.allSatisfy { $0 == 0x09 || (0x20...0x7e).contains($0) }
    guard isText, value.utf8.count <= SubscriptionLimits.headerValueBytesMax,
      value == value.trimmed()
    else {
      throw JSONFields.badValue(
        pointer,
        "a header's value is printable ASCII, without blanks around it, of at most "
          + "\(SubscriptionLimits.headerValueBytesMax) bytes.")
    }
  }
}
