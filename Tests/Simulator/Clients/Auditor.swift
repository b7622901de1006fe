// Reads every shard whole after a restart, so that the model knows what is there and what never will be.
import Engine
import Wire

final class Auditor: Client {
  private var rest: [ShardModel] = []
  private(set) var isDone = false
  private var failures = 0
  /// Some files are damaged on purpose: saying so is right, anything else wrong.
  var expectsDamage = false

  /// Nothing is read yet in the life that begins.
  func reset() {
    isDone = false
    failures = 0
  }

  override func start() {
    rest = simulation.keeper.streams.flatMap(\.shards)
    next()
  }

  override var waitsFor: String { "the audit of \(rest.last?.label ?? "nothing")" }

  private func next() {
    guard let shard = rest.last else {
      note("has read everything")
      isDone = true
      return
    }
    guard let handle = handle(of: shard) else { return }
    read(shard, handle, began: handle.earliest, from: handle.earliest)
  }

  private func read(_ shard: ShardModel, _ handle: Shard, began: Offset, from: Offset) {
    life!.engine.read(
      handle, from: from, bytesMax: 1 + random.below(20_000), on: executor,
      reply: reply { (outcome: ReadOutcome) in
        switch outcome {
        case .frames(let chunk):
          let end = self.check(chunk, from: from, shard)
          if self.simulation.world.violation == nil {
            self.read(shard, handle, began: began, from: end)
          }
        case .atTail:
          self.model.readWhole(shard, earliest: began, tail: from)
          self.rest.removeLast()
          self.next()
        case .trimmed(let earliest):
          // Retention goes on meanwhile.
          self.model.checkEarliest(earliest, of: shard, since: shard.trimDone)
          self.read(shard, handle, began: earliest, from: earliest)
        case .beyondTail(let tail):
          self.violate("no hole", "\(shard.label): read to \(from), tail \(tail)")
        case .failed(let error): self.failed(error, shard)
        }
      })
  }

  private func check(_ chunk: FrameChunk, from: Offset, _ shard: ShardModel) -> Offset {
    if chunk.start > from || chunk.end <= from {
      violate("no hole", "\(shard.label) from \(from): \(chunk.start)..<\(chunk.end)")
    }
    var position = from
    chunk.forEachRecord(from: from) { record in
      if record.offset != position {
        violate("no hole", "\(shard.label): \(record.offset) after \(position)")
      }
      model.seen(record, in: shard, by: name)
      position = record.offset + 1
      return simulation.world.violation == nil
    }
    chunk.forEachFrame { header, _ in model.seen(header, in: shard, by: name) }
    return chunk.end
  }

  private func failed(_ error: LogError, _ shard: ShardModel) {
    note("cannot read \(shard.label): \(error)")
    if expectsDamage, case .damaged = error {
      rest.removeLast()
      return next()
    }
    failures += 1
    if !model.hadFaults || failures > 20 {
      violate("a fault is answered only to a fault", "\(shard.label): \(error)")
    }
    later(.milliseconds(20)) { self.next() }
  }
}
