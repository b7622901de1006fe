// A metadata store in memory whose next changes a test can hold back, make fail, or leave undecided.
import Engine
import Synchronization
import Wire

final class MemoryMeta: MetaStore {
  /// What becomes of a change.
  enum Fate: Sendable {
    case fails
    case isUndecided(kept: Bool)
    /// Made at `release`.
    case isHeld
  }
  private struct State {
    var buckets: [String: [String: MetaRecord]] = [:]
    var revision: UInt64 = 0
    /// Of changes in a bucket, first come first.
    var fates: [String: [Fate]] = [:]
    var isUnreadable = false
    var held: [@Sendable () -> Void] = []
  }
  private let state = Mutex(State())

  func plan(_ bucket: String, _ fate: Fate) {
    state.withLock { $0.fates[bucket, default: []].append(fate) }
  }

  func setUnreadable(_ isUnreadable: Bool) { state.withLock { $0.isUnreadable = isUnreadable } }

  func release() {
    let held = state.withLock { state in
      defer { state.held = [] }
      return state.held
    }
    for change in held { change() }
  }

  func list(_ bucket: String) throws(MetaError) -> [MetaRecord] {
    state.withLock { ($0.buckets[bucket] ?? [:]).values.sorted { $0.key < $1.key } }
  }

  func get(
    _ bucket: String, _ key: String, on executor: any Executor,
    reply: @escaping @Sendable (Result<MetaRecord?, MetaError>) -> Void
  ) {
    let result: Result<MetaRecord?, MetaError> = state.withLock { state in
      state.isUnreadable ? .failure(.failed("unreadable")) : .success(state.buckets[bucket]?[key])
    }
    executor.execute { reply(result) }
  }

  func put(
    _ bucket: String, _ key: String, _ value: [UInt8], if condition: MetaCondition,
    on executor: any Executor, reply: @escaping @Sendable (Result<Revision, MetaError>) -> Void
  ) {
    change(bucket, key, condition, value, on: executor, reply: reply)
  }

  func delete(
    _ bucket: String, _ key: String, if condition: MetaCondition, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, MetaError>) -> Void
  ) {
    change(bucket, key, condition, nil, on: executor) { reply($0.map { _ in }) }
  }

  private func change(
    _ bucket: String, _ key: String, _ condition: MetaCondition, _ value: [UInt8]?,
    on executor: any Executor, reply: @escaping @Sendable (Result<Revision, MetaError>) -> Void
  ) {
    let fate = state.withLock { state -> Fate? in
      guard state.fates[bucket]?.isEmpty == false else { return nil }
      return state.fates[bucket]!.removeFirst()
    }
    switch fate {
    case nil:
      let result = make(bucket, key, condition, value)
      executor.execute { reply(result) }
    case .fails: executor.execute { reply(.failure(.failed("planned"))) }
    case .isUndecided(let kept):
      if kept { _ = make(bucket, key, condition, value) }
      executor.execute { reply(.failure(.undecided("planned"))) }
    case .isHeld:
      state.withLock { state in
        state.held.append { [self] in
          let result = make(bucket, key, condition, value)
          executor.execute { reply(result) }
        }
      }
    }
  }

  private func make(
    _ bucket: String, _ key: String, _ condition: MetaCondition, _ value: [UInt8]?
  ) -> Result<Revision, MetaError> {
    state.withLock { state in
      let found = state.buckets[bucket]?[key]?.revision
      switch condition {
      case .absent where found != nil: return .failure(.conflict(found))
      case .at(let revision) where found != revision: return .failure(.conflict(found))
      default: break
      }
      state.revision += 1
      let revision = Revision(state.revision)
      state.buckets[bucket, default: [:]][key] = value.map {
        MetaRecord(key: key, value: $0, revision: revision)
      }
      return .success(revision)
    }
  }

  func close(reply: @escaping @Sendable () -> Void) { reply() }
}
