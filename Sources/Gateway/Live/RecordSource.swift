// What reading needs of the Engine, so that tests can put a scripted one in its place.
import Engine
import Wire

/// Replies and deliveries may come within the call when the shard lives on the caller's executor.
protocol RecordSource: AnyObject, Sendable {
  func read(
    _ shard: Shard, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void)
  func find(
    _ time: Timestamp, in shard: Shard, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void)
  func follow(
    _ shard: Shard, from: Offset?, on executor: any Executor,
    deliver: @escaping @Sendable (Engine.FollowEvent) -> Void,
    reply: @escaping @Sendable (Engine.FollowOutcome) -> Void)
}

extension Engine: RecordSource {}
