// The consumers of one event loop: pulls that wait and readers of messages, with one coarse timer for heartbeats.
import Engine
import NIOCore

final class MessageHub {
  let executor: any Executor
  let metrics: LoopMetrics
  let settings: TailSettings
  private var pulls = Roster<PullAnswer>()
  private var readers = Roster<MessageReader>()
  /// Counted by the timer: enough for heartbeats, and free.
  private(set) var tick = 0
  let heartbeatTicks: Int
  private let tickInterval: Duration
  private var isTicking = false
  private(set) var isDraining = false

  init(executor: any Executor, metrics: LoopMetrics, settings: TailSettings) {
    self.executor = executor
    self.metrics = metrics
    self.settings = settings
    tickInterval = min(.seconds(1), settings.heartbeatInterval / 4)
    heartbeatTicks = max(1, Int(settings.heartbeatInterval / tickInterval))
  }

  func add(_ pull: PullAnswer) {
    pulls.compact()
    pulls.add(pull)
    metrics.countLive(.pull, 1)
  }

  func remove(_ pull: PullAnswer) {
    pulls.remove(pull)
    metrics.countLive(.pull, -1)
  }

  func add(_ reader: MessageReader) {
    readers.add(reader)
    metrics.countLive(.messages, 1)
    startTicking()
  }

  func remove(_ reader: MessageReader) {
    readers.remove(reader)
    metrics.countLive(.messages, -1)
  }

  private func startTicking() {
    guard !isTicking else { return }
    isTicking = true
    let hub = Confined(self, to: executor)
    executor.schedule(after: tickInterval) { hub.value.ticked() }
  }

  private func ticked() {
    isTicking = false
    tick += 1
    for slot in 0..<readers.end { readers[slot]?.ticked() }
    readers.compact()
    if !readers.isEmpty { startTicking() }
  }

  /// Answers pulls that wait, and sends readers away: the server stops. New ones are sent away at once.
  func drain() {
    isDraining = true
    for slot in 0..<pulls.end { pulls[slot]?.end() }
    for slot in 0..<readers.end { readers[slot]?.end(.stopping) }
  }
}
