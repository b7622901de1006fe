// What the metadata store holds of the catalog: loaded once at start, before the log is opened.
import Wire

/// Why the catalog could not be read.
public enum CatalogDamage: Error, Sendable {
  case store(MetaError)
  /// A document that this version cannot read.
  case document(key: String, reason: String)
}

/// What a shard belongs to, by the names that clients use.
public enum ShardName: Sendable, Equatable {
  case shard(stream: String, index: Int)
  case journal(subscription: String)

  public var stream: String? { if case .shard(let stream, _) = self { stream } else { nil } }
  public var index: Int? { if case .shard(_, let index) = self { index } else { nil } }
  public var subscription: String? { if case .journal(let name) = self { name } else { nil } }
}

public struct CatalogContents: Sendable {
  var streams: [(document: StreamDocument, revision: Revision)] = []
  var subscriptions: [(document: SubscriptionDocument, revision: Revision)] = []
  var shardIDs = ShardIDBlock()

  /// Reads every document. Blocks.
  public static func load(_ meta: any MetaStore) throws(CatalogDamage) -> CatalogContents {
    try load { bucket throws(MetaError) in try meta.list(bucket) }
  }

  static func load(
    _ list: (String) throws(MetaError) -> [MetaRecord]
  ) throws(CatalogDamage) -> CatalogContents {
    var contents = CatalogContents()
    contents.streams = try documents(list)
    contents.subscriptions = try documents(list)
    let counters: [MetaRecord]
    do {
      counters = try list(ShardIDBlock.bucket)
    } catch {
      throw .store(error)
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

  private static func documents<Document: DirectoryDocument>(
    _ list: (String) throws(MetaError) -> [MetaRecord]
  ) throws(CatalogDamage) -> [(document: Document, revision: Revision)] {
    let records: [MetaRecord]
    do {
      records = try list(Document.bucket)
    } catch {
      throw .store(error)
    }
    var documents: [(Document, Revision)] = []
    documents.reserveCapacity(records.count)
    for record in records {
      documents.append(
        (try Document(name: record.key, decoding: record.value), record.revision))
    }
    return documents
  }

  /// The shards of streams and the journals of subscriptions; the log may drop all others.
  public var liveShards: Set<ShardID> {
    Set(streams.flatMap(\.document.shards)).union(subscriptions.map(\.document.journal))
  }

  /// No shard with this ID or above it was ever given out.
  public var shardsBelow: ShardID { ShardID(shardIDs.end) }

  /// What each shard belongs to.
  public var shardNames: [ShardID: ShardName] {
    var names: [ShardID: ShardName] = [:]
    for (name, shards, _) in summaries {
      for (index, id) in shards.enumerated() { names[id] = .shard(stream: name, index: index) }
    }
    for (name, journal, _) in subscriptionSummaries {
      names[journal] = .journal(subscription: name)
    }
    return names
  }

  /// Name, shards and settings of each stream, for tools that only look.
  public var summaries: [(name: String, shards: [ShardID], spec: StreamSpec)] {
    streams.map { ($0.document.name, $0.document.shards, $0.document.spec) }
  }

  /// Name, journal and stream of each subscription, for tools that only look.
  public var subscriptionSummaries: [(name: String, journal: ShardID, stream: String)] {
    subscriptions.map { ($0.document.name, $0.document.journal, $0.document.spec.stream) }
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
