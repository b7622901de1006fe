// A log store that is right by construction: lists in memory that outlive a crash. What breaks over it is the Engine's.
import Engine
import Wire

/// What the plain log holds, over all lives.
final class PlainRows {
  struct Shard {
    var earliest = Offset.zero
    var epoch = Epoch(0)
    var frames: [Frame] = []
    var tail: Offset { frames.last?.endOffset ?? .zero }
    var kept: ArraySlice<Frame> {
      frames[(frames.firstIndex { $0.endOffset > earliest } ?? frames.count)...]
    }
    var summary: ShardSummary {
      ShardSummary(earliest: earliest, tail: tail, bytes: kept.reduce(0) { $0 + $1.byteCount })
    }
  }
  var shards: [ShardID: Shard] = [:]
}

final class PlainLog: LogStore {
  private enum Step {
    case append(Frame)
    case trim(ShardID, Offset)
    case remove(ShardID)

    var shard: ShardID {
      switch self {
      case .append(let frame): frame.shard
      case .trim(let shard, _), .remove(let shard): shard
      }
    }
  }
  private final class State {
    let rows: PlainRows
    let disk: DiskState
    let committer: SimExecutor
    var staged: [Step] = []
    var isCommitting = false
    var clients: [ShardID: any LogClient] = [:]
    var removed: Set<ShardID> = []
    init(_ rows: PlainRows, _ disk: DiskState, _ committer: SimExecutor) {
      self.rows = rows
      self.disk = disk
      self.committer = committer
    }
  }
  private let state: Held<State>
  private let lane: SimExecutor
  let recovered: [ShardID: ShardSummary]

  /// Serves every shard on `lane`; drops shards that are not among `live`.
  init(
    _ rows: PlainRows, _ disk: DiskState, lane: SimExecutor, committer: SimExecutor,
    live: Set<ShardID>
  ) {
    rows.shards = rows.shards.filter { live.contains($0.key) }
    recovered = rows.shards.mapValues(\.summary)
    self.lane = lane
    state = Held(State(rows, disk, committer))
  }

  func executor(of shard: ShardID) -> any Executor { lane }

  func open(
    _ shard: ShardID, epoch: Epoch, client: any LogClient,
    reply: @escaping @Sendable (Result<ShardRecovery, LogError>) -> Void
  ) {
    let state = state.value
    state.clients[shard] = client
    let row = state.rows.shards[shard] ?? PlainRows.Shard()
    guard row.epoch <= epoch else { return reply(.failure(.fenced(by: row.epoch))) }
    state.rows.shards[shard] = row
    state.rows.shards[shard]!.epoch = epoch
    let stamps = row.frames.filter { !$0.flags.isDisjoint(with: [.producer, .idempotency]) }.map {
      StampedRange(
        extras: $0.extras, offsets: $0.baseOffset..<$0.endOffset, timestamp: $0.timestamp)
    }
    let recovery = ShardRecovery(
      summary: row.summary,
      lastTimestamp: row.frames.last?.timestamp ?? Timestamp(milliseconds: .min), stamps: stamps)
    lane.execute { reply(.success(recovery)) }
  }

  func append(_ frame: Frame) { stage(.append(frame)) }
  func room(for shard: ShardID) -> Int { 65_536 - state.value.staged.count * 512 }
  func trim(_ shard: ShardID, before: Offset, epoch: Epoch) { stage(.trim(shard, before)) }

  func remove(_ shard: ShardID) {
    state.value.clients[shard] = nil
    state.value.removed.insert(shard)
    stage(.remove(shard))
  }

  private func stage(_ step: Step) {
    state.value.staged.append(step)
    lane.execute { [self] in commit() }
  }

  private func commit() {
    let state = state.value
    guard !state.isCommitting, !state.staged.isEmpty else { return }
    state.isCommitting = true
    let steps = Held(state.staged)
    state.staged = []
    state.committer.execute { [self] in
      let state = self.state.value
      var failure: DiskError?
      do throws(DiskError) {
        try state.disk.begin("sync", "wal", faults: state.disk.weather.syncFaults)
      } catch {
        failure = error
      }
      if failure == nil { for step in steps.value { apply(step) } }
      let error = failure.map { LogError.device("\($0)") }
      lane.execute { [self] in answer(steps.value, error) }
    }
  }

  private func apply(_ step: Step) {
    let rows = state.value.rows
    switch step {
    case .append(let frame):
      rows.shards[frame.shard, default: PlainRows.Shard()].frames.append(frame)
    case .trim(let shard, let before):
      if let row = rows.shards[shard] { rows.shards[shard]!.earliest = max(row.earliest, before) }
    case .remove(let shard): rows.shards[shard] = nil
    }
  }

  private func answer(_ steps: [Step], _ error: LogError?) {
    let state = state.value
    state.isCommitting = false
    if let error {
      let failed = Set(steps.map(\.shard))
      state.staged.removeAll { failed.contains($0.shard) }
      for shard in failed.sorted() {
        state.clients[shard]?.log(shard, undecided: error)
      }
    } else {
      for step in steps {
        switch step {
        case .append(let frame): state.clients[frame.shard]?.log(frame.shard, committed: [frame])
        case .trim(let shard, _):
          guard let summary = state.rows.shards[shard]?.summary else { continue }
          state.clients[shard]?.log(shard, trimmed: summary.earliest, bytes: summary.bytes)
        case .remove: break
        }
      }
    }
    commit()
  }

  func expired(_ shard: ShardID, policy: Retention, now: Timestamp) -> Offset? { nil }

  func read(
    _ shard: ShardID, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) {
    let row = state.value.rows.shards[shard] ?? PlainRows.Shard()
    let outcome: ReadOutcome
    if state.value.removed.contains(shard) {
      outcome = .failed(.gone)
    } else if from < row.earliest {
      outcome = .trimmed(earliest: row.earliest)
    } else if from >= row.tail {
      outcome = from == row.tail ? .atTail : .beyondTail(row.tail)
    } else {
      var chunk = FrameChunk(emptyAt: from)
      for frame in row.frames where frame.endOffset > from && chunk.byteCount < bytesMax {
        chunk.append(frame)
      }
      outcome = .frames(chunk)
    }
    executor.execute { reply(outcome) }
  }

  func find(
    _ time: Timestamp, in shard: ShardID, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void
  ) {
    let row = state.value.rows.shards[shard] ?? PlainRows.Shard()
    let found = row.kept.first { $0.timestamp >= time }
    let offset = max(row.earliest, found?.baseOffset ?? row.tail)
    executor.execute { reply(.success(offset)) }
  }

  func close(reply: @escaping @Sendable () -> Void) {
    lane.execute { [self] in
      if state.value.isCommitting { return close(reply: reply) }
      reply()
    }
  }

  var unready: String? { nil }
  var metrics: [MetricSample] { [] }
}
