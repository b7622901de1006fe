// The catalog: every stream of the node in memory, each a document of the metadata store.
//
// Lookups take a lock for tens of nanoseconds from any thread. Changes of one name happen one after another; each is
// made in the metadata store by compare-and-set first, and seen here once it is durable.
import Synchronization
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
  public init() {}
}

final class Catalog: Sendable {
  typealias Reply<Value> = @Sendable (Result<Value, CatalogError>) -> Void
  /// A change of one name; calls its argument when it is over.
  private typealias Operation = @Sendable (_ done: @escaping @Sendable () -> Void) -> Void

  private struct State {
    var streams: [String: Stream] = [:]
    /// In order, for listing.
    var names: [String] = []
    var shardCount = 0
    /// Names with a change under way, and the changes that wait behind it.
    var busy: [String: [Operation]] = [:]
    var shardIDs: ShardIDBlock
    var isStopping = false
    /// Names of which the metadata store may say something else than is known here.
    var doubtful: Set<String> = []
  }

  private let state: Mutex<State>
  private let meta: any MetaStore
  private let maker: ShardMaker
  private let time: any TimeSource
  private let limits: CatalogLimits
  /// Called with each stream that is no more.
  private let removed: @Sendable (Stream) -> Void

  init(
    _ contents: CatalogContents, meta: any MetaStore, maker: ShardMaker, time: any TimeSource,
    limits: CatalogLimits, removed: @escaping @Sendable (Stream) -> Void
  ) {
    self.removed = removed
    self.meta = meta
    self.maker = maker
    self.time = time
    self.limits = limits
    var initial = State(shardIDs: contents.shardIDs)
    for (document, revision) in contents.streams {
      let stream = document.stream(revision: revision, shards: maker.shards(document.shards))
      initial.streams[stream.name] = stream
      initial.shardCount += stream.shards.count
    }
    initial.names = initial.streams.keys.sorted()
    state = Mutex(initial)
  }

  // MARK: Looking up

  func stream(named name: String) -> Stream? {
    state.withLock { $0.streams[name] }
  }

  func streams(prefix: String, after: String?, limit: Int) -> [Stream] {
    state.withLock { state in
      let from = max(prefix, after ?? "")
      var index = state.names.partitionPoint { $0 < from }
      var found: [Stream] = []
      while index < state.names.count, found.count < limit, state.names[index].hasPrefix(prefix) {
        let name = state.names[index]
        if name != after { found.append(state.streams[name]!) }
        index += 1
      }
      return found
    }
  }

  var counts: (streams: Int, shards: Int) {
    state.withLock { ($0.streams.count, $0.shardCount) }
  }

  /// No change is begun from now on.
  func stop() { state.withLock { $0.isStopping = true } }

  // MARK: Changing

  func ensure(
    _ name: String, _ fields: StreamFields, createOnly: Bool, on executor: any Executor,
    reply: @escaping Reply<Engine.EnsureOutcome>
  ) {
    perform(on: name, executor, reply: reply) { [self] done in
      if let stream = stream(named: name) {
        done()
        if createOnly { return reply(.failure(.alreadyExists(stream))) }
        let different = fields.differences(from: stream.spec)
        return different.isEmpty
          ? reply(.success(.exists(stream)))
          : reply(.failure(.existsDifferently(stream, fields: different)))
      }
      create(name, fields.spec, on: executor) { result in
        done()
        reply(result.map { .created($0) })
      }
    }
  }

  private func create(
    _ name: String, _ spec: StreamSpec, on executor: any Executor, reply: @escaping Reply<Stream>
  ) {
    let over: String? = state.withLock { state in
      if spec.shardCount > limits.shardsPerStreamMax {
        return "a stream has at most \(limits.shardsPerStreamMax) shards"
      }
      if state.streams.count >= limits.streamsMax {
        return "this node holds at most \(limits.streamsMax) streams"
      }
      if state.shardCount + spec.shardCount > limits.shardsMax {
        return "this node holds at most \(limits.shardsMax) shards"
      }
      return nil
    }
    if let over { return reply(.failure(.limit(over))) }
    takeShardIDs(spec.shardCount, on: executor) { [self] taken in
      switch taken {
      case .failure(let error): reply(.failure(error))
      case .success(let ids):
        let document = StreamDocument(
          name: name, spec: spec, createdAt: time.now, shards: ids)
        meta.put(
          StreamDocument.bucket, name, document.encoded, if: .absent, on: executor
        ) { [self] result in
          guard case .success(let revision) = result else {
            return settle(name, result, on: executor, reply: reply) { now in
              now?.incarnation == document.incarnation ? now : nil
            }
          }
          let stream = document.stream(
            revision: revision, shards: maker.shards(document.shards))
          insert(stream)
          reply(.success(stream))
        }
      }
    }
  }

