// What the metadata store holds of the catalog: loaded once at start, before the log is opened.
import Wire

/// Why the catalog could not be read.
public enum CatalogDamage: Error, Sendable {
  case store(MetaError)
  /// A document that this version cannot read.
  case document(key: String, reason: String)
}

/// A shard as clients call it.
public struct ShardName: Sendable, Equatable {
  public var stream: String
  public var index: Int
}

public struct CatalogContents: Sendable {
  var streams: [(document: StreamDocument, revision: Revision)] = []
  var shardIDs = ShardIDBlock()

  /// Reads every document. Blocks.
  public static func load(_ meta: any MetaStore) throws(CatalogDamage) -> CatalogContents {
    try load { bucket throws(MetaError) in try meta.list(bucket) }
  }

  static func load(
    _ list: (String) throws(MetaError) -> [MetaRecord]
  ) throws(CatalogDamage) -> CatalogContents {
    var contents = CatalogContents()
    let streams: [MetaRecord]
    let counters: [MetaRecord]
    do {
      streams = try list(StreamDocument.bucket)
      counters = try list(ShardIDBlock.bucket)
    } catch {
      throw .store(error)
    }
    for record in streams {
      let document = try StreamDocument(name: record.key, decoding: record.value)
      contents.streams.append((document, record.revision))
    }
    for record in counters {
      guard let value = UInt64(String(decoding: record.value, as: UTF8.self)) else {
        throw .document(key: record.key, reason: "not a number")
      }
      switch record.key {
      case ShardIDBlock.key:
        contents.shardIDs = ShardIDBlock(
          next: value, end: value, revision: record.revision)
      case epochKey: break  // claimed anew, whatever it is
      default: throw .document(key: record.key, reason: "an unknown counter")
      }
    }
    return contents
  }

  /// The shards that a stream owns; the log may drop all others.
  public var liveShards: Set<ShardID> { Set(streams.flatMap(\.document.shards)) }

  /// No shard with this ID or above it was ever given out.
  public var shardsBelow: ShardID { ShardID(shardIDs.end) }

  /// Each shard's stream and place in it.
  public var shardNames: [ShardID: ShardName] {
    var names: [ShardID: ShardName] = [:]
    for (name, shards, _) in summaries {
      for (index, id) in shards.enumerated() { names[id] = ShardName(stream: name, index: index) }
    }
    return names
  }

  /// Name, shards and settings of each stream, for tools that only look.
  public var summaries: [(name: String, shards: [ShardID], spec: StreamSpec)] {
    streams.map { ($0.document.name, $0.document.shards, $0.document.spec) }
  }

  private static let epochKey = "epoch"

  /// Raises the node's epoch above every earlier one, durably. It asks anew what the last one was: recovering the log
  /// takes its time, and another process may have been quicker where no lock keeps it out.
  static func claimEpoch(
    _ meta: any MetaStore, attempts: Int = 5, on executor: any Executor,
    reply: @escaping @Sendable (Result<Epoch, CatalogError>) -> Void
  ) {
    meta.get(ShardIDBlock.bucket, epochKey, on: executor) { result in
      let last: MetaRecord?
      switch result {
      case .success(let record): last = record
      case .failure(let error): return reply(.failure(CatalogError(error)))
      }
      let next = (last.flatMap { UInt64(String(decoding: $0.value, as: UTF8.self)) } ?? 0) + 1
      meta.put(
        ShardIDBlock.bucket, epochKey, Array(String(next).utf8),
        if: last.map { .at($0.revision) } ?? .absent, on: executor
      ) { result in
        if case .failure(.conflict) = result, attempts > 1 {
          return claimEpoch(meta, attempts: attempts - 1, on: executor, reply: reply)
        }
        reply(result.mapError(CatalogError.init).map { _ in Epoch(next) })
      }
    }
  }
}

/// Shard IDs that may be given out: reserved in blocks, so that creating a stream writes one document, not two.
/// What is left of a block when the process ends is never used.
struct ShardIDBlock: Sendable {
  static let bucket = "counters"
  static let key = "next_shard"
  private static let blockSize: UInt64 = 1000

  private(set) var next: UInt64 = 1
  /// Reserved: every ID below it.
  private(set) var end: UInt64 = 1
  var revision: Revision?

  init() {}
  init(next: UInt64, end: UInt64, revision: Revision) {
    self.next = next
    self.end = end
    self.revision = revision
  }

  /// What `record` says was reserved; nil if it says nothing of the kind.
  init?(reserved record: MetaRecord) {
    guard let end = UInt64(String(decoding: record.value, as: UTF8.self)) else { return nil }
    self.init(next: end, end: end, revision: record.revision)
  }

  mutating func take(_ count: Int) -> [ShardID]? {
    guard end - next >= UInt64(count) else { return nil }
    defer { next += UInt64(count) }
    return (0..<UInt64(count)).map { ShardID(next + $0) }
  }

  func grown(by count: Int) -> ShardIDBlock {
    var larger = self
    larger.end += max(Self.blockSize, UInt64(count))
    return larger
  }

  var encoded: [UInt8] { Array(String(end).utf8) }
}
