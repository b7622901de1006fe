// A thread of its own that runs jobs in order, with timers: where blocking calls are made.
import Wire

public final class ThreadExecutor {
  /// Starts the thread. `name` is cut to 15 bytes by the kernel.
  public init(name: String) { fatalError() }
  /// Runs what is queued, drops timers, ends the thread and waits for that. Not to be called from the thread itself.
  public func stop() { fatalError() }
}

/// The machine's clocks.
public struct SystemTime: Sendable {
  public init() {}
}
