// The words between a subscription and those who consume from it.
import Wire

/// A consumer that is pushed to.
public struct ConsumerOptions: Sendable {
  public enum Kind: String, Sendable { case pull, sse, webhook }
  /// A webhook's batches: each is settled as a whole, and its membership is stored before it is delivered.
  public struct Units: Sendable, Equatable {
    public var recordsMax: Int
    /// How long fewer records than that wait for more.
    public var linger: Duration
    public init(recordsMax: Int, linger: Duration) {
      self.recordsMax = recordsMax
      self.linger = linger
    }
  }
  /// Shown in `consumers`; several may share it.
  public var name: String
  public var kind: Kind
  /// Records it may have in flight; nil: a fair share of the subscription's.
  public var share: Int?
  /// Records of one delivery.
  public var recordsMax = 100
  /// Bytes of one delivery, about; one record at least.
  public var bytesMax = 1 << 20
  public var units: Units?
  /// Deliveries it may be given before it first says `credit`; nil: as many as its share allows.
  public var credit: Int?
  public init(name: String, kind: Kind, share: Int? = nil) {
    self.name = name
    self.kind = kind
    self.share = share
  }
}

public enum ConsumerEvent: Sendable {
  case delivery(Delivery)
  /// Nothing follows; what it had in flight is not its own any more.
  case ended(ConsumerEnd)
}

public enum ConsumerEnd: Sendable, Equatable {
  /// The subscription was deleted.
  case deleted
  /// Its stream was deleted.
  case streamReplaced
  /// The engine is stopping.
  case stopping
  /// Its delivery is of another kind by now.
  case wrongDelivery
  /// The subscription cannot go on: its journal is damaged.
  case failed(String)
}

/// A consumer's hold on its subscription. From any thread.
public struct Attachment: Sendable {
  enum Word: Sendable {
    case credit(Int?)
    case settle(
      LeaseID, UnitVerdict, reply: @Sendable (Result<SettleStatus, SubscriptionError>) -> Void)
    case close
  }
  let say: @Sendable (Word) -> Void

  /// From now on it is given up to `deliveries`, and then nothing until told again; nil: as many as its share allows.
  /// A connection with much unsent output says 0, and nil when it is rid of it.
  public func credit(_ deliveries: Int?) { say(.credit(deliveries)) }

  /// Settles everything of one delivery. Replies on the executor that it was attached with, after the commit;
  /// `.stale` if the delivery was no longer its own.
  public func settle(
    _ lease: LeaseID, _ verdict: UnitVerdict,
    reply: @escaping @Sendable (Result<SettleStatus, SubscriptionError>) -> Void = { _ in }
  ) {
    say(.settle(lease, verdict, reply: reply))
  }

  /// Leaves; what it has in flight goes to others at once. A delivery on its way may still come.
  public func close() { say(.close) }
}

/// A pull that may still be waiting. From any thread.
public struct PullTicket: Sendable {
  let abandon: @Sendable () -> Void
  /// The client went away: there is no reply any more, and what was leased for it is given back. Nothing after the
  /// reply: then `Engine.giveBack` is what gives back.
  public func cancel() { abandon() }
}
