// Executors and a clock for one thread: jobs run when the test says so, and time passes when it says so.
import Engine
import Synchronization
import Wire

final class Turns: Sendable {
  fileprivate struct Timer {
    var due: Duration
    var id: Int
    var executor: TurnExecutor
    var job: @Sendable () -> Void
  }
  fileprivate struct State {
    var queue: [(executor: TurnExecutor, job: @Sendable () -> Void)] = []
    var timers: [Timer] = []
    var timersMade = 0
    var elapsed = Duration.zero
    var current: TurnExecutor?
  }
  fileprivate let state = Mutex(State())

  var time: TurnTime { TurnTime(turns: self) }

  func executor(_ name: String) -> TurnExecutor { TurnExecutor(name: name, turns: self) }

  /// Runs `body` as a job of `executor` would run, then everything that follows from it.
  func on<T>(_ executor: any Executor, _ body: () -> T) -> T {
    let result = asCurrent(executor as? TurnExecutor, body)
    run()
    return result
  }

  /// Runs `body` only; what it queued waits for `run`.
  func asCurrent<T>(_ executor: TurnExecutor?, _ body: () -> T) -> T {
    let before = state.withLock { state in
      defer { state.current = executor }
      return state.current
    }
    defer { state.withLock { $0.current = before } }
    return body()
  }

  /// Runs queued jobs until there are none, or `jobsMax` were run.
  @discardableResult
  func run(jobsMax: Int = .max) -> Int {
    var count = 0
    while count < jobsMax,
      let next = state.withLock({ $0.queue.isEmpty ? nil : $0.queue.removeFirst() })
    {
      asCurrent(next.executor, next.job)
      count += 1
    }
    return count
  }

  /// Lets time pass: timers run in order, each followed by what it queued.
  func advance(by duration: Duration) {
    let end = state.withLock { $0.elapsed + duration }
    while true {
      let due = state.withLock { state -> Timer? in
        let next = state.timers.indices.min {
          (state.timers[$0].due, state.timers[$0].id) < (state.timers[$1].due, state.timers[$1].id)
        }
        guard let next, state.timers[next].due <= end else { return nil }
        state.elapsed = max(state.elapsed, state.timers[next].due)
        return state.timers.remove(at: next)
      }
      guard let due else { break }
      asCurrent(due.executor, due.job)
      run()
    }
    state.withLock { $0.elapsed = end }
  }

  var timersWaiting: Int { state.withLock { $0.timers.count } }
}

final class TurnExecutor: Executor {
  let name: String
  private let turns: Turns

  init(name: String, turns: Turns) {
    self.name = name
    self.turns = turns
  }

  var isCurrent: Bool { turns.state.withLock { $0.current === self } }

  func execute(_ job: @escaping @Sendable () -> Void) {
    turns.state.withLock { $0.queue.append((self, job)) }
  }

  func schedule(after delay: Duration, _ job: @escaping @Sendable () -> Void) -> ScheduledJob {
    let id = turns.state.withLock { state in
      state.timersMade += 1
      state.timers.append(
        Turns.Timer(
          due: state.elapsed + delay, id: state.timersMade, executor: self, job: job))
      return state.timersMade
    }
    let turns = turns
    return ScheduledJob { turns.state.withLock { $0.timers.removeAll { $0.id == id } } }
  }
}

struct TurnTime: TimeSource {
  let turns: Turns
  /// Noon of the first day, and what passed since.
  var now: Timestamp { Timestamp(milliseconds: 43_200_000 + monotonic / .milliseconds(1)) }
  var monotonic: Duration { turns.state.withLock { $0.elapsed } }
}

extension Duration {
  fileprivate static func / (left: Duration, right: Duration) -> Int64 {
    let (seconds, attoseconds) = left.components
    let (_, unit) = right.components
    return seconds * (1_000_000_000_000_000_000 / unit) + attoseconds / unit
  }
}
