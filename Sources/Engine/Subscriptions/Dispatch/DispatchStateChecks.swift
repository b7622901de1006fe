// What a state must be to be gone on from: one of this stream's shards, and not ahead of their logs.
import Wire

extension DispatchState {
  /// Why nothing of a stream with so many shards can have led to it; nil: something can.
  func fault(shardCount: Int) -> String? {
    let own = tracks.prefix { $0.end == nil }
    guard own.count == shardCount,
      own.enumerated().allSatisfy({ index, track in
        track.track.rawValue == UInt32(index) && track.shardIndex == index && track.only == nil
      })
    else { return "it is of a stream with other shards" }
    let shards = 0..<shardCount
    guard
      tracks.dropFirst(shardCount).allSatisfy({ track in
        track.end != nil && track.track.rawValue < nextTrack && shards.contains(track.shardIndex)
      }), nextTrack >= UInt32(shardCount), nextTrack < .max >> 1
    else { return "its replays are none of this stream" }
    guard condemned.allSatisfy({ shards.contains($0.shardIndex) && $0.serial < nextBurial }),
      history.failed.count <= shardCount
    else { return "its dead letters are none of this stream" }
    guard units.allSatisfy({ $0.id < nextUnit }) else { return "a batch has another's number" }
    return nil
  }

  /// What is left of it when the shards' logs end at `tails`; nil: everything. A log that was cut by hand gives its
  /// places to other records, and nothing that was said of the ones before holds for them.
  func cut(to tails: [Offset]) -> DispatchState? {
    var state = self
    for index in state.tracks.indices {
      state.tracks[index].cut(to: tails[state.tracks[index].shardIndex])
    }
    state.tracks.removeAll(where: \.isFinished)
    state.condemned.removeAll { $0.offset >= tails[$0.shardIndex] }
    let shards = Dictionary(tracks.map { ($0.track, $0.shardIndex) }) { $1 }
    for index in state.units.indices {
      state.units[index].members = state.units[index].members.compactMap { members in
        guard let shard = shards[members.track] else { return nil }
        var left = members
        left.offsets = left.offsets.clamped(to: .zero..<tails[shard])
        return left.offsets.isEmpty ? nil : left
      }
    }
    state.units.removeAll { $0.members.isEmpty }
    for (shard, tail) in zip(state.history.failed.indices, tails) {
      state.history.failed[shard] = state.history.failed[shard].clamped(to: .zero..<tail)
    }
    return state == self ? nil : state
  }
}

extension TrackState {
  fileprivate mutating func cut(to tail: Offset) {
    floor = min(floor, tail)
    settled = settled.clamped(to: .zero..<tail)
    attempts.removeAll { $0.offset >= tail }
    end = end.map { min($0, tail) }
    only = only?.clamped(to: .zero..<tail)
  }
}
