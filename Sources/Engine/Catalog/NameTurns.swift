// One change of a name at a time: each has its turn, and says when it is over.
import Synchronization

final class NameTurns: Sendable {
  /// Calls its argument when it is over.
  typealias Operation = @Sendable (_ done: @escaping @Sendable () -> Void) -> Void

  private struct State {
    /// Names with an operation under way, and those that wait behind it.
    var busy: [String: [Operation]] = [:]
    var isStopping = false
  }
  private let state = Mutex(State())

  /// Runs `operation` once those of this name that came before it are over: now or later.
  /// Returns false, and never runs it, if nothing is begun any more.
  func take(_ name: String, _ operation: @escaping Operation) -> Bool {
    enum Turn { case now, later, never }
    let turn: Turn = state.withLock { state in
      if state.isStopping { return .never }
      if state.busy[name] != nil {
        state.busy[name]!.append(operation)
        return .later
      }
      state.busy[name] = []
      return .now
    }
    if turn == .now { run(operation, on: name) }
    return turn != .never
  }

  /// No operation is begun from now on but those that wait already.
  func stop() { state.withLock { $0.isStopping = true } }

  private func run(_ operation: Operation, on name: String) {
    operation { [self] in
      let next: Operation? = state.withLock { state in
        guard let waiting = state.busy[name], !waiting.isEmpty else {
          state.busy[name] = nil
          return nil
        }
        return state.busy[name]!.removeFirst()
      }
      if let next { run(next, on: name) }
    }
  }
}
