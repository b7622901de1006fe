// The seam below the Engine: a durable log for each shard, written by one fenced owner.
//
// Two stores stand behind it: the embedded one (Engine/Embedded), and NATS JetStream's for a cluster. So nothing here
// may rely on a local file: frames of a shard are appended in order, the store may pack several into one write, answers
// come later, and the writer is told only that everything up to a frame is durable, or that what was open is undecided.
import Wire

public protocol LogStore: AnyObject, Sendable {
  /// The place where everything about `shard` happens: calls marked *(shard's executor)* must be made there, and its
  /// client is called there. Stable for the life of the store.
  func executor(of shard: ShardID) -> any Executor

  /// What the store held of each shard when it was opened.
  var recovered: [ShardID: ShardSummary] { get }

  /// Takes the right to write `shard` for `epoch` and hands over what an owner must know. *(shard's executor; replies
  /// there)* A shard never seen before is empty. From then on frames of lower epochs are refused.
  /// - Throws in the reply: `.fenced` if a higher epoch owns it.
  func open(
    _ shard: ShardID, epoch: Epoch, client: any LogClient,
    reply: @escaping @Sendable (Result<ShardRecovery, LogError>) -> Void)

  /// The largest frame that it takes.
  var frameBytesMax: Int { get }

  /// Queues a records frame that continues the last one appended. *(shard's executor)*
  /// Its fate comes to the client: `committed`, or `undecided`.
  func append(_ frame: Frame)

  /// Bytes that may still be queued before appends should be refused for now; may be negative. *(shard's executor)*
  /// While the disk is full it stays positive, so that an append goes in and hears `undecided(.full)`: the true reason.
  func room(for shard: ShardID) -> Int

  /// Moves the shard's earliest offset up to `before`, durably, in order with appends. *(shard's executor)*
  /// The client hears `trimmed` when it holds; space follows later. `before` above the durable tail is a bug.
  func trim(_ shard: ShardID, before: Offset, epoch: Epoch)

  /// The offset below which `policy` says records may go now, or nil; whole segments only. *(shard's executor)*
  func expired(_ shard: ShardID, policy: Retention, now: Timestamp) -> Offset?

  /// Durable records from `from` on: at least one whole frame, about `bytesMax` bytes at most.
  /// *(shard's executor; replies on `executor`)*
  func read(
    _ shard: ShardID, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void)

  /// The first durable record at or after `time`, or the tail. *(shard's executor; replies on `executor`)*
  func find(
    _ time: Timestamp, in shard: ShardID, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void)

  /// Forgets the shard; its space follows. Its client is called no more. *(shard's executor)*
  func remove(_ shard: ShardID)

  /// Finishes what is queued, makes a checkpoint and lets go of everything. Replies on any executor.
  func close(reply: @escaping @Sendable () -> Void)

  /// Why an append could not be taken now (a full disk, a lane that is reopening), or nil; from any thread.
  var unready: String? { get }

  /// Counters and gauges for `/metrics`; from any thread.
  var metrics: [MetricSample] { get }
}

/// The owner of shards, as the store sees it. Called on the shard's executor only.
public protocol LogClient: AnyObject {
  /// These frames are durable and may be read: the next ones in order, none left out.
  func log(_ shard: ShardID, committed frames: [Frame])
  /// Nothing is known of the frames and trims queued after the last that was answered; the store has dropped them, and
  /// goes on from the last committed one. With `.full`, `.fenced` and `.gone` they certainly had no effect.
  func log(_ shard: ShardID, undecided error: LogError)
  /// Records below `earliest` are gone; `bytes` are left.
  func log(_ shard: ShardID, trimmed earliest: Offset, bytes: Int)
}

/// A shard at a glance.
public struct ShardSummary: Sendable, Equatable {
  public var earliest: Offset
  public var tail: Offset
  /// Bytes of frames kept.
  public var bytes: Int
  public init(earliest: Offset, tail: Offset, bytes: Int) {
    self.earliest = earliest
    self.tail = tail
    self.bytes = bytes
  }
}

/// What a new owner must know of a shard.
public struct ShardRecovery: Sendable {
  public var summary: ShardSummary
  /// The last frame's time: the next one's is not below it.
  public var lastTimestamp: Timestamp
  /// Stamps of frames that may be repeated, in offset order.
  public var stamps: [StampedRange]
  public init(summary: ShardSummary, lastTimestamp: Timestamp, stamps: [StampedRange]) {
    self.summary = summary
    self.lastTimestamp = lastTimestamp
    self.stamps = stamps
  }
}

/// A frame that carried a producer's stamp or an idempotency key, and where its records lie.
public struct StampedRange: Sendable, Equatable {
  public var extras: FrameExtras
  public var offsets: Range<Offset>
  public var timestamp: Timestamp
  public init(extras: FrameExtras, offsets: Range<Offset>, timestamp: Timestamp) {
    self.extras = extras
    self.offsets = offsets
    self.timestamp = timestamp
  }
}

/// How long records are kept; whichever ends first. nil is for ever.
public struct Retention: Sendable, Equatable {
  public var age: Duration?
  public var bytes: Int?
  public init(age: Duration?, bytes: Int?) {
    self.age = age
    self.bytes = bytes
  }
}

public enum ReadOutcome: Sendable {
  /// Frames that begin at or before the offset asked for.
  case frames(FrameChunk)
  /// The offset asked for is the durable tail.
  case atTail
  case trimmed(earliest: Offset)
  case beyondTail(Offset)
  case failed(LogError)
}

public enum LogError: Error, Sendable, Equatable {
  /// Another epoch owns the shard.
  case fenced(by: Epoch)
  /// The disk is full. What was queued had no effect.
  case full
  /// The device failed to write or sync; the frames may or may not survive.
  case device(String)
  /// A frame on disk does not match its checksum.
  case damaged(file: String, position: Int, String)
  /// The shard was removed, or the store is closed.
  case gone
}

/// One line of `/metrics`: a counter or gauge with its labels.
public struct MetricSample: Sendable {
  public enum Kind: String, Sendable { case counter, gauge, histogram }
  public var name: String
  public var help: String
  public var kind: Kind
  public var labels: [(name: String, value: String)]
  public var value: Double
  /// Of a histogram, in place of a value.
  public var histogram: LatencyHistogram?

  public init(_ name: String, _ help: String, _ histogram: LatencyHistogram) {
    self.init(name, .histogram, help, value: 0)
    self.histogram = histogram
  }

  public init(
    _ name: String, _ kind: Kind, _ help: String, labels: [(name: String, value: String)] = [],
    value: Double
  ) {
    self.name = name
    self.help = help
    self.kind = kind
    self.labels = labels
    self.value = value
  }
}
