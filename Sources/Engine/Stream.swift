// Streams and shards as the rest of the house sees them: immutable descriptions with a few live numbers.
import Synchronization
import Wire

/// What a stream is meant to be.
public struct StreamSpec: Sendable, Equatable {
  public var shardCount: Int
  public var retention: Retention
  public var labels: [String: String]
  public init(
    shardCount: Int = 1, retention: Retention = Retention(age: .seconds(7 * 86_400), bytes: nil),
    labels: [String: String] = [:]
  ) {
    self.shardCount = shardCount
    self.retention = retention
    self.labels = labels
  }
}

/// A field of a request that may be left out. `.set(nil)` is an explicit null.
public enum Field<Value: Sendable & Equatable>: Sendable, Equatable {
  case absent
  case set(Value)
}

extension Field {
  /// Puts the value that is set in `value`'s place.
  func patch(_ value: inout Value) {
    if case .set(let wanted) = self { value = wanted }
  }
}

/// The fields of a request that something has otherwise, by their names in requests.
struct FieldDifferences {
  var names: [String] = []

  mutating func compare<Value>(_ field: Field<Value>, with value: Value, _ name: String) {
    if case .set(let wanted) = field, wanted != value { names.append(name) }
  }
}

/// The fields of a stream that a request names. PUT compares or creates with them, PATCH changes by them.
public struct StreamFields: Sendable, Equatable {
  public var shardCount: Field<Int> = .absent
  public var retentionAge: Field<Duration?> = .absent
  public var retentionBytes: Field<Int?> = .absent
  /// PUT: the labels. PATCH: only those to change, nil to remove.
  public var labels: Field<[String: String?]> = .absent
  public init() {}
}

/// A stream as it stands in the catalog; a change makes a new one that shares the shards.
public final class Stream: Sendable {
  public let name: String
  /// Differs from every other stream that had or will have this name.
  public let incarnation: UInt64
  public let spec: StreamSpec
  public let createdAt: Timestamp
  /// Of its catalog entry: the ETag.
  public let revision: Revision
  public let shards: [Shard]

  public init(
    name: String, incarnation: UInt64, spec: StreamSpec, createdAt: Timestamp, revision: Revision,
    shards: [Shard]
  ) {
    self.name = name
    self.incarnation = incarnation
    self.spec = spec
    self.createdAt = createdAt
    self.revision = revision
    self.shards = shards
  }

  public var version: EntryVersion {
    EntryVersion(incarnation: incarnation, revision: revision)
  }

  /// The shard of a record with this key hash: the hash space is cut into equal ranges.
  public func shard(forKeyHash hash: UInt64) -> Shard {
    shards[Int(hash.multipliedFullWidth(by: UInt64(shards.count)).high)]
  }
}

/// A shard's handle: who it is, and its numbers as last published by its owner.
public final class Shard: Sendable {
  public let id: ShardID
  /// Its place in its stream, from 0.
  public let index: Int
  public let shardCount: Int
  /// Where everything about it happens.
  public let executor: any Executor

  private let tailNow: Atomic<UInt64>
  private let earliestNow: Atomic<UInt64>
  private let bytesNow: Atomic<Int>
  private let removedNow = Atomic<Bool>(false)
  /// Holds the owner once something is asked of it.
  let seat: Confined<Seat>

  /// Where a shard's owner sits, and who keeps the idempotency keys that are at home here.
  final class Seat {
    var owner: ShardOwner?
    var keys: KeyDesk?
  }

  init(id: ShardID, index: Int, shardCount: Int, executor: any Executor, summary: ShardSummary) {
    self.id = id
    self.index = index
    self.shardCount = shardCount
    self.executor = executor
    tailNow = Atomic(summary.tail.rawValue)
    earliestNow = Atomic(summary.earliest.rawValue)
    bytesNow = Atomic(summary.bytes)
    seat = Confined(Seat(), to: executor)
  }

  /// One past the last durable record.
  public var tail: Offset { Offset(tailNow.load(ordering: .acquiring)) }
  /// The first record kept.
  public var earliest: Offset { Offset(earliestNow.load(ordering: .acquiring)) }
  public var bytes: Int { bytesNow.load(ordering: .relaxed) }
  /// True once its stream was deleted.
  public var isRemoved: Bool { removedNow.load(ordering: .acquiring) }

  /// The key hashes that belong here, both ends included.
  public var keyRange: ClosedRange<UInt64> {
    let count = UInt64(shardCount)
    func start(_ index: UInt64) -> UInt64 {
      // The least hash with hash · count >> 64 == index.
      let (quotient, remainder) = count.dividingFullWidth((index, 0))
      return remainder == 0 ? quotient : quotient + 1
    }
    let first = index == 0 ? 0 : start(UInt64(index))
    let last = index == shardCount - 1 ? UInt64.max : start(UInt64(index) + 1) - 1
    return first...last
  }

  func publish(tail: Offset, addingBytes bytes: Int) {
    bytesNow.wrappingAdd(bytes, ordering: .relaxed)
    tailNow.store(tail.rawValue, ordering: .releasing)
  }
  func publish(earliest: Offset, bytes: Int) {
    bytesNow.store(bytes, ordering: .relaxed)
    earliestNow.store(earliest.rawValue, ordering: .releasing)
  }
  func publishRemoved() { removedNow.store(true, ordering: .releasing) }
}
