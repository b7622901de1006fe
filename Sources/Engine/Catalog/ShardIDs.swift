// The numbers of shards: each given once and never again, whatever it was for.
import Synchronization
import Wire

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

/// Gives shard IDs to whatever the catalog makes: the shards of streams, the journals of subscriptions.
final class ShardIDs: Sendable {
  typealias Reply = @Sendable (Result<[ShardID], CatalogError>) -> Void
  private struct State {
    var block: ShardIDBlock
    /// The metadata store may hold another number than is known here.
    var isDoubtful = false
  }

  private let state: Mutex<State>
  private let turns = NameTurns()
  private let meta: any MetaStore

  init(_ block: ShardIDBlock, meta: any MetaStore) {
    state = Mutex(State(block: block))
    self.meta = meta
  }

  func stop() { turns.stop() }

  /// Gives `count` IDs that nobody had, reserving a further block in the metadata store when they run out.
  func take(_ count: Int, on executor: any Executor, reply: @escaping Reply) {
    let isTaken = turns.take("") { [self] done in
      ready(on: executor) { [self] ready in
        if case .failure(let error) = ready {
          done()
          return reply(.failure(error))
        }
        if let taken = state.withLock({ $0.block.take(count) }) {
          done()
          return reply(.success(taken))
        }
        reserve(count, on: executor) { outcome in
          done()
          reply(outcome)
        }
      }
    }
    if !isTaken { reply(.failure(.stopping)) }
  }

  private func reserve(_ count: Int, on executor: any Executor, reply: @escaping Reply) {
    let block = state.withLock { $0.block }
    let larger = block.grown(by: count)
    meta.put(
      ShardIDBlock.bucket, ShardIDBlock.key, larger.encoded,
      if: block.revision.map { .at($0) } ?? .absent, on: executor
    ) { [self] result in
      if case .failure(let error) = result, error.leavesDoubt {
        state.withLock { $0.isDoubtful = true }
      }
      reply(
        result.mapError(CatalogError.init).map { revision in
          state.withLock { state in
            state.block = larger
            state.block.revision = revision
            return state.block.take(count)!
          }
        })
    }
  }

  /// Learns what the store holds, if that is in doubt.
  private func ready(
    on executor: any Executor, then: @escaping @Sendable (Result<Void, CatalogError>) -> Void
  ) {
    guard state.withLock({ $0.isDoubtful }) else { return then(.success(())) }
    meta.get(ShardIDBlock.bucket, ShardIDBlock.key, on: executor) { [self] result in
      switch result {
      case .failure(let error): then(.failure(.unreadable(error)))
      case .success(let record):
        let stored = record.map(ShardIDBlock.init(reserved:)) ?? ShardIDBlock()
        guard let stored else {
          return then(
            .failure(.unreadable(.failed("the counter of shards is not a number"))))
        }
        state.withLock { $0 = State(block: stored) }
        then(.success(()))
      }
    }
  }
}
