// A client that reads and searches at places of its whim, and trims.
import Engine
import Wire

final class Visitor: Client {
  override func start() { act() }

  private func act() {
    defer { later(pause()) { self.act() } }
    guard !isWindingDown, let shard = simulation.pickShard(&random),
      let handle = handle(of: shard)
    else { return }
    switch random.below(10) {
    case 0: trim(shard, handle)
    case 1, 2, 3: find(shard, handle)
    default: read(shard, handle)
    }
  }

  private func read(_ shard: ShardModel, _ handle: Shard) {
    let from = Offset(UInt64(random.below(Int(handle.tail.rawValue) + 3)))
    let tailBefore = shard.durableTail
    let trimmedBefore = shard.trimDone
    life!.engine.read(
      handle, from: from, bytesMax: 1 + random.below(3000), on: executor,
      reply: reply { (outcome: ReadOutcome) in
        let facts = "\(shard.label) from \(from)"
        switch outcome {
        case .frames(let chunk):
          if from < trimmedBefore { self.violate("a trim holds", "\(facts), \(trimmedBefore)") }
          if chunk.start > from || chunk.end <= from {
            self.violate(
              "a read begins where asked", "\(facts): \(chunk.start)..<\(chunk.end)")
          }
          chunk.forEachRecord(from: from) { record in
            self.model.seen(record, in: shard, by: self.name)
            return true
          }
          chunk.forEachFrame { header, _ in self.model.seen(header, in: shard, by: self.name) }
        case .atTail:
          if from < tailBefore { self.violate("what is durable can be read", facts) }
        case .beyondTail(let tail):
          if from < tailBefore || tail > from {
            self.violate("what is durable can be read", "\(facts), tail \(tail)")
          }
        case .trimmed(let earliest):
          if earliest <= from { self.violate("only what is below is trimmed", facts) }
          self.model.checkEarliest(earliest, of: shard, since: trimmedBefore)
        case .failed(let error): self.failed(error, shard)
        }
      })
  }

  private func failed(_ error: LogError, _ shard: ShardModel) {
    note("cannot read \(shard.label): \(error)")
    model.justify(error, of: shard)
  }

  private func find(_ shard: ShardModel, _ handle: Shard) {
    guard handle.earliest < handle.tail else { return }
    let count = handle.tail.distance(from: handle.earliest)
    let somewhere = handle.earliest + random.below(count)
    guard let known = shard.time(at: somewhere) else { return }
    let time = Timestamp(milliseconds: known + Int64(random.below(3)) - 1)
    let tailBefore = shard.durableTail
    model.counts.finds += 1
    life!.engine.find(
      time, in: handle, on: executor,
      reply: reply { (result: Result<Offset, LogError>) in
        switch result {
        case .success(let found):
          self.check(found, for: time, in: shard, handle.earliest, tailBefore)
        case .failure(let error): self.failed(error, shard)
        }
      })
  }

  /// Whatever is known before the place found is earlier, and what is known from there on is not.
  private func check(
    _ found: Offset, for time: Timestamp, in shard: ShardModel, _ earliest: Offset, _ tail: Offset
  ) {
    // What a trim under way may have dropped before the search is out of question; so with retention.
    var offset = max(earliest, shard.trimAsked)
    if shard.stream.mayExpire { offset = max(offset, found) }
    while offset < tail {
      if let known = shard.time(at: offset), (known < time.milliseconds) != (offset < found) {
        violate(
          "a search by time finds the first",
          "\(shard.label): \(time.milliseconds) found at \(found), \(offset) is of \(known)")
        return
      }
      offset += 1
    }
  }

  private func trim(_ shard: ShardModel, _ handle: Shard) {
    let earliest = handle.earliest
    let count = handle.tail.distance(from: earliest)
    guard count > 0 else { return }
    let before = earliest + random.below(count + 1)
    shard.trimAsked = max(shard.trimAsked, before)
    let trimmedBefore = shard.trimDone
    note("trims \(shard.label) before \(before)")
    life!.engine.trim(
      handle, before: before, on: executor,
      reply: reply { (result: Result<Offset, AppendError>) in
        switch result {
        case .success(let earliest):
          self.note("hears that \(shard.label) begins at \(earliest)")
          self.model.counts.trims += 1
          if earliest < before {
            self.violate("a trim holds", "\(shard.label): \(before), told \(earliest)")
          }
          self.model.checkEarliest(earliest, of: shard, since: trimmedBefore)
          self.simulation.happened(.acknowledged)
        case .failure(let error):
          self.note("hears that \(shard.label) was not trimmed: \(error)")
          self.model.justify(error, of: shard)
        }
      })
  }
}
