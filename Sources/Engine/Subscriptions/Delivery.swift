// What a subscription hands to a consumer, and why a call about one can fail.
import Wire

/// Records for one consumer, in order, still in the frames they were stored in; encode them on your own executor.
public struct Delivery: Sendable {
  public struct Pick: Sendable {
    public var offset: Offset
    /// 1 for the first time.
    public var delivery: UInt32
    public init(offset: Offset, delivery: UInt32) {
      self.offset = offset
      self.delivery = delivery
    }
  }
  /// Some of one chunk's records.
  public struct Piece: Sendable {
    public var track: UInt32
    public var shardIndex: Int
    public var chunk: FrameChunk
    /// Ascending, never empty, all inside `chunk`.
    public var picks: [Pick]
    public init(track: UInt32, shardIndex: Int, chunk: FrameChunk, picks: [Pick]) {
      self.track = track
      self.shardIndex = shardIndex
      self.chunk = chunk
      self.picks = picks
    }

    /// Calls `body` for each pick with its record, in order, until it returns false.
    @inlinable
    public func forEachRecord(_ body: (RecordView, Pick) -> Bool) {
      var next = 0
      chunk.forEachRecord(from: picks[0].offset) { record in
        guard record.offset == picks[next].offset else { return true }
        guard body(record, picks[next]) else { return false }
        next += 1
        return next < picks.count
      }
    }
  }

  /// Names the whole of it: for `giveBack` and `Attachment.settle`.
  public var lease: LeaseID
  /// In order of delivery.
  public var pieces: [Piece]
  public var recordCount: Int
  /// When it is taken back unless settled; of all its records. nil: never (webhooks settle by their own clock).
  public var deadline: Timestamp?
  /// A webhook's batch, to be settled as a whole.
  public var isUnit: Bool
  public init(
    lease: LeaseID, pieces: [Piece], recordCount: Int, deadline: Timestamp?, isUnit: Bool
  ) {
    self.lease = lease
    self.pieces = pieces
    self.recordCount = recordCount
    self.deadline = deadline
    self.isUnit = isUnit
  }

  /// What acknowledges one of its records.
  @inlinable
  public func ackID(_ pick: Pick, in piece: Piece) -> AckID {
    AckID(track: piece.track, offset: pick.offset, lease: lease.serial, epoch: lease.epoch)
  }
}

/// One handing over of records to one consumer; never used again, not after a restart either.
public struct LeaseID: Hashable, Sendable {
  public var serial: UInt64
  /// Of the owner that gave it: after a restart it is another.
  public var epoch: UInt32
  public init(serial: UInt64, epoch: UInt32) {
    self.serial = serial
    self.epoch = epoch
  }
}

/// Records that are not settled, up to the tail as it is known.
public struct Backlog: Sendable, Equatable {
  public var records: Int
  /// How long ago the oldest of them was appended; nil if there is none, or as long as nobody knows.
  public var oldestAge: Duration?
  public init(records: Int, oldestAge: Duration?) {
    self.records = records
    self.oldestAge = oldestAge
  }
}

/// What a pull brought.
public struct Pulled: Sendable {
  /// nil: nothing came within the wait.
  public var delivery: Delivery?
  public var backlog: Backlog
  public var state: SubscriptionSpec.State
  public init(delivery: Delivery?, backlog: Backlog, state: SubscriptionSpec.State) {
    self.delivery = delivery
    self.backlog = backlog
    self.state = state
  }
}

public enum SubscriptionError: Error, Sendable, Equatable {
  /// It was deleted.
  case notFound
  /// Its stream was deleted, perhaps made again since.
  case streamReplaced
  /// The engine is stopping; nothing was done.
  case stopping
  /// Too much waits already; try again after a moment.
  case busy(String)
  /// More consumers than a subscription may have.
  case tooManyConsumers(max: Int)
  /// A webhook subscription was asked for messages, or the other way round.
  case wrongDelivery
  /// Another owner has it; nothing was done.
  case fenced
  /// The disk is full; nothing was done.
  case diskFull
  /// The journal or the stream's log cannot be read or written.
  case storage(String, applied: Applied)
  /// A place that is beyond a shard's tail, or of a shard that the stream does not have.
  case badPlace(shard: Int, tail: Offset?)
}
