// What can be seen of a subscription beside its settings, and where it can be sent.
import Wire

public struct SubscriptionStatus: Sendable {
  public struct ShardPlace: Sendable, Equatable {
    public var shard: Int
    /// Everything below it is settled.
    public var floor: Offset
    public var tail: Offset
    /// Settled records above the floor.
    public var settledAbove: Int
  }
  public struct Gap: Sendable, Equatable {
    public var shard: Int
    public var offsets: Range<Offset>
    /// Why they are not delivered: retention took them.
    public var reason: String { "trimmed" }
  }
  /// Of one shard: a request to replay begins one for each that has something to be delivered again.
  public struct Replay: Sendable, Equatable {
    public var id: UInt32
    public var shard: Int
    public var only: ReplayRequest.Only
    /// Everything below it is settled again.
    public var place: Offset
    public var end: Offset
    /// Records not settled yet.
    public var left: Int
  }
  public enum Block: Sendable, Equatable {
    /// So many records lie between the floor and the newest delivered one.
    case window(Int)
    /// A dead letter cannot be appended.
    case deadLetter(String)
    /// Nothing can be journaled.
    case journal(String)
    /// The stream's log cannot be read.
    case log(String)
  }
  public var backlog: Backlog
  public var shards: [ShardPlace]
  public var inFlight: Int
  /// Consumers that are attached, wait, or pulled within the last minute.
  public var consumers: Int
  public var counts: SubscriptionCounts
  /// The last ones.
  public var gaps: [Gap]
  public var blockedBy: Block?
  public var replays: [Replay]
}

/// Sums: `acked` and `redeliveries` since the server started, the others since the subscription was made.
public struct SubscriptionCounts: Sendable, Equatable {
  public var acked = 0
  public var redeliveries = 0
  /// Buried in the dead-letter stream.
  public var deadLetters = 0
  /// Given up without a dead-letter stream.
  public var dropped = 0
  /// Trimmed before they were delivered.
  public var missed = 0
  public init() {}
}

public struct ConsumerInfo: Sendable, Equatable {
  public var name: String
  public var kind: ConsumerOptions.Kind
  public var inFlight: Int
  /// Waits for records now.
  public var isWaiting: Bool
  public var share: Int?
  public var since: Timestamp
  public var lastSeen: Timestamp
}

public struct MessageInFlight: Sendable {
  public var ackID: AckID
  public var shard: Int
  public var offset: Offset
  public var delivery: Int
  public var consumer: String
  public var deadline: Timestamp?
}

public struct DeadLetter: Sendable, Equatable {
  /// Its place in the list: 0 is the first that was ever given up.
  public var number: Int
  public var shard: Int
  public var offset: Offset
  public var deliveries: Int
  public var reason: String
  public var at: Timestamp
  /// False: there was no dead-letter stream, and it was dropped.
  public var isBuried: Bool
  /// Where it stands in the dead-letter stream, if that is known.
  public var place: Place?
  public struct Place: Sendable, Equatable {
    public var shard: Int
    public var offset: Offset
  }
}

/// A page of a list, and what to ask the next one with; nil at the end.
public struct ListPage<Item: Sendable, Place: Sendable>: Sendable {
  public var items: [Item]
  public var next: Place?
}

/// Where a subscription goes on from.
public enum SeekTarget: Sendable, Equatable {
  case earliest
  case tail
  case time(Timestamp)
  /// Of the shards named; the others stay where they are.
  case offsets([Int: Offset])
}

/// Records to be delivered again beside whatever goes on.
public struct ReplayRequest: Sendable, Equatable {
  public enum Only: String, Sendable { case all, failed }
  public var from: SeekTarget
  /// Exclusive.
  public var to: SeekTarget
  public var only: Only
  public init(from: SeekTarget, to: SeekTarget, only: Only) {
    self.from = from
    self.to = to
    self.only = only
  }
}
