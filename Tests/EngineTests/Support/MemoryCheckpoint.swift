// Checkpoints in memory: whole steps, which a test can copy together with the disk they belong to, or make fail.
import Engine
import Synchronization
import Wire

final class MemoryCheckpoint: CheckpointStore {
  private struct Held {
    var state = CheckpointState()
    var stamps: [ShardID: [StampedRange]] = [:]
    var failure: MetaError?
  }
  private let held = Mutex(Held())

  /// What the next commits throw.
  func setFailure(_ failure: MetaError?) { held.withLock { $0.failure = failure } }

  func copy() -> MemoryCheckpoint {
    let twin = MemoryCheckpoint()
    let state = held.withLock { $0 }
    twin.held.withLock { $0 = state }
    return twin
  }

  func load() throws(MetaError) -> CheckpointState {
    held.withLock { held in
      var state = held.state
      state.stampedShards = held.stamps.filter { !$0.value.isEmpty }.keys.sorted()
      return state
    }
  }

  func stamps(of shard: ShardID) throws(MetaError) -> [StampedRange] {
    held.withLock { $0.stamps[shard] ?? [] }
  }

  func commit(_ change: CheckpointChange) throws(MetaError) {
    if let failure = held.withLock({ $0.failure }) { throw failure }
    held.withLock { held in
      for shard in change.removedShards {
        held.state.shards.removeAll { $0.shard == shard }
        held.state.segments.removeAll { $0.shard == shard }
        held.stamps[shard] = nil
      }
      for (shard, base) in change.removedSegments {
        held.state.segments.removeAll { $0.shard == shard && $0.baseOffset == base }
      }
      for row in change.shards {
        held.state.shards.removeAll { $0.shard == row.shard }
        held.state.shards.append(row)
      }
      held.state.shards.sort { $0.shard < $1.shard }
      for row in change.segments {
        held.state.segments.removeAll { $0.shard == row.shard && $0.baseOffset == row.baseOffset }
        held.state.segments.append(row)
      }
      held.state.segments.sort { ($0.shard, $0.baseOffset) < ($1.shard, $1.baseOffset) }
      for (shard, stamp) in change.stamps { held.stamps[shard, default: []].append(stamp) }
      held.state.logSequence = change.logSequence
    }
  }

  func close() {}
}