  private func insert(_ stream: Stream) {
    state.withLock { state in
      let place = state.names.partitionPoint { $0 < stream.name }
      state.names.insert(stream.name, at: place)
      state.streams[stream.name] = stream
      state.shardCount += stream.shards.count
    }
  }

  func change(
    _ name: String, _ fields: StreamFields, ifRevision: Revision?, on executor: any Executor,
    reply: @escaping Reply<Stream>
  ) {
    perform(on: name, executor, reply: reply) { [self] done in
      let stream: Stream
      do throws(CatalogError) {
        stream = try find(name, ifRevision: ifRevision)
      } catch {
        done()
        return reply(.failure(error))
      }
      if case .set(let count) = fields.shardCount, count != stream.spec.shardCount {
        done()
        return reply(.failure(.fixed(field: "shards")))
      }
      var document = StreamDocument(
        name: name, spec: stream.spec, createdAt: stream.createdAt,
        shards: stream.shards.map(\.id))
      fields.patch(&document.spec)
      guard document.spec != stream.spec else {
        done()
        return reply(.success(stream))
      }
      let changed = document
      meta.put(
        StreamDocument.bucket, name, changed.encoded, if: .at(stream.revision), on: executor
      ) { [self] result in
        let finish: Reply<Stream> = { outcome in
          done()
          reply(outcome)
        }
        guard case .success(let revision) = result else {
          return settle(name, result, on: executor, reply: finish) { now in
            now?.incarnation == stream.incarnation && now?.spec == changed.spec ? now : nil
          }
        }
        let stream = changed.stream(revision: revision, shards: stream.shards)
        state.withLock { $0.streams[name] = stream }
        finish(.success(stream))
      }
    }
  }

  private func find(_ name: String, ifRevision: Revision?) throws(CatalogError) -> Stream {
    guard let stream = stream(named: name) else { throw .notFound }
    if let ifRevision, ifRevision != stream.revision { throw .revisionMismatch(stream) }
    return stream
  }

  func delete(
    _ name: String, ifRevision: Revision?, on executor: any Executor, reply: @escaping Reply<Void>
  ) {
    perform(on: name, executor, reply: reply) { [self] done in
      let stream: Stream
      do throws(CatalogError) {
        stream = try find(name, ifRevision: ifRevision)
      } catch {
        done()
        return reply(.failure(error))
      }
      meta.delete(
        StreamDocument.bucket, name, if: .at(stream.revision), on: executor
      ) { [self] result in
        let finish: Reply<Void> = { outcome in
          done()
          reply(outcome)
        }
        guard case .success = result else {
          return settle(name, result, on: executor, reply: finish) { now in
            now?.incarnation == stream.incarnation ? nil : ()
          }
        }
        remove(stream)
        finish(.success(()))
      }
    }
  }

  private func remove(_ stream: Stream) {
    state.withLock { state in
      let place = state.names.partitionPoint { $0 < stream.name }
      state.names.remove(at: place)
      state.streams[stream.name] = nil
      state.shardCount -= stream.shards.count
    }
    removed(stream)
  }

  // MARK: One change of a name at a time

  private enum Turn { case now, later, never }

  private func perform<Value>(
    on name: String, _ executor: any Executor, reply: @escaping Reply<Value>,
    _ body: @escaping Operation
  ) {
    let operation: Operation = { [self] done in
      guard state.withLock({ $0.doubtful.contains(name) }) else { return body(done) }
      learn(name, on: executor) { learned in
        guard case .failure(let error) = learned else { return body(done) }
        done()
        reply(.failure(.failed("the catalog cannot be read: \(error)", applied: .no)))
      }
    }
    let turn: Turn = state.withLock { state in
      if state.isStopping { return .never }
      if state.busy[name] != nil {
        state.busy[name]!.append(operation)
        return .later
      }
      state.busy[name] = []
      return .now
    }
    switch turn {
    case .now: run(operation, on: name)
    case .later: break
    case .never: reply(.failure(.stopping))
    }
  }

  private func run(_ operation: @escaping Operation, on name: String) {
    operation { [self] in
      let next: Operation? = state.withLock { state in
        guard let waiting = state.busy[name], !waiting.isEmpty else {
          state.busy[name] = nil
          return nil
        }
        return state.busy[name]!.removeFirst()
      }
      if let next { run(next, on: name) }
    }
  }

