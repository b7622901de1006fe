// The simulator's own state: touched by one turn at a time, so it needs no lock and belongs nowhere in particular.
import Engine

/// The place of everything that the turn-taker guards by running one thing at a time.
final class Anywhere: Executor {
  var isCurrent: Bool { true }
  func execute(_ job: @escaping @Sendable () -> Void) {
    preconditionFailure("nothing is queued here")
  }
  func schedule(after delay: Duration, _ job: @escaping @Sendable () -> Void) -> ScheduledJob {
    preconditionFailure("nothing is queued here")
  }
}

/// State that any turn may touch.
typealias Held<Value> = Confined<Value>

extension Confined {
  init(_ value: Value) { self.init(value, to: Anywhere()) }
}
