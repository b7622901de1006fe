// The consumers of one event loop: pulls that wait and readers of messages, with their heartbeat.
import Engine
import NIOCore

final class MessageHub {
  let executor: any Executor
  let metrics: LoopMetrics
  let settings: TailSettings
  private var pulls = Roster<PullAnswer>()
  private var readers = Roster<MessageReader>()
  let heartbeat: Heartbeat
  private(set) var isDraining = false

  init(executor: any Executor, metrics: LoopMetrics, settings: TailSettings) {
    self.executor = executor
    self.metrics = metrics
    self.settings = settings
    heartbeat = Heartbeat(after: settings.heartbeatInterval, on: executor)
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
    heartbeat.run { [self] in ticked() }
  }

  func remove(_ reader: MessageReader) {
    readers.remove(reader)
    metrics.countLive(.messages, -1)
  }

  /// True if there must be a next tick.
  private func ticked() -> Bool {
    for slot in 0..<readers.end { readers[slot]?.ticked() }
    readers.compact()
    return !readers.isEmpty
  }

  /// Answers pulls that wait, and sends readers away: the server stops. New ones are sent away at once.
  func drain() {
    isDraining = true
    for slot in 0..<pulls.end { pulls[slot]?.end() }
    for slot in 0..<readers.end { readers[slot]?.end(.stopping) }
  }
}
