// What an owner does now and then: forgets consumers that went away, lets go of tails, publishes its numbers, falls
// asleep.
import Wire

struct Upkeep {
  /// Numbers changed since they were last published.
  var isDirty = true
  /// So did the places that a backlog is reckoned from.
  var hasMoved = true
  /// When something has to be looked after; nil: nothing has.
  var due: Duration?
  var idleSince: Duration?
  /// Sums of dispatchers that are no more.
  var redeliveriesBefore = 0
  var acked = 0
  private var lastSweep = Duration.zero

  mutating func begin() {
    isDirty = true
    hasMoved = true
    due = nil
    idleSince = nil
  }

  mutating func forget(_ core: Dispatcher?) {
    redeliveriesBefore += core?.summary.redeliveries ?? 0
  }

  /// True once in a while.
  mutating func isSweepDue(_ now: Duration, every interval: Duration) -> Bool {
    guard now - lastSweep >= interval else { return false }
    lastSweep = now
    return true
  }
}

extension SubscriptionOwner {
  private static let publishEvery = Duration.milliseconds(250)

  /// At the end of a turn: sees to it that there is a next one when it is needed.
  func keepUp(_ now: Instants) {
    let time = now.monotonic
    if let due = upkeep.due, due <= time {
      upkeep.due = nil
      look(after: time)
      guard case .active = phase else { return }
    }
    func consider(_ due: Duration) { upkeep.due = min(upkeep.due ?? due, due) }
    if upkeep.isDirty { consider(time + Self.publishEvery) }
    if let since = fetching.idleSince { consider(since + tuning.followingIdleMax) }
    if roster.hasPullers { consider(time + tuning.idleMax / 12) }
    if roster.isEmpty, line.isEmpty {
      let since = upkeep.idleSince ?? time
      upkeep.idleSince = since
      consider(since + tuning.idleMax)
    } else {
      upkeep.idleSince = nil
    }
  }

  private func look(after time: Duration) {
    if upkeep.isDirty { publishFigures() }
    if let since = fetching.idleSince, since + tuning.followingIdleMax <= time {
      cancelFollowings()
    }
    if upkeep.isSweepDue(time, every: tuning.idleMax / 12) { forgetIdleConsumers(time) }
    if let since = upkeep.idleSince, since + tuning.idleMax <= time { fallAsleep() }
  }

  private func forgetIdleConsumers(_ time: Duration) {
    let idle = roster.all.filter { consumer in
      consumer.push == nil && consumer.pullsWaiting == 0 && consumer.underWay == 0
        && consumer.lastSeenMonotonic + tuning.idleMax <= time
        && consumer.id.map { core!.inFlight(of: $0) == 0 } ?? true
    }
    for consumer in idle { remove(consumer) }
  }

  /// Shows the numbers as they are to whoever asks without coming here.
  func publishFigures() {
    upkeep.isDirty = false
    upkeep.hasMoved = false
    guard let core, let stream else { return }
    let summary = core.summary
    let own = summary.tracks.prefix(stream.shards.count)
    var numbers = SubscriptionFigures.Numbers(floors: own.map(\.floor))
    numbers.settledAbove = own.reduce(0) { $0 + $1.settled }
    numbers.inFlight = summary.inFlight
    numbers.counts = counts(summary, core.history)
    figures.publish(numbers)
    for (track, shard) in zip(own, stream.shards) where track.floor < shard.tail {
      guard let chunk = shelf?.chunk(shard.index, at: track.floor) else { continue }
      learnOldest(track.floor, inShard: shard.index, chunk)
    }
  }

  /// `chunk` holds the first record of a shard that is not settled: its time is what a backlog's age is reckoned from.
  func learnOldest(_ floor: Offset, inShard shard: Int, _ chunk: FrameChunk) {
    chunk.forEachRecord(from: floor) { record in
      figures.learn(shard, floor, record.timestamp)
      return false
    }
  }

  func counts(_ summary: DispatchSummary, _ history: DispatchHistory) -> SubscriptionCounts {
    var counts = SubscriptionCounts()
    counts.acked = upkeep.acked
    counts.redeliveries = upkeep.redeliveriesBefore + summary.redeliveries
    counts.deadLetters = history.buriedCount
    counts.dropped = history.droppedCount
    counts.missed = history.gapRecords
    return counts
  }

  /// As it stands now.
  var backlog: Backlog {
    guard let engine, let stream else { return Backlog(records: 0, oldestAge: nil) }
    if upkeep.hasMoved { publishFigures() }
    return engine.backlog(of: subscription, in: stream) ?? Backlog(records: 0, oldestAge: nil)
  }
}
