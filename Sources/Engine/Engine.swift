// The Engine: streams, appends, reads and live following, over whichever stores stand behind the two seams.
import Synchronization
import Wire

public final class Engine: Sendable {
  // MARK: Streams

  /// The stream of this name, as of now. Cheap; from any thread.
  public func stream(named name: String) -> Stream? { fatalError() }

  /// Up to `limit` streams in name order that start with `prefix` and come after the name `after`.
  public func streams(prefix: String, after: String?, limit: Int) -> [Stream] { fatalError() }

  public enum EnsureOutcome: Sendable {
    case created(Stream)
    case exists(Stream)
  }
  /// Creates the stream, or finds that it is as `fields` say (only those present are compared).
  public func ensureStream(
    _ name: String, _ fields: StreamFields, createOnly: Bool, on executor: any Executor,
    reply: @escaping @Sendable (Result<EnsureOutcome, CatalogError>) -> Void
  ) { fatalError() }

  /// Changes the stream as a merge patch would; `ifRevision` refuses a lost race.
  public func changeStream(
    _ name: String, _ fields: StreamFields, ifRevision: Revision?, on executor: any Executor,
    reply: @escaping @Sendable (Result<Stream, CatalogError>) -> Void
  ) { fatalError() }

  public func deleteStream(
    _ name: String, ifRevision: Revision?, force: Bool, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, CatalogError>) -> Void
  ) { fatalError() }

  // MARK: Records

  /// Gives `draft` its place in `shard` and replies on `executor` once it is durable, or with why not.
  public func append(
    _ draft: consuming FrameDraft, to shard: Shard, if condition: AppendCondition,
    on executor: any Executor,
    reply: @escaping AppendReply
  ) { fatalError() }

  /// Durable records from `from` on: at least one whole frame (which may begin before `from`), about `bytesMax`.
  public func read(
    _ shard: Shard, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) { fatalError() }

  /// The first record at or after `time`, or the tail.
  public func find(
    _ time: Timestamp, in shard: Shard, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void
  ) { fatalError() }

  /// Drops the records below `before` (at most the tail); replies with the earliest offset that holds from now on.
  public func trim(
    _ shard: Shard, before: Offset, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, AppendError>) -> Void
  ) { fatalError() }

  // MARK: Following

  public enum FollowOutcome: Sendable {
    /// From now on every committed chunk comes to `deliver`, the first one beginning at the offset asked for.
    case following(Following)
    /// The shard's tail is elsewhere: read up to it first.
    case behind(tail: Offset)
    /// The shard was removed.
    case gone
  }
  public enum FollowEvent: Sendable {
    case records(FrameChunk)
    /// The stream was deleted, or the engine stops: nothing follows.
    case ended(gone: Bool)
  }
  /// Joins the live tail at `from` if that is exactly where it stands: the hand-over from history to live without a hole.
  /// `deliver` runs on `executor`, in order, once for each commit; followers on one executor are woken together.
  public func follow(
    _ shard: Shard, from: Offset, on executor: any Executor,
    deliver: @escaping @Sendable (FollowEvent) -> Void,
    reply: @escaping @Sendable (FollowOutcome) -> Void
  ) { fatalError() }

  // MARK: Operation

  /// Whether an append can be taken now: nil, or the reason why not.
  public var unready: String? { fatalError() }

  public var metrics: [MetricSample] { fatalError() }

  /// Refuses new appends, finishes those in flight, ends followers, and closes the stores. Replies on `executor`.
  public func stop(on executor: any Executor, reply: @escaping @Sendable () -> Void) {
    fatalError()
  }
}

/// A place in the live tail; let go of by `cancel`.
public struct Following: Sendable {
  let cancelFollowing: @Sendable () -> Void
  /// No event comes after this returns on the follower's own executor.
  public func cancel() { cancelFollowing() }
}

public enum CatalogError: Error, Sendable {
  case notFound
  /// There is one with other settings; `fields` names what differs.
  case existsDifferently(Stream, fields: [String])
  /// `If-Match` did not hold; the stream as it is.
  case revisionMismatch(Stream)
  /// `shards` cannot be changed.
  case fixed(field: String)
  /// More streams or shards than configured.
  case limit(String)
  case failed(String, applied: Applied)
  case stopping
}
