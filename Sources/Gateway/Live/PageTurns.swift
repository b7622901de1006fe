// Which pages are made at once on a loop: so many that disks are busy, and so few that sockets are looked at meanwhile.
import Engine

/// A page of 16 MiB takes its loop tens of milliseconds, and a loop runs all work that is ready before it looks at its
/// sockets again; so pages that are asked for together take turns.
final class PageTurns {
  /// What the pages being made may come to, together.
  private static let bytesMax = 64 << 20
  /// Later than now, so that the loop looks at its sockets before.
  private static let pause = Duration.microseconds(200)

  private let executor: any Executor
  private var bytes = 0
  private var waiting: [(bytes: Int, begin: () -> Void)] = []
  private var isScheduled = false

  init(on executor: any Executor) { self.executor = executor }

  /// Calls `begin` now, or when enough others are made. Whoever entered leaves.
  func enter(bytes wanted: Int, _ begin: @escaping () -> Void) {
    guard waiting.isEmpty, mayBegin(wanted) else { return waiting.append((wanted, begin)) }
    bytes += wanted
    begin()
  }

  func leave(bytes made: Int) {
    bytes -= made
    precondition(bytes >= 0, "more pages left than entered")
    if waiting.isEmpty || isScheduled { return }
    isScheduled = true
    let turns = Confined(self, to: executor)
    _ = executor.schedule(after: Self.pause) { turns.value.beginWaiting() }
  }

  private func mayBegin(_ wanted: Int) -> Bool { bytes == 0 || bytes + wanted <= Self.bytesMax }

  private func beginWaiting() {
    isScheduled = false
    var due: [() -> Void] = []
    while due.count < waiting.count, mayBegin(waiting[due.count].bytes) {
      bytes += waiting[due.count].bytes
      due.append(waiting[due.count].begin)
    }
    waiting.removeFirst(due.count)
    for begin in due { begin() }
  }
}
