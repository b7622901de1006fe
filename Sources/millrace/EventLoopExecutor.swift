// A SwiftNIO event loop as the Engine's seam for places where code runs.
import Engine
import NIOCore

final class EventLoopExecutor: Executor {
  let eventLoop: any EventLoop
  init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  var isCurrent: Bool { eventLoop.inEventLoop }

  func execute(_ job: @escaping @Sendable () -> Void) { eventLoop.execute(job) }

  @discardableResult
  func schedule(after delay: Duration, _ job: @escaping @Sendable () -> Void) -> ScheduledJob {
    let scheduled = eventLoop.scheduleTask(in: TimeAmount(delay), job)
    return ScheduledJob { scheduled.cancel() }
  }
}
