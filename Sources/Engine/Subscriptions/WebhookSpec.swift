// What a webhook is meant to be: where it goes, in which form, signed by whom, and how often it is tried.
import Wire

public struct WebhookSpec: Sendable, Equatable {
  public enum Format: String, Sendable, CaseIterable {
    /// The value's bytes with their own type.
    case record
    /// A structured CloudEvent.
    case cloudevents
    /// An array of records.
    case batch
  }

  /// http or https, checked by whoever takes it from a client.
  public var url: String
  public var format = Format.record
  /// Newest first: one, or two while they are being rotated. Needed in clear to sign, and never shown again.
  public var secrets: [WebhookSecret]
  /// Of one attempt.
  public var timeout = Duration.seconds(15)
  /// Attempts at once, at most.
  public var concurrency = 8
  /// Attempts a second, at most; nil: no limit.
  public var rateLimit: Int?
  public var batchRecordsMax = 100
  /// How long a batch that is not full waits for more.
  public var batchLinger = Duration.milliseconds(100)
  /// The n-th failure waits for the n-th of these, give or take a fifth; after the last the record is buried.
  public var retry = Self.retryDefault
  /// Failing for so long without one success disables the subscription; nil: never.
  public var disableAfter: Duration? = .seconds(120 * 3600)
  /// Sent along, by name in lower case.
  public var headers: [String: String] = [:]

  public init(url: String, secrets: [WebhookSecret]) {
    self.url = url
    self.secrets = secrets
  }

  /// Svix's schedule, which receivers of Standard Webhooks are used to, and three days more.
  public static let retryDefault: [Duration] =
    [.seconds(5), .seconds(300), .seconds(1800)]
    + [2, 5, 10, 14, 20, 24].map { .seconds($0 * 3600) }

  /// The keys to sign with at this time, newest first; never none.
  public func keys(at now: Timestamp) -> [SigningSecret] {
    secrets.enumerated()
      .filter { place, secret in place == 0 || secret.expiresAt.map { now < $0 } ?? true }
      .map(\.element.key)
  }
}

/// A key that webhooks are signed with.
public struct WebhookSecret: Sendable, Equatable {
  public var key: SigningSecret
  public var createdAt: Timestamp
  /// Of one that was replaced; nil: until the next one comes.
  public var expiresAt: Timestamp?

  public init(key: SigningSecret, createdAt: Timestamp, expiresAt: Timestamp? = nil) {
    self.key = key
    self.createdAt = createdAt
    self.expiresAt = expiresAt
  }
}

extension SubscriptionLimits {
  public static let webhookTimeout = Duration.milliseconds(100)...Duration.seconds(120)
  public static let webhookConcurrency = 1...256
  public static let webhookRate = 1...1_000_000
  public static let batchRecords = 1...1000
  public static let batchLinger = Duration.zero...Duration.seconds(60)
  public static let retryCountMax = 32
  public static let retry = Duration.zero...Duration.seconds(7 * 86_400)
  public static let disableAfter = Duration.seconds(60)...Duration.seconds(365 * 86_400)
  public static let headersMax = 32
  public static let headerNameBytesMax = 128
  public static let headerValueBytesMax = 4096
}
