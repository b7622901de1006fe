// The times and sizes that owners of subscriptions go by, which nobody outside needs to know but a simulator.

public struct SubscriptionTuning: Sendable {
  /// After a failure of the journal, the log or the dead-letter stream: how long the first rest is, and the longest.
  public var restMin = Duration.seconds(1)
  public var restMax = Duration.seconds(30)
  /// A journal is snapshotted once it is longer than this, and than twice the last snapshot.
  public var snapshotAfterBytes = 256 << 10
  /// The most records of a shard between the floor and the newest fetched.
  public var windowMax = 1_000_000
  /// An owner that nobody used for so long gives its memory back; one who did not pull for so long is forgotten.
  public var idleMax = Duration.seconds(60)
  /// Live tails that nobody is hungry for are let go after this.
  public var followingIdleMax = Duration.seconds(5)
  /// What a subscription keeps at hand of what was fetched; all of a node share a budget beside.
  public var shelfBytes = 32 << 20
  public init() {}

  /// The rest after so many failures in a row.
  func rest(failures: Int) -> Duration { min(restMin * (1 << min(failures - 1, 20)), restMax) }
}
