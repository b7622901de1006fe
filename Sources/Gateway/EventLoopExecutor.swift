// A SwiftNIO event loop as the Engine's seam for places where code runs.
import Engine
import NIOCore

public final class EventLoopExecutor: Executor {
  public let eventLoop: any EventLoop
  public init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  public var isCurrent: Bool { eventLoop.inEventLoop }

  public func execute(_ job: @escaping @Sendable () -> Void) { eventLoop.execute(job) }

  @discardableResult
  public func schedule(after delay: Duration, _ job: @escaping @Sendable () -> Void) -> ScheduledJob
  {
    let scheduled = eventLoop.scheduleTask(in: TimeAmount(delay), job)
    return ScheduledJob { scheduled.cancel() }
  }
}
