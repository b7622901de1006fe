// The seam for what a lane remembers beside its logs: where each shard's records lie, and which stamps may be repeated.
import Wire

/// One atomic, durable step: everything a checkpoint changes, or nothing of it.
public struct CheckpointChange: Sendable {
  /// Shards whose row is new or different.
  public var shards: [ShardCheckpoint] = []
  /// Segments that are new or grew.
  public var segments: [SegmentCheckpoint] = []
  public var removedSegments: [(shard: ShardID, baseOffset: Offset)] = []
  public var removedShards: [ShardID] = []
  /// Stamps of frames that the segments now hold, in offset order within a shard. The store keeps the last five of
  /// each producer of a shard, and every idempotency key.
  public var stamps: [(shard: ShardID, stamp: StampedRange)] = []
  /// Everything in the lane's log up to this sequence number is in segments.
  public var logSequence: UInt64 = 0
  /// Idempotency keys of frames older than this are forgotten.
  public var keysSince = Timestamp(milliseconds: .min)
  /// Stamps of producers in frames older than this are forgotten.
  public var producersSince = Timestamp(milliseconds: .min)
  public init() {}
}

public struct ShardCheckpoint: Sendable, Equatable {
  public var shard: ShardID
  public var earliest: Offset
  public var tail: Offset
  public var lastTimestamp: Timestamp
  public var epoch: Epoch
  public init(
    shard: ShardID, earliest: Offset, tail: Offset, lastTimestamp: Timestamp, epoch: Epoch
  ) {
    self.shard = shard
    self.earliest = earliest
    self.tail = tail
    self.lastTimestamp = lastTimestamp
    self.epoch = epoch
  }
}

public struct SegmentCheckpoint: Sendable, Equatable {
  public var shard: ShardID
  public var baseOffset: Offset
  /// One past its last record.
  public var endOffset: Offset
  public var bytes: Int
  public var firstTimestamp: Timestamp
  public var lastTimestamp: Timestamp
  public init(
    shard: ShardID, baseOffset: Offset, endOffset: Offset, bytes: Int, firstTimestamp: Timestamp,
    lastTimestamp: Timestamp
  ) {
    self.shard = shard
    self.baseOffset = baseOffset
    self.endOffset = endOffset
    self.bytes = bytes
    self.firstTimestamp = firstTimestamp
    self.lastTimestamp = lastTimestamp
  }
}

/// What the last checkpoint held; without the stamps, of which there may be millions.
public struct CheckpointState: Sendable {
  /// Ascending.
  public var shards: [ShardCheckpoint] = []
  /// By shard, then base offset.
  public var segments: [SegmentCheckpoint] = []
  /// Shards for which `stamps(of:)` has something to say, ascending.
  public var stampedShards: [ShardID] = []
  public var logSequence: UInt64 = 0
  public init() {}
}

/// One lane's checkpoints. Calls block; one caller at a time.
public protocol CheckpointStore: AnyObject, Sendable {
  func load() throws(MetaError) -> CheckpointState
  /// The stamps that were kept of `shard`, in offset order.
  func stamps(of shard: ShardID) throws(MetaError) -> [StampedRange]
  /// Durable when it returns. Removed shards go first: one may be removed and appear again in the same change.
  func commit(_ change: CheckpointChange) throws(MetaError)
  func close()
}
