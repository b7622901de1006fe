// What must be journaled of a dispatcher's decisions: one set for all of a turn.
import Wire

/// One decision that outlives a restart, but for plain settling.
enum DispatchEvent: Sendable, Equatable {
  /// A record was delivered in vain.
  case attempted(TrackID, TrackState.Attempt)
  /// A record was given up; to be buried.
  case condemned(Condemned)
  /// A dead letter stands in its stream; its record is settled.
  case buried(serial: UInt64, at: BurialPlace?)
  /// A record was given up and, for want of a dead-letter stream, dropped; it is settled.
  case dropped(
    TrackID, shardIndex: Int, offset: Offset, deliveries: Int, reason: String,
    at: Timestamp)
  /// These were trimmed before they were settled, and with them everything below `below` is over.
  case missing(TrackID, OffsetRanges, below: Offset)
  case unitFormed(UnitState)
  case unitTried(UInt64, deliveries: Int, failures: Int, notBefore: Timestamp)
  /// Its members are settled, or each for itself from now on.
  case unitEnded(UInt64)
  /// A replay begins; what it is for is no longer failed.
  case trackAdded(TrackState)
  /// A replay was called off.
  case trackRemoved(TrackID)
}

/// The decisions between one `takeChanges` and the next. Applied whole: the events in order, then what is settled.
struct DispatchChanges: Sendable, Equatable {
  struct Settled: Sendable, Equatable {
    var track: TrackID
    var offsets: OffsetRanges
  }
  var events: [DispatchEvent] = []
  /// Acknowledged records; a track stands here once, in the order of ids.
  var settled: [Settled] = []

  var isEmpty: Bool { events.isEmpty && settled.isEmpty }
}
