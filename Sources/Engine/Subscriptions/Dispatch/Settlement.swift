// What consumers say of the records that they were given.
import Wire

/// One request's words on deliveries. Answers come in the order ack, nak, extend, term.
public struct Settlement: Sendable, Equatable {
  public struct Nak: Sendable, Equatable {
    public var id: AckID
    /// In place of the subscription's back-off.
    public var delay: Duration?
    public init(_ id: AckID, delay: Duration? = nil) {
      self.id = id
      self.delay = delay
    }
  }
  public struct Extension: Sendable, Equatable {
    public var id: AckID
    /// From now, in place of what was left.
    public var by: Duration
    public init(_ id: AckID, by: Duration) {
      self.id = id
      self.by = by
    }
  }
  public struct Term: Sendable, Equatable {
    public var id: AckID
    public var reason: String
    public init(_ id: AckID, reason: String) {
      self.id = id
      self.reason = reason
    }
  }

  /// Done: never again.
  public var ack: [AckID]
  /// Not done: again, after `delay`.
  public var nak: [Nak]
  /// Still at it.
  public var extend: [Extension]
  /// Not to be done at all: to the dead letters at once.
  public var term: [Term]

  public init(
    ack: [AckID] = [], nak: [Nak] = [], extend: [Extension] = [], term: [Term] = []
  ) {
    self.ack = ack
    self.nak = nak
    self.extend = extend
    self.term = term
  }

  public var count: Int { ack.count + nak.count + extend.count + term.count }
}

public enum SettleStatus: String, Sendable {
  /// For ack and term only once what the request changed is durable.
  case ok
  /// That delivery is over: settled before, lost at its deadline, or of an owner that is no more.
  case stale
}

/// What became of one lease as a whole.
public enum UnitVerdict: Sendable, Equatable {
  case delivered
  /// Again as it is. One that does not count leaves delivery and failure numbers as if it had not been tried.
  case retry(after: Duration, countsAsFailure: Bool)
  /// No more tries: to the dead letters; a unit of several records is split first, and its records tried one by one.
  case exhausted(reason: String)
  /// From now on each record by itself, at once, its delivery and failure numbers those of the unit.
  case split
}
