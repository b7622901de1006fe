// The other seam below the Engine: a small, durable map of documents changed by compare-and-set.
//
// Streams and subscriptions, later tokens and connectors, are documents in it. Embedded it is SQLite; in a cluster a
// JetStream key-value bucket. So it promises no more than the weaker: one key changes at a time, against its revision.
import Wire

/// Counts the changes of one key; grows with each.
public struct Revision: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  public var description: String { String(rawValue) }
}

public struct MetaRecord: Sendable, Equatable {
  public var key: String
  public var value: [UInt8]
  public var revision: Revision
  public init(key: String, value: [UInt8], revision: Revision) {
    self.key = key
    self.value = value
    self.revision = revision
  }
}

/// What must hold for a change to be made.
public enum MetaCondition: Sendable, Equatable {
  case absent
  case at(Revision)
  case always
}

public enum MetaError: Error, Sendable, Equatable {
  /// The condition did not hold; nothing changed. The revision there is, or nil if the key is absent.
  case conflict(Revision?)
  /// Nothing changed.
  case failed(String)
  /// Nobody knows whether it changed.
  case undecided(String)
}

extension MetaError: CustomStringConvertible {
  /// For people.
  public var description: String {
    switch self {
    case .conflict: "somebody else changed it meanwhile"
    case .failed(let reason), .undecided(let reason): reason
    }
  }
}

public protocol MetaStore: AnyObject, Sendable {
  /// Every entry of `bucket`, by key. Blocks; for use at start.
  func list(_ bucket: String) throws(MetaError) -> [MetaRecord]

  /// What `key` holds, or nil; durable when it replies, on `executor`: changes of it that were undecided before are
  /// decided from then on.
  func get(
    _ bucket: String, _ key: String, on executor: any Executor,
    reply: @escaping @Sendable (Result<MetaRecord?, MetaError>) -> Void)

  /// Sets `key` if `condition` holds; durable when it replies, on `executor`. Many calls in flight share a sync.
  func put(
    _ bucket: String, _ key: String, _ value: [UInt8], if condition: MetaCondition,
    on executor: any Executor,
    reply: @escaping @Sendable (Result<Revision, MetaError>) -> Void)

  /// Removes `key` if `condition` holds; durable when it replies, on `executor`.
  func delete(
    _ bucket: String, _ key: String, if condition: MetaCondition, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, MetaError>) -> Void)

  /// Finishes what is queued. Replies on any executor.
  func close(reply: @escaping @Sendable () -> Void)
}
