// What a subscription is meant to be: its stream, where it began, how it delivers, and whether it does now.
import Wire

public struct SubscriptionSpec: Sendable, Equatable {
  /// Which records wait for one another.
  public enum Ordering: String, Sendable, CaseIterable {
    /// Those of one key; records without a key wait for nobody.
    case key
    /// All of one shard.
    case shard
    case none
  }

  /// How records leave.
  public enum Delivery: Sendable, Equatable {
    /// Consumers ask for them, or listen to events.
    case pull
    case webhook(WebhookSpec)
  }

  public enum State: Sendable, Equatable {
    case active
    case paused
    /// Stopped by the server; `reason` is for people.
    case disabled(reason: String, at: Timestamp)
  }

  /// The stream that it reads, and which of those that ever had the name.
  public var stream: String
  public var streamIncarnation: UInt64
  /// As it was asked for.
  public var start: SubscriptionStart
  /// What `start` meant when the subscription was made: the first record of each shard.
  public var startPlaces: [Offset]
  public var ordering = Ordering.key
  /// Webhooks have none: their own `timeout` and `retry` take the place of this, `maxDeliveries` and `backoff`.
  public var ackDeadline = Duration.seconds(30)
  /// Records delivered and not settled, of all consumers together.
  public var maxInFlight = 1000
  /// Failed deliveries after which a record is buried.
  public var maxDeliveries = 16
  /// The n-th failure waits for the n-th of these, later ones for the last; empty: no wait.
  public var backoff: [Duration] = [.seconds(1), .seconds(5), .seconds(30)]
  /// The stream that takes what could not be delivered; nil: it is dropped and counted.
  public var deadLetter: String?
  public var delivery = Delivery.pull
  public var state = State.active

  public init(
    stream: String, streamIncarnation: UInt64, start: SubscriptionStart, startPlaces: [Offset]
  ) {
    self.stream = stream
    self.streamIncarnation = streamIncarnation
    self.start = start
    self.startPlaces = startPlaces
  }

  public var webhook: WebhookSpec? {
    if case .webhook(let webhook) = delivery { webhook } else { nil }
  }
}

/// Where in its stream a subscription begins.
public enum SubscriptionStart: Sendable, Equatable, CustomStringConvertible {
  case earliest
  case tail
  case time(Timestamp)

  /// `earliest`, `tail`, or `@` and a time; nil for anything else.
  public init?(_ text: String) {
    switch text {
    case "earliest": self = .earliest
    case "tail": self = .tail
    default:
      guard text.hasPrefix("@"), let time = RFC3339.parse(String(text.dropFirst())) else {
        return nil
      }
      self = .time(time)
    }
  }

  public var description: String {
    switch self {
    case .earliest: "earliest"
    case .tail: "tail"
    case .time(let time): "@" + RFC3339.text(time)
    }
  }
}

/// What a subscription may ask for.
public enum SubscriptionLimits {
  public static let ackDeadline = Duration.milliseconds(100)...Duration.seconds(12 * 3600)
  public static let maxInFlight = 1...1_000_000
  public static let maxDeliveries = 1...1000
  public static let backoff = Duration.zero...Duration.seconds(7 * 86_400)
  public static let backoffCountMax = 32
}

/// What `/metrics` says of subscriptions.
public enum SubscriptionSeries {
  /// The first by name have series of their own, the others one together, `_other`: ten thousand subscriptions do not
  /// make a page of ten thousand lines.
  public static let namedMax = 200
}
