// What the embedded store is told at start, what it says when it cannot start, and what recovery did.
import Wire

/// Sizes in bytes unless the name says otherwise. The defaults suit a server; a simulator makes them tiny.
public struct StoreOptions: Sendable {
  /// Each write-ahead log file; written full of zeros once and then recycled. No frame may be larger than
  /// `frameBytesMax`.
  public var walFileBytes = 32 << 20
  /// Files a lane may hold; a checkpoint begins when half of them wait for one. While all of them do, appends queue.
  public var walFilesPerLane = 8
  /// Commit groups start at multiples of this and are padded with zeros: no sector that holds committed bytes is
  /// ever written again, and the kernel never has to read a page in order to write it.
  public var walBlockBytes = 4096
  /// One commit takes at most about this much of what is staged.
  public var groupBytesMax = 4 << 20
  /// Staged and not yet durable, a lane: `room(for:)` counts down from here.
  public var stagedBytesMax = 16 << 20
  /// Frames in memory, a lane, so that readers near the tail need no disk.
  public var cacheBytes = 16 << 20
  /// A segment is closed when it holds this much or a quarter of what its shard's retention keeps, or spans an eighth
  /// of the time that retention keeps.
  public var segmentBytes = 64 << 20
  /// One entry of a segment's sparse index covers about this much.
  public var indexEveryBytes = 64 << 10
  /// Segment files held open for reading, all lanes together.
  public var openFilesMax = 256
  /// Blocking executors that read segments.
  public var readers = 2
  /// A lane with records outside segments makes a checkpoint after this long.
  public var checkpointDelay = Duration.seconds(10)
  /// After a failure: how long until the next attempt at a checkpoint, or the next look for free space.
  public var retryDelay = Duration.seconds(1)
  /// A checkpoint that wrote more files than this syncs the whole file system once instead.
  public var syncsEachMax = 64
  /// Appends are refused while less than this is free for each lane, so that checkpoints and trims can still go on:
  /// what the lanes' logs hold, up to all of their files, is still to be written to segments.
  public var reserveBytes = 256 << 20
  /// How long idempotency keys are kept, at least.
  public var keysKept = Duration.seconds(660)
  /// How long an idle producer's last sequences are kept, at least.
  public var producersKept = Duration.seconds(7 * 86_400)
  /// The catalog never gave out this shard or one above it: records of such a one mean that the catalog is older
  /// than the log, or another store's. nil believes whatever is there.
  public var shardsBelow: ShardID?
  /// Drop what follows damage in a write-ahead log instead of refusing to start.
  public var truncatesDamaged = false
  /// A random number drawn by the caller; used only when the directory is new. It goes into every log header's
  /// checksum, so that no record's content can pass for a header.
  public var salt: UInt64

  public init(salt: UInt64) { self.salt = salt }

  /// The largest frame that `append` takes.
  public var frameBytesMax: Int { walFileBytes - walBlockBytes }
}

/// Why the store did not open. Unless the cause is the disk, nothing was changed.
public enum StoreOpenError: Error, Sendable, Equatable {
  /// Another process has the directory; its id if it could be read.
  case locked(by: Int32?)
  case disk(DiskError)
  case checkpoint(lane: Int, MetaError)
  /// The directory holds something else, or a store of a version that this one does not know.
  case foreign(file: String, String)
  /// Files are missing, or are not of one time: parts of different copies. There is nothing to cut.
  case mismatched(file: String, String)
  /// Records that were acknowledged cannot be read: the first such place of each lane that has one.
  /// `truncatesDamaged` drops them and what follows them.
  case damaged([LogDamage])
}

/// A place in a lane's write-ahead log behind which nothing counts, and what goes if the log is cut there.
public struct LogDamage: Sendable, Equatable {
  public var file: String
  public var position: Int
  public var reason: String
  /// By shard.
  public var losses: [RecordLoss]
  /// Bytes behind the place that belong to no frame that can be told: what they held is not among the losses.
  public var unknownBytes: Int
  /// More groups behind it that are not whole.
  public var further: [Place]

  public struct Place: Sendable, Equatable {
    public var file: String
    public var position: Int
    public var reason: String
  }
}

/// Records of one shard that go when a damaged log is cut.
public struct RecordLoss: Sendable, Equatable {
  public var shard: ShardID
  /// From what will be the shard's tail to the last record that can be told.
  public var offsets: Range<Offset>
  /// Of the frames that can be told.
  public var bytes: Int
}

/// What opening a store found and did.
public struct RecoveryReport: Sendable, Equatable {
  /// Frames and bytes taken over from write-ahead logs.
  public var replayedFrames = 0
  public var replayedBytes = 0
  /// Where `truncatesDamaged` cut logs, and what went.
  public var dropped: [LogDamage] = []
  /// Shards on disk that were not named as alive.
  public var removedShards: [ShardID] = []
  /// The number of lanes before, if it changed.
  public var lanesBefore: Int?
  public init() {}
}
