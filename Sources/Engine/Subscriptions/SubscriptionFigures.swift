// A subscription's numbers, kept up to date by its owner and read from anywhere.
import Synchronization
import Wire

final class SubscriptionFigures: Sendable {
  struct Numbers: Sendable {
    /// By shard: everything below is settled.
    var floors: [Offset]
    /// Settled records above the floors.
    var settledAbove = 0
    var inFlight = 0
    var counts = SubscriptionCounts()
  }
  /// When the first unsettled record of a shard was appended.
  private struct Oldest: Sendable {
    var offset: Offset
    var timestamp: Timestamp
  }
  private struct State: Sendable {
    var numbers: Numbers?
    var oldest: [Oldest?] = []
    /// Shards whose oldest record's time is being looked up.
    var asked: Set<Int> = []
  }
  private let state = Mutex(State())

  /// nil until somebody has read the journal.
  var numbers: Numbers? { state.withLock { $0.numbers } }

  /// What a subscription is whose journal is empty; nothing if more is known.
  func begin(_ places: [Offset]) {
    if numbers == nil { publish(Numbers(floors: places)) }
  }

  func publish(_ numbers: Numbers) {
    state.withLock { state in
      state.numbers = numbers
      if state.oldest.count != numbers.floors.count {
        state.oldest = Array(repeating: nil, count: numbers.floors.count)
      }
    }
  }

  /// The record at `offset` of a shard was appended then.
  func learn(_ shard: Int, _ offset: Offset, _ timestamp: Timestamp) {
    state.withLock { state in
      state.asked.remove(shard)
      guard state.oldest.indices.contains(shard) else { return }
      state.oldest[shard] = Oldest(offset: offset, timestamp: timestamp)
    }
  }

  func failedToLearn(_ shard: Int) { state.withLock { _ = $0.asked.remove(shard) } }

  /// Records not settled, and the age of the oldest of those whose time is known. Nil if nothing is known yet.
  /// - Parameters:
  ///   - ask: called for each shard whose oldest record's time is not known; `learn` is its answer.
  ///   - overrun: called if retention has passed a floor: the owner does not know yet, and the number may be too small.
  func backlog(
    of stream: Stream, now: Timestamp, ask: (Shard, Offset) -> Void, overrun: () -> Void
  ) -> Backlog? {
    var questions: [(Shard, Offset)] = []
    var isOverrun = false
    let backlog: Backlog? = state.withLock { state in
      guard let numbers = state.numbers, numbers.floors.count == stream.shards.count else {
        return nil
      }
      var records = -numbers.settledAbove
      var oldest: Timestamp?
      for shard in stream.shards {
        let first = max(numbers.floors[shard.index], shard.earliest)
        isOverrun = isOverrun || first > numbers.floors[shard.index]
        let tail = shard.tail
        guard first < tail else { continue }
        records += tail.distance(from: first)
        if let known = state.oldest[shard.index], known.offset == first {
          oldest = min(oldest ?? known.timestamp, known.timestamp)
        } else if state.asked.insert(shard.index).inserted {
          questions.append((shard, first))
        }
      }
      let age = oldest.map { Duration.milliseconds(max(0, now.milliseconds - $0.milliseconds)) }
      return Backlog(records: max(0, records), oldestAge: age)
    }
    for (shard, offset) in questions { ask(shard, offset) }
    if isOverrun { overrun() }
    return backlog
  }
}

extension Engine {
  /// The subscription's backlog as it is known; what is missing is looked up for the next time. From any thread.
  func backlog(of subscription: Subscription, in stream: Stream) -> Backlog? {
    let figures = subscription.seat.figures
    return figures.backlog(
      of: stream, now: services.time.now,
      ask: { shard, offset in
        read(shard, from: offset, bytesMax: 1, on: shard.executor) { outcome in
          guard case .frames(let chunk) = outcome else { return figures.failedToLearn(shard.index) }
          chunk.forEachRecord(from: offset) { record in
            figures.learn(shard.index, offset, record.timestamp)
            return false
          }
        }
      }, overrun: { wake(subscription) })
  }
}
