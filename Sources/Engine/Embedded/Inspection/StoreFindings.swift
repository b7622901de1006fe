// What a look at a data directory from outside tells: streams, shards, lanes, sizes, and what is wrong.
import Wire

/// Something that whoever runs the server should know.
public struct StoreFinding: Sendable, Equatable {
  public enum Severity: String, Sendable {
    /// Something that was stored cannot be read.
    case damage
    /// Nothing is lost.
    case note
  }
  public var severity: Severity
  /// Below the data directory.
  public var file: String
  /// The byte in the file, where it is one place.
  public var position: Int?
  public var what: String
  /// Records that are lost, if it is known which.
  public var losses: [RecordLoss] = []

  static func damage(
    _ file: String, at position: Int? = nil, _ what: String, _ losses: [RecordLoss] = []
  ) -> StoreFinding {
    StoreFinding(severity: .damage, file: file, position: position, what: what, losses: losses)
  }

  static func note(_ file: String, _ what: String) -> StoreFinding {
    StoreFinding(severity: .note, file: file, position: nil, what: what)
  }
}

public struct StoreInspection: Sendable {
  public struct Shard: Sendable {
    public var id: ShardID
    public var earliest: Offset
    public var tail: Offset
    /// Of frames kept, in segments and in the write-ahead log.
    public var bytes: Int
    public var segments: Int
    /// nil while it is empty.
    public var lastTimestamp: Timestamp?
    public var records: Int { tail.distance(from: earliest) }
  }
  public struct Stream: Sendable {
    public var name: String
    public var spec: StreamSpec
    public var shards: [Shard]
  }
  public struct Subscription: Sendable {
    public var name: String
    public var stream: String
    public var journal: Shard
  }
  public struct Lane: Sendable {
    public var number: Int
    public var shards: Int
    public var logFiles: Int
    /// Of the log files, as they lie on the disk.
    public var logBytes: Int
    /// Frames that are in the log alone; nil when it was not read.
    public var waiting: (frames: Int, bytes: Int)?
  }

  /// The server that was running meanwhile: then the numbers are those of the last checkpoints.
  public var server: PosixDisk.Holder?
  public var streams: [Stream] = []
  public var subscriptions: [Subscription] = []
  /// Of streams and subscriptions that were deleted; the next start of a server removes them.
  public var strays: [Shard] = []
  public var lanes: [Lane] = []
  public var findings: [StoreFinding] = []
  public var shardNames: [ShardID: ShardName] = [:]

  public var isDamaged: Bool { findings.contains { $0.severity == .damage } }
}

/// What `verify` read, and what it found.
public struct StoreVerification: Sendable {
  public var server: PosixDisk.Holder?
  public var segments = 0
  public var frames = 0
  public var records = 0
  public var bytes = 0
  /// Frames that are in write-ahead logs alone.
  public var logFrames = 0
  public var findings: [StoreFinding] = []
  public var shardNames: [ShardID: ShardName] = [:]

  public var isDamaged: Bool { findings.contains { $0.severity == .damage } }
}

/// Why a directory could not be looked at.
public struct InspectionFailure: Error, CustomStringConvertible {
  public var description: String
}