  /// Gives `count` shard IDs that nobody had, reserving a further block in the metadata store when they run out.
  private func takeShardIDs(
    _ count: Int, on executor: any Executor, reply: @escaping Reply<[ShardID]>
  ) {
    // No stream has the empty name: it stands for the counter.
    perform(on: "", executor, reply: reply) { [self] done in
      let (taken, block) = state.withLock { ($0.shardIDs.take(count), $0.shardIDs) }
      if let taken {
        done()
        return reply(.success(taken))
      }
      let larger = block.grown(by: count)
      meta.put(
        ShardIDBlock.bucket, ShardIDBlock.key, larger.encoded,
        if: block.revision.map { .at($0) } ?? .absent, on: executor
      ) { [self] result in
        if case .failure(let error) = result, error.leavesDoubt {
          state.withLock { _ = $0.doubtful.insert("") }
        }
        let outcome = result.mapError(CatalogError.init).map { revision in
          state.withLock { state in
            state.shardIDs = larger
            state.shardIDs.revision = revision
            return state.shardIDs.take(count)!
          }
        }
        done()
        reply(outcome)
      }
    }
  }
}

// MARK: What the metadata store has to say

extension Catalog {
  /// After a change that failed: if nobody knows what the store holds now, it is asked, so that the name does not stay
  /// behind a revision that is no more, and so that the answer is as certain as it can be.
  /// - Parameter done: what the change was to bring about, if the stream as it is now shows that it did.
  private func settle<Value, Change>(
    _ name: String, _ failed: Result<Change, MetaError>, on executor: any Executor,
    reply: @escaping Reply<Value>, done: @escaping @Sendable (Stream?) -> Value?
  ) {
    guard case .failure(let error) = failed else { preconditionFailure("nothing is to settle") }
    guard error.leavesDoubt else { return reply(.failure(CatalogError(error))) }
    state.withLock { _ = $0.doubtful.insert(name) }
    learn(name, on: executor) { [self] learned in
      guard case .success = learned else { return reply(.failure(CatalogError(error))) }
      guard case .undecided(let reason) = error else {
        return reply(.failure(CatalogError(error)))
      }
      if let value = done(stream(named: name)) { return reply(.success(value)) }
      reply(.failure(.failed(reason, applied: .no)))
    }
  }

  /// Takes over what the metadata store holds of `name`.
  private func learn(
    _ name: String, on executor: any Executor,
    then: @escaping @Sendable (Result<Void, MetaError>) -> Void
  ) {
    let (bucket, key) =
      name.isEmpty ? (ShardIDBlock.bucket, ShardIDBlock.key) : (StreamDocument.bucket, name)
    meta.get(bucket, key, on: executor) { [self] result in
      do throws(MetaError) {
        let record = try result.get()
        if name.isEmpty { try adoptBlock(record) } else { try adopt(name, record) }
      } catch {
        return then(.failure(error))
      }
      state.withLock { _ = $0.doubtful.remove(name) }
      then(.success(()))
    }
  }

  private func adoptBlock(_ record: MetaRecord?) throws(MetaError) {
    var block = ShardIDBlock()
    if let record {
      guard let reserved = ShardIDBlock(reserved: record) else {
        throw .failed("the counter of shards is not a number")
      }
      block = reserved
    }
    let adopted = block
    state.withLock { $0.shardIDs = adopted }
  }

  private func adopt(_ name: String, _ record: MetaRecord?) throws(MetaError) {
    let known = stream(named: name)
    guard let record else {
      if let known { remove(known) }
      return
    }
    let document: StreamDocument
    do {
      document = try StreamDocument(name: name, decoding: record.value)
    } catch {
      throw .failed("\(error)")
    }
    if let known, known.incarnation == document.incarnation {
      let stream = document.stream(revision: record.revision, shards: known.shards)
      state.withLock { $0.streams[name] = stream }
    } else {
      if let known { remove(known) }
      insert(
        document.stream(revision: record.revision, shards: maker.shards(document.shards)))
    }
  }
}

extension MetaError {
  /// True if what the store holds may be something else than what was known of it.
  fileprivate var leavesDoubt: Bool {
    if case .failed = self { return false }
    return true
  }
}

extension CatalogError {
  init(_ error: MetaError) {
    switch error {
    case .conflict: self = .failed("the catalog was changed by somebody else", applied: .no)
    case .failed(let what): self = .failed(what, applied: .no)
    case .undecided(let what): self = .failed(what, applied: .maybe)
    }
  }
}

extension Array {
  /// The first index whose element is not `before`, in an array where those that are come first.
  func partitionPoint(_ before: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if before(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
