// What is durable of a dispatcher: what snapshots hold and a replay of its changes rebuilds.
import Wire

/// What is durable of a track.
struct TrackState: Sendable, Equatable {
  /// A record that was delivered in vain.
  struct Attempt: Sendable, Equatable {
    var offset: Offset
    var deliveries: Int
    /// Those that count against `maxDeliveries`.
    var failures: Int
    /// Not to be delivered again before this; milliseconds 0: at once.
    var notBefore: Timestamp
    /// Of a unit that was split: to be tried by itself.
    var isAlone: Bool
  }

  var track: TrackID
  var shardIndex: Int
  /// A replay's end, exclusive; nil: endless.
  var end: Offset?
  /// The records that a replay is for; nil: all of them.
  var only: OffsetRanges?
  /// Everything below is settled.
  var floor: Offset
  /// What is settled above the floor.
  var settled = OffsetRanges()
  /// Of unsettled records, in the order of offsets.
  var attempts: [Attempt] = []

  /// A shard's own, from `floor` on.
  init(shard: Int, floor: Offset) {
    self.init(track: TrackID(UInt32(shard)), shardIndex: shard, end: nil, only: nil, floor: floor)
  }

  init(track: TrackID, shardIndex: Int, end: Offset?, only: OffsetRanges?, floor: Offset) {
    self.track = track
    self.shardIndex = shardIndex
    self.end = end
    self.only = only
    self.floor = floor
  }

  /// A replay that has come to its end.
  var isFinished: Bool { end.map { floor >= $0 } ?? false }
}

/// A record that was given up and waits to be appended to the dead-letter stream.
struct Condemned: Sendable, Equatable {
  /// Its number among the subscription's dead letters: 0, 1, 2, … for ever.
  var serial: UInt64
  /// nil: its track is no more (a seek, a trim), but buried it is all the same.
  var track: TrackID?
  var shardIndex: Int
  var offset: Offset
  var deliveries: Int
  var reason: String
  var at: Timestamp
}

/// Where a dead letter stands.
struct BurialPlace: Sendable, Equatable {
  var shard: Int
  var offset: Offset
}

/// A batch whose members stay together.
struct UnitState: Sendable, Equatable {
  struct Members: Sendable, Equatable {
    var track: TrackID
    var offsets: OffsetRanges
  }
  var id: UInt64
  /// In the order of tracks.
  var members: [Members]
  var deliveries: Int
  var failures: Int
  var notBefore: Timestamp
  var count: Int { members.reduce(0) { $0 + $1.offsets.count } }
}

/// Everything durable of a subscription's dispatcher.
struct DispatchState: Sendable, Equatable {
  /// In the order of ids: first one for each shard of the stream.
  var tracks: [TrackState]
  /// In the order of serials.
  var condemned: [Condemned] = []
  /// In the order of ids.
  var units: [UnitState] = []
  var nextBurial: UInt64 = 0
  var nextUnit: UInt64 = 0
  var nextTrack: UInt32
  var history = DispatchHistory()

  /// A new subscription's: shard i from `places[i]` on.
  init(places: [Offset]) {
    tracks = places.enumerated().map { TrackState(shard: $0.offset, floor: $0.element) }
    nextTrack = UInt32(places.count)
  }

  /// What a seek makes of it: each shard from its place on, nothing settled above, no replays and no units. What was
  /// condemned is still to be buried, and numbers go on.
  func sought(to places: [Offset]) -> DispatchState {
    precondition(tracks.count >= places.count, "a place for each shard")
    var state = self
    state.tracks = places.enumerated().map { TrackState(shard: $0.offset, floor: $0.element) }
    state.units = []
    for index in state.condemned.indices { state.condemned[index].track = nil }
    return state
  }
}
