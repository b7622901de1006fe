// The one coarse timer behind all heartbeats of a hub, counted in ticks: enough for silence, and free.
import Engine

final class Heartbeat {
  private(set) var tick = 0
  private let silenceTicks: Int
  private let interval: Duration
  private let executor: any Executor
  private var isTicking = false

  init(after silence: Duration, on executor: any Executor) {
    interval = min(.seconds(1), silence / 4)
    silenceTicks = max(1, Int(silence / interval))
    self.executor = executor
  }

  /// Whether somebody who was last written to at `lastTick` must be told that it is still connected.
  func isDue(since lastTick: Int) -> Bool { tick - lastTick >= silenceTicks }

  /// Calls `ticked` with each tick until it says that nobody needs the next one. What runs already goes on.
  func run(_ ticked: @escaping () -> Bool) {
    guard !isTicking else { return }
    isTicking = true
    let next = Confined((heartbeat: self, ticked: ticked), to: executor)
    executor.schedule(after: interval) {
      let (heartbeat, ticked) = next.value
      heartbeat.isTicking = false
      heartbeat.tick += 1
      if ticked() { heartbeat.run(ticked) }
    }
  }
}
