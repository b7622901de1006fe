// The catalog seam: buckets in memory that outlive a crash, changed one key at a time by compare-and-set.
import Engine
import Wire

/// What the catalog holds, over all lives.
final class MetaRows {
  var buckets: [String: [String: MetaRecord]] = [:]
  var revision: UInt64 = 0

  func copy() -> MetaRows {
    let copy = MetaRows()
    copy.buckets = buckets
    copy.revision = revision
    return copy
  }
}

final class SimMeta: MetaStore {
  private final class State {
    let rows: MetaRows
    let disk: DiskState
    /// Where changes wait for the device.
    let place: SimExecutor
    init(_ rows: MetaRows, _ disk: DiskState, _ place: SimExecutor) {
      self.rows = rows
      self.disk = disk
      self.place = place
    }
  }
  private let state: Held<State>

  init(_ rows: MetaRows, _ disk: DiskState, on place: SimExecutor) {
    state = Held(State(rows, disk, place))
  }

  func list(_ bucket: String) throws(MetaError) -> [MetaRecord] {
    do {
      try state.value.disk.begin("list", "meta", faults: 0)
    } catch {
      throw .failed("the machine is off")
    }
    let rows = state.value.rows.buckets[bucket] ?? [:]
    return rows.keys.sorted().map { rows[$0]! }
  }

  func get(
    _ bucket: String, _ key: String, on executor: any Executor,
    reply: @escaping @Sendable (Result<MetaRecord?, MetaError>) -> Void
  ) {
    state.value.place.execute { [state] in
      let disk = state.value.disk
      let result: Result<MetaRecord?, MetaError>
      do {
        try disk.begin("get", "meta", faults: disk.weather.metaFaults)
        result = .success(state.value.rows.buckets[bucket]?[key])
      } catch {
        result = .failure(.failed("catalog"))
      }
      executor.execute { reply(result) }
    }
  }

  func put(
    _ bucket: String, _ key: String, _ value: [UInt8], if condition: MetaCondition,
    on executor: any Executor,
    reply: @escaping @Sendable (Result<Revision, MetaError>) -> Void
  ) {
    change("put", bucket, key, condition, on: executor, reply: reply) { rows in
      rows.revision += 1
      let revision = Revision(rows.revision)
      rows.buckets[bucket, default: [:]][key] = MetaRecord(
        key: key, value: value, revision: revision)
      return revision
    }
  }

  func delete(
    _ bucket: String, _ key: String, if condition: MetaCondition, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, MetaError>) -> Void
  ) {
    change("delete", bucket, key, condition, on: executor, reply: reply) { rows in
      rows.buckets[bucket]?[key] = nil
    }
  }

  private func change<Value: Sendable>(
    _ operation: String, _ bucket: String, _ key: String, _ condition: MetaCondition,
    on executor: any Executor,
    reply: @escaping @Sendable (Result<Value, MetaError>) -> Void,
    apply: @escaping @Sendable (MetaRows) -> Value
  ) {
    state.value.place.execute { [state] in
      let outcome: Result<Value, MetaError>
      do throws(MetaError) {
        outcome = .success(
          try Self.decide(state.value, operation, "\(bucket)/\(key)", condition) { rows in
            (rows.buckets[bucket]?[key]?.revision, { apply(rows) })
          })
      } catch {
        outcome = .failure(error)
      }
      executor.execute { reply(outcome) }
    }
  }

  private static func decide<Value>(
    _ state: State, _ operation: String, _ path: String, _ condition: MetaCondition,
    _ look: (MetaRows) -> (Revision?, () -> Value)
  ) throws(MetaError) -> Value {
    do {
      try state.disk.begin(operation, "meta", faults: 0)
    } catch {
      throw .undecided("the machine is off")
    }
    let (found, apply) = look(state.rows)
    switch condition {
    case .absent: guard found == nil else { throw .conflict(found) }
    case .at(let revision): guard found == revision else { throw .conflict(found) }
    case .always: break
    }
    let climate = state.disk.climate
    guard climate.strikes(climate.weather.metaFaults) else {
      state.disk.note("catalog: \(operation) \(path)")
      return apply()
    }
    switch climate.below(3) {
    case 0:
      state.disk.note("catalog: \(operation) \(path) failed")
      throw .failed("catalog")
    case 1:
      state.disk.note("catalog: \(operation) \(path) undecided: lost")
    default:
      state.disk.note("catalog: \(operation) \(path) undecided: kept")
      _ = apply()
    }
    throw .undecided("catalog")
  }

  /// Replies after everything queued before.
  func close(reply: @escaping @Sendable () -> Void) { state.value.place.execute(reply) }
}
