// Where code runs and what time it is: the seams that let a simulator stand in for threads and clocks.
import NIOCore
import Wire

/// A place where jobs run one after another: an event loop, a thread of its own, or the simulator's turn-taker.
public protocol Executor: AnyObject, Sendable {
  /// True while running a job of this executor.
  var isCurrent: Bool { get }
  /// Runs `job` later, after those queued before it. Never runs it inside the call.
  func execute(_ job: @escaping @Sendable () -> Void)
  /// Runs `job` once, no earlier than `delay` from now.
  @discardableResult
  func schedule(after delay: Duration, _ job: @escaping @Sendable () -> Void) -> ScheduledJob
}

extension Executor {
  /// Runs `job` now if this is the place, else queues it.
  @inlinable
  public func run(_ job: @escaping @Sendable () -> Void) {
    if isCurrent { job() } else { execute(job) }
  }
}

/// A job that waits for its time.
public struct ScheduledJob: Sendable {
  private let cancelJob: @Sendable () -> Void
  public init(cancel: @escaping @Sendable () -> Void) { cancelJob = cancel }
  /// Keeps the job from running if it has not begun.
  public func cancel() { cancelJob() }
}

/// What time it is.
public protocol TimeSource: Sendable {
  /// The wall clock; may jump either way.
  var now: Timestamp { get }
  /// Never goes back; its zero means nothing.
  var monotonic: Duration { get }
}

/// State that belongs to one executor, carried through places that must not touch it.
///
/// Beside the wrappers of C, the only `@unchecked Sendable` of the house: the check is made at run time instead.
public struct Confined<Value>: @unchecked Sendable {
  private let held: Value
  public let executor: any Executor

  public init(_ value: Value, to executor: any Executor) {
    held = value
    self.executor = executor
  }

  /// The value; traps when asked for anywhere but on its executor.
  public var value: Value {
    assert(executor.isCurrent, "state was touched off its executor")
    return held
  }
}
