// The catalog: streams and subscriptions, and what one may not do while the other needs it.
import Wire

/// What the catalog needs to make handles for shards.
struct ShardMaker: Sendable {
  let log: any LogStore

  func shards(_ ids: [ShardID]) -> [Shard] {
    let recovered = log.recovered
    let empty = ShardSummary(earliest: .zero, tail: .zero, bytes: 0)
    return ids.enumerated().map { index, id in
      Shard(
        id: id, index: index, shardCount: ids.count, executor: log.executor(of: id),
        summary: recovered[id] ?? empty)
    }
  }
}

public struct CatalogLimits: Sendable {
  public var streamsMax = 100_000
  public var shardsMax = 200_000
  public var shardsPerStreamMax = 1024
  public var subscriptionsMax = 100_000
  public init() {}
}

final class Catalog: Sendable {
  typealias Reply<Value> = @Sendable (Result<Value, CatalogError>) -> Void

  let streams: Directory<Stream>
  let subscriptions: Directory<Subscription>
  let ledger = CatalogLedger()
  let shardIDs: ShardIDs
  let time: any TimeSource
  let limits: CatalogLimits

  /// - Parameters:
  ///   - streamRemoved: called with each stream that is no more.
  ///   - subscriptionChanged: called with each change of a subscription, those of one name in order.
  init(
    _ contents: CatalogContents, meta: any MetaStore, maker: ShardMaker, time: any TimeSource,
    limits: CatalogLimits, streamRemoved: @escaping @Sendable (Stream) -> Void,
    subscriptionChanged: @escaping Directory<Subscription>.Watcher
  ) {
    self.time = time
    self.limits = limits
    shardIDs = ShardIDs(contents.shardIDs, meta: meta)
    let ledger = ledger
    streams = Directory(
      contents.streams, meta: meta,
      make: { document, revision, before in
        document.stream(
          revision: revision, shards: before?.shards ?? maker.shards(document.shards))
      },
      changed: { before, now in
        ledger.replace(before, with: now)
        if let before, now == nil { streamRemoved(before) }
      })
    subscriptions = Directory(
      contents.subscriptions, meta: meta,
      make: { document, revision, before in
        document.subscription(
          revision: revision, journal: before?.journal ?? maker.shards([document.journal])[0],
          seat: before?.seat)
      },
      changed: { before, now in
        ledger.replace(before, with: now)
        subscriptionChanged(before, now)
      })
    for stream in streams.entries(prefix: "", after: nil, limit: .max) {
      ledger.replace(nil, with: stream)
    }
    for subscription in subscriptions.entries(prefix: "", after: nil, limit: .max) {
      ledger.replace(nil, with: subscription)
    }
  }

  /// No change is begun from now on.
  func stop() {
    streams.stop()
    subscriptions.stop()
    shardIDs.stop()
  }
}

// MARK: Streams

extension Catalog {
  func ensureStream(
    _ name: String, _ fields: StreamFields, createOnly: Bool, on executor: any Executor,
    reply: @escaping Reply<Directory<Stream>.Ensured>
  ) {
    streams.ensure(
      name, createOnly: createOnly, on: executor,
      differences: { fields.differences(from: $0.spec) },
      draft: { [self] reply in draft(name, fields.spec, on: executor, reply: reply) },
      reply: reply)
  }

  private func draft(
    _ name: String, _ spec: StreamSpec, on executor: any Executor,
    reply: @escaping Reply<StreamDocument>
  ) {
    if spec.shardCount > limits.shardsPerStreamMax {
      return reply(
        .failure(.limit("a stream has at most \(limits.shardsPerStreamMax) shards")))
    }
    if streams.count >= limits.streamsMax {
      return reply(.failure(.limit("this node holds at most \(limits.streamsMax) streams")))
    }
    if ledger.shardCount + spec.shardCount > limits.shardsMax {
      return reply(.failure(.limit("this node holds at most \(limits.shardsMax) shards")))
    }
    shardIDs.take(spec.shardCount, on: executor) { [time] taken in
      reply(
        taken.map { ids in
          StreamDocument(name: name, spec: spec, createdAt: time.now, shards: ids)
        })
    }
  }

  func changeStream(
    _ name: String, _ fields: StreamFields, ifRevision: Revision?, on executor: any Executor,
    reply: @escaping Reply<Stream>
  ) {
    streams.change(
      name, ifRevision: ifRevision, on: executor,
      edit: { stream, reply in
        if case .set(let count) = fields.shardCount, count != stream.spec.shardCount {
          return reply(.failure(.fixed(field: "shards")))
        }
        var document = stream.document
        fields.patch(&document.spec)
        reply(.success(document))
      },
      reply: reply)
  }

  /// - Parameter force: even while subscriptions use it; those that read from it are replaced from then on.
  func deleteStream(
    _ name: String, ifRevision: Revision?, force: Bool, on executor: any Executor,
    reply: @escaping Reply<Void>
  ) {
    streams.delete(
      name, ifRevision: ifRevision, on: executor,
      allow: { [self] stream throws(CatalogError) in
        let users = force ? [] : users(of: stream)
        guard users.isEmpty else {
          throw .inUse(Array(users.prefix(Self.usersShownMax)), count: users.count)
        }
      },
      reply: reply)
  }

  private static let usersShownMax = 10

  /// The subscriptions that read from this very stream or bury into one of its name, or are about to.
  private func users(of stream: Stream) -> [String] {
    let names = ledger.users(of: stream.name, prefix: "", after: nil, limit: .max)
    let users = names.filter { name in
      guard let spec = subscriptions.entry(named: name)?.spec else { return false }
      return spec.deadLetter == stream.name
        || (spec.stream == stream.name && spec.streamIncarnation == stream.incarnation)
    }
    return users + Set(ledger.claims(on: stream.name)).subtracting(users).sorted()
  }
}
