// A subscription as it stands in the catalog: what it is meant to be, its journal, and where its owner sits.
import Wire

/// Immutable; a change makes a new one that shares the journal and the seat.
public final class Subscription: Sendable {
  public let name: String
  public let spec: SubscriptionSpec
  public let createdAt: Timestamp
  /// Of its catalog entry: the ETag.
  public let revision: Revision
  /// A shard of its own, of no stream: what was acknowledged. It goes with the subscription.
  public let journal: Shard
  /// Where its owner sits once somebody uses it.
  let seat: SubscriptionSeat

  /// - Parameter seat: of the same subscription before a change; nil for one that is new here.
  init(
    name: String, spec: SubscriptionSpec, createdAt: Timestamp, revision: Revision, journal: Shard,
    seat: SubscriptionSeat?
  ) {
    self.name = name
    self.spec = spec
    self.createdAt = createdAt
    self.revision = revision
    self.journal = journal
    self.seat = seat ?? SubscriptionSeat(on: journal.executor)
  }

  /// Differs from every other subscription that had or will have this name.
  public var incarnation: UInt64 { journal.id.rawValue }
  public var version: EntryVersion {
    EntryVersion(incarnation: incarnation, revision: revision)
  }
}
