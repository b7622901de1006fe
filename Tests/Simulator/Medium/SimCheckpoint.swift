// The checkpoint seam: a lane's rows in memory that outlive a crash, each commit whole or not at all.
import Engine
import Wire

/// What a lane's checkpoints hold, over all lives.
final class CheckpointRows {
  var shards: [ShardID: ShardCheckpoint] = [:]
  var segments: [ShardID: [Offset: SegmentCheckpoint]] = [:]
  var stamps: [ShardID: [StampedRange]] = [:]
  var logSequence: UInt64 = 0

  func copy() -> CheckpointRows {
    let copy = CheckpointRows()
    copy.shards = shards
    copy.segments = segments
    copy.stamps = stamps
    copy.logSequence = logSequence
    return copy
  }

  func state() -> CheckpointState {
    var state = CheckpointState()
    for shard in shards.keys.sorted() { state.shards.append(shards[shard]!) }
    for shard in segments.keys.sorted() {
      for base in segments[shard]!.keys.sorted() { state.segments.append(segments[shard]![base]!) }
    }
    state.stampedShards = stamps.keys.sorted().filter { !stamps[$0]!.isEmpty }
    state.logSequence = logSequence
    return state
  }

  /// Removals go first: a shard may be removed and appear again in the same change.
  func apply(_ change: CheckpointChange) {
    for shard in change.removedShards {
      shards[shard] = nil
      segments[shard] = nil
      stamps[shard] = nil
    }
    for (shard, base) in change.removedSegments { segments[shard]?[base] = nil }
    for row in change.shards { shards[row.shard] = row }
    for row in change.segments { segments[row.shard, default: [:]][row.baseOffset] = row }
    // What was kept although nobody knew is recorded again.
    for (shard, stamp) in change.stamps
    where !stamps[shard, default: []].contains(where: { $0.offsets == stamp.offsets }) {
      stamps[shard, default: []].append(stamp)
    }
    for shard in stamps.keys.sorted() {
      let inOrder = stamps[shard]!.sorted { $0.offsets.lowerBound < $1.offsets.lowerBound }
      stamps[shard] = needed(inOrder, change)
    }
    logSequence = change.logSequence
  }

  /// Of each producer the last five, of keys all, but for those too old.
  private func needed(_ stamps: [StampedRange], _ change: CheckpointChange) -> [StampedRange] {
    var seen: [String: Int] = [:]
    var kept: [StampedRange] = []
    for stamp in stamps.reversed() {
      var isNeeded = stamp.extras.idempotencyKey != nil && stamp.timestamp >= change.keysSince
      if let producer = stamp.extras.producer, stamp.timestamp >= change.producersSince {
        seen[producer.id, default: 0] += 1
        if seen[producer.id]! <= 5 { isNeeded = true }
      }
      if isNeeded { kept.append(stamp) }
    }
    return kept.reversed()
  }
}

final class SimCheckpoint: CheckpointStore {
  private final class State {
    let lane: Int
    let rows: CheckpointRows
    let disk: DiskState
    var isClosed = false
    init(_ lane: Int, _ rows: CheckpointRows, _ disk: DiskState) {
      self.lane = lane
      self.rows = rows
      self.disk = disk
    }
  }
  private let state: Held<State>

  init(lane: Int, _ rows: CheckpointRows, _ disk: DiskState) {
    state = Held(State(lane, rows, disk))
  }

  func load() throws(MetaError) -> CheckpointState {
    try begin("load")
    return state.value.rows.state()
  }

  func stamps(of shard: ShardID) throws(MetaError) -> [StampedRange] {
    try begin("stamps")
    return state.value.rows.stamps[shard] ?? []
  }

  func commit(_ change: CheckpointChange) throws(MetaError) {
    try begin("commit")
    let state = state.value
    let climate = state.disk.climate
    if climate.strikes(climate.weather.checkpointFaults) {
      switch climate.below(3) {
      case 0:
        state.disk.note("checkpoint \(state.lane) failed")
        throw .failed("checkpoint")
      case 1:
        state.disk.note("checkpoint \(state.lane) undecided: lost")
        throw .undecided("checkpoint")
      default:
        state.disk.note("checkpoint \(state.lane) undecided: kept")
        state.rows.apply(change)
        throw .undecided("checkpoint")
      }
    }
    state.disk.note(
      "checkpoint \(state.lane): \(change.shards.count) shards, \(change.segments.count) segments, "
        + "\(change.removedSegments.count) removed, \(change.stamps.count) stamps, "
        + "up to \(change.logSequence)")
    state.rows.apply(change)
  }

  func close() { state.value.isClosed = true }

  private func begin(_ operation: String) throws(MetaError) {
    let state = state.value
    precondition(!state.isClosed, "checkpoint \(state.lane): \(operation) after it was closed")
    do {
      try state.disk.begin(operation, "checkpoint", faults: 0)
    } catch {
      throw .failed("the machine is off")
    }
  }
}
