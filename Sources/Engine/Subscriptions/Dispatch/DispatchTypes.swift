// The words between a dispatcher and its shell: tracks, times, policy, leases.
import Wire

/// A way through a shard: track i below the number of shards is shard i, without end; higher ones are replays. Never
/// used again within a subscription.
struct TrackID: Hashable, Comparable, Sendable, CustomStringConvertible {
  let rawValue: UInt32
  init(_ rawValue: UInt32) { self.rawValue = rawValue }
  static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  var description: String { String(rawValue) }
}

/// One moment on both clocks: deadlines run on the monotonic one, what is kept over a restart on the wall's.
struct Instants: Sendable, Equatable {
  var monotonic: Duration
  var wall: Timestamp
}

struct DispatchPolicy: Sendable, Equatable {
  enum Ordering: Sendable { case key, shard, none }
  var ordering = Ordering.key
  /// How long a consumer has for a record; nil: as long as it likes.
  var ackDeadline: Duration? = .seconds(30)
  var maxInFlight = 1000
  /// After so many failures a record is given up; nil: the consumer says when.
  var maxDeliveries: Int? = 16
  /// The n-th failure waits for the n-th, later ones for the last; none: 0.
  var backoff: [Duration] = []
  /// Records that are given up go to a dead-letter stream; else they are dropped and counted.
  var buries = false
  /// The most records of a track between the floor and the newest fetched.
  var windowMax = 1_000_000
}

/// One consumer from its joining to its leaving.
struct ConsumerID: Hashable, Sendable {
  let index: UInt32
  let generation: UInt32
}

/// Records given to one consumer together, under one deadline.
struct DispatchLease: Sendable, Equatable {
  struct Pick: Sendable, Equatable {
    var offset: Offset
    /// 1 for the first; what an `ack_id`'s message shows.
    var delivery: Int
    /// Failures so far.
    var failures: Int
  }
  struct Piece: Sendable, Equatable {
    var track: TrackID
    var shardIndex: Int
    /// In the order of offsets.
    var picks: [Pick]
  }

  var serial: UInt64
  /// On the monotonic clock.
  var deadline: Duration?
  /// A track has one piece.
  var pieces: [Piece]
  var count: Int
  /// A batch that stays together from one attempt to the next; nil: each record for itself.
  var unit: UInt64?
  /// The unit's membership is not durable before the next change set is: it may not be shown to anybody before.
  var isNewUnit = false
  /// The unit was formed just now: until changes are taken it may still lose members that are too much.
  var mayShrink = false
}

/// A record that somebody has, for showing.
struct InFlightRecord: Sendable, Equatable {
  var track: TrackID
  var shardIndex: Int
  var offset: Offset
  var delivery: Int
  var ackID: AckID
  var consumer: ConsumerID
  /// On the monotonic clock.
  var deadline: Duration?
}

struct DispatchSummary: Sendable, Equatable {
  /// The floors of the tracks, those of the shards first.
  var tracks: [TrackSummary]
  var inFlight: Int
  /// Deliveries that were not a record's first, since this dispatcher was made.
  var redeliveries: Int
  /// Dead letters that wait for their stream.
  var burying: Int
  /// A track has as many unsettled or settled records above its floor as there may be.
  var isWindowFull: Bool
}

struct TrackSummary: Sendable, Equatable {
  var track: TrackID
  var shardIndex: Int
  var end: Offset?
  /// A replay of only some of its records.
  var isPartial: Bool
  var floor: Offset
  /// Above the floor.
  var settled: Int
  var inFlight: Int
  /// The next to be fetched.
  var place: Offset
  /// From here on nothing was fetched, settled or given up.
  var unknown: Offset
}
