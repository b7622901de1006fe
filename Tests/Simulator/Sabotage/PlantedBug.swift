// Bugs put in on purpose, each between the Engine and one of its seams, to see that the simulator finds them.
import Engine
import Wire

/// No switch for them is in the Engine: a seam that lies makes it behave as if its code were wrong.
public enum PlantedBug: String, CaseIterable, Codable, Sendable {
  /// Those that a test looks for are found by one of the seeds from 1 up to this one.
  public static let seedsMax: UInt64 = 40
  /// All but those that take a crash between one commit and the next: that may take tens of seeds.
  public static let foundSoon = allCases.filter { $0 != .maybeToldAsNo && $0 != .burialsUnnumbered }

  /// A commit is answered first and synced a moment later.
  case answerBeforeSync
  /// A sync that failed is tried again, and its success believed.
  case syncTriedAgain
  /// A checkpoint lets go of log files before the segments are synced.
  case segmentsNotSynced
  /// New files are synced, the directories that name them are not.
  case namesNotSynced
  /// Recovery takes any whole group for the next one, also one that a recycled file held before.
  case staleGroupTaken
  /// A checkpoint says that one more group is in segments than there is.
  case checkpointOneTooFar
  /// A new owner hears nothing of what producers sent before.
  case producersForgotten
  /// Idempotency keys are lost when their frames go from the log into segments.
  case keysForgotten
  /// Readers are shown what is staged and not synced.
  case shownBeforeDurable
  /// A follower is let in wherever the tail stands by then.
  case gapAtHandover
  /// A batch that may have been written is said to have had no effect.
  case maybeToldAsNo
  /// A new term is begun without saying so durably: two lives of the server write under one epoch.
  case epochNotClaimed
  /// A deleted stream's document stays.
  case deletedStreamStays
  /// What a subscription journals is answered first and written a moment later: acks hold, and keys go on, too early.
  case journalAnsweredEarly
  /// Some acks are never written to a subscription's journal.
  case acksNotWritten
  /// That a subscription was sent back is forgotten with the owner that heard it.
  case seekNotJournaled
  /// A snapshot says that one more record is settled than is.
  case floorOneTooFar
  /// A snapshot knows only the lowest unsettled record, not what is settled above it.
  case rangesForgotten
  /// A journal is trimmed before the snapshot that takes its place is there.
  case journalTrimmedTooFar
  /// A dead letter is appended without a number that tells a repetition.
  case burialsUnnumbered
  /// Deadlines never pass.
  case leasesNeverEnd
  /// A subscription by key delivers as one without order.
  case orderForgotten
}

/// A clock with a bug in it.
struct SabotagedTime: TimeSource {
  let base: SimTime
  var now: Timestamp { base.now }
  var monotonic: Duration { .zero }
}

/// The catalog with a bug in it.
final class SabotagedMeta: MetaStore {
  private let base: any MetaStore
  private let bug: PlantedBug

  init(_ base: any MetaStore, _ bug: PlantedBug) {
    self.base = base
    self.bug = bug
  }

  func list(_ bucket: String) throws(MetaError) -> [MetaRecord] { try base.list(bucket) }

  func get(
    _ bucket: String, _ key: String, on executor: any Executor,
    reply: @escaping @Sendable (Result<MetaRecord?, MetaError>) -> Void
  ) {
    base.get(bucket, key, on: executor, reply: reply)
  }

  func put(
    _ bucket: String, _ key: String, _ value: [UInt8], if condition: MetaCondition,
    on executor: any Executor, reply: @escaping @Sendable (Result<Revision, MetaError>) -> Void
  ) {
    if bug == .epochNotClaimed, key == "epoch" {
      return executor.execute { reply(.success(Revision(1))) }
    }
    base.put(bucket, key, value, if: condition, on: executor, reply: reply)
  }

  func delete(
    _ bucket: String, _ key: String, if condition: MetaCondition, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, MetaError>) -> Void
  ) {
    if bug == .deletedStreamStays { return executor.execute { reply(.success(())) } }
    base.delete(bucket, key, if: condition, on: executor, reply: reply)
  }

  func close(reply: @escaping @Sendable () -> Void) { base.close(reply: reply) }
}

/// Checkpoints with a bug in them.
final class SabotagedCheckpoint: CheckpointStore {
  private let base: any CheckpointStore
  private let bug: PlantedBug

  init(_ base: any CheckpointStore, _ bug: PlantedBug) {
    self.base = base
    self.bug = bug
  }

  func load() throws(MetaError) -> CheckpointState { try base.load() }
  func stamps(of shard: ShardID) throws(MetaError) -> [StampedRange] {
    try base.stamps(of: shard)
  }

  func commit(_ change: CheckpointChange) throws(MetaError) {
    var change = change
    switch bug {
    case .keysForgotten:
      for index in change.stamps.indices {
        change.stamps[index].stamp.extras.idempotencyKey = nil
      }
    case .checkpointOneTooFar: change.logSequence += 1
    default: break
    }
    try base.commit(change)
  }

  func close() { base.close() }
}
