// The log store with a bug between it and the owners of its shards.
import Engine
import Wire

final class SabotagedLog: LogStore {
  private final class State {
    var clients: [ShardID: SabotagedClient] = [:]
    var journals: [ShardID: SabotagedJournal] = [:]
  }
  private let base: any LogStore
  private let bug: PlantedBug
  private let state = Held(State())

  init(_ base: any LogStore, _ bug: PlantedBug) {
    self.base = base
    self.bug = bug
  }

  func executor(of shard: ShardID) -> any Executor { base.executor(of: shard) }
  var recovered: [ShardID: ShardSummary] { base.recovered }

  func open(
    _ shard: ShardID, epoch: Epoch, client: any LogClient,
    reply: @escaping @Sendable (Result<ShardRecovery, LogError>) -> Void
  ) {
    let known = state.value.clients[shard]
    let between = known?.base === client ? known! : SabotagedClient(client, bug)
    state.value.clients[shard] = between
    base.open(shard, epoch: epoch, client: between) { [bug] result in
      guard case .success(var recovery) = result else { return reply(result) }
      for index in recovery.stamps.indices {
        let isBurial = recovery.stamps[index].extras.producer?.id.first == "_"
        if bug == .producersForgotten || bug == .burialsUnnumbered && isBurial {
          recovery.stamps[index].extras.producer = nil
        }
      }
      reply(.success(recovery))
    }
  }

  func append(_ frame: Frame) {
    guard let client = state.value.clients[frame.shard] else { return base.append(frame) }
    client.staged.append(frame)
    guard SabotagedJournal.isJournal(frame) else { return base.append(frame) }
    client.isJournal = true
    if bug == .journalAnsweredEarly {
      let held = Held(client)
      executor(of: frame.shard).execute { held.value.answerEarly() }
    }
    var journal = state.value.journals[frame.shard] ?? SabotagedJournal()
    base.append(journal.rewritten(frame, bug))
    state.value.journals[frame.shard] = journal
  }

  var frameBytesMax: Int { base.frameBytesMax }

  func room(for shard: ShardID) -> Int { base.room(for: shard) }

  func trim(_ shard: ShardID, before: Offset, epoch: Epoch) {
    if let client = state.value.clients[shard], client.isJournal {
      if bug == .journalTrimmedTooFar {
        return base.trim(shard, before: before + 1, epoch: epoch)
      }
      if client.hasAnsweredEarly {
        // The store knows better than to trim what is not there.
        executor(of: shard).schedule(after: .milliseconds(1)) { [self] in
          trim(shard, before: before, epoch: epoch)
        }
        return
      }
    }
    base.trim(shard, before: before, epoch: epoch)
  }

  func expired(_ shard: ShardID, policy: Retention, now: Timestamp) -> Offset? {
    base.expired(shard, policy: policy, now: now)
  }

  func read(
    _ shard: ShardID, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) {
    let staged = state.value.clients[shard]?.staged ?? []
    if bug == .shownBeforeDurable, let next = staged.first, next.baseOffset <= from,
      from < staged.last!.endOffset
    {
      let chunk = FrameChunk(staged.filter { $0.endOffset > from })
      return executor.execute { reply(.frames(chunk)) }
    }
    guard bug == .seekNotJournaled else {
      return base.read(shard, from: from, bytesMax: bytesMax, on: executor, reply: reply)
    }
    let state = state
    base.read(shard, from: from, bytesMax: bytesMax, on: executor) { outcome in
      if case .frames(let chunk) = outcome {
        state.value.journals[shard, default: SabotagedJournal()].heard(chunk, from: from)
      }
      reply(outcome)
    }
  }

  func find(
    _ time: Timestamp, in shard: ShardID, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void
  ) {
    base.find(time, in: shard, on: executor, reply: reply)
  }

  func remove(_ shard: ShardID) {
    state.value.clients[shard] = nil
    base.remove(shard)
  }

  func close(reply: @escaping @Sendable () -> Void) { base.close(reply: reply) }
  var unready: String? { base.unready }
  var metrics: [MetricSample] { base.metrics }
}

private final class SabotagedClient: LogClient {
  let base: any LogClient
  private let bug: PlantedBug
  /// Appended and not answered.
  var staged: [Frame] = []
  /// It owns a subscription's journal.
  var isJournal = false
  /// Of the frames that are staged those that were called committed already.
  private var early = 0

  init(_ base: any LogClient, _ bug: PlantedBug) {
    self.base = base
    self.bug = bug
  }

  var hasAnsweredEarly: Bool { early > 0 }

  func answerEarly() {
    guard early < staged.count else { return }
    let frames = Array(staged[early...])
    early = staged.count
    base.log(frames[0].shard, committed: frames)
  }

  func log(_ shard: ShardID, committed frames: [Frame]) {
    let original = Array(staged[..<frames.count])
    staged.removeFirst(frames.count)
    let known = min(early, frames.count)
    early -= known
    if known < frames.count { base.log(shard, committed: Array(original[known...])) }
  }

  func log(_ shard: ShardID, undecided error: LogError) {
    staged = []
    early = 0
    if bug == .maybeToldAsNo, case .device = error {
      return base.log(shard, undecided: .full)
    }
    base.log(shard, undecided: error)
  }

  func log(_ shard: ShardID, trimmed earliest: Offset, bytes: Int) {
    base.log(shard, trimmed: earliest, bytes: bytes)
  }
}
