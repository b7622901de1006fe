// A client that reads a shard from some place on, joins the live tail, falls behind, and must see every record once.
import Engine
import Wire

final class Follower: Client {
  private var shard: ShardModel?
  private var position = Offset.zero
  private var following: Following?
  /// Counts the times it joined or left, to know what is meant for an earlier time.
  private var joined = 0
  private var isBusy = false

  override func start() { act() }

  override func dropped() {
    following = nil
    isBusy = false
  }

  override var isSettled: Bool {
    guard let shard, model.shards[shard.id] != nil else { return true }
    return following != nil && position >= shard.durableTail
  }

  override var waitsFor: String {
    "\(shard?.label ?? "nothing"): is at \(position) of \(shard?.durableTail ?? .zero)"
  }

  private func act() {
    defer { later(pause()) { self.act() } }
    guard !isBusy else { return }
    if shard == nil || model.shards[shard!.id] == nil || (random.oneIn(300) && !isWindingDown) {
      return choose()
    }
    if following != nil {
      if random.oneIn(8) && !isWindingDown { leave() }
      return
    }
    read()
  }

  private func choose() {
    leave()
    shard = simulation.pickShard(&random)
    guard let shard, let handle = handle(of: shard) else { return }
    position = random.oneIn(2) ? handle.earliest : handle.tail
  }

  private func leave() {
    following?.cancel()
    following = nil
    joined += 1
  }

  // MARK: History

  private func read() {
    guard let shard, let handle = handle(of: shard) else { return }
    isBusy = true
    life!.engine.read(
      handle, from: position, bytesMax: 1 + random.below(6000), on: executor,
      reply: reply { self.heard($0, shard, handle) })
  }

  private func heard(_ outcome: ReadOutcome, _ shard: ShardModel, _ handle: Shard) {
    isBusy = false
    switch outcome {
    case .frames(let chunk):
      if chunk.isEmpty || chunk.start > position || chunk.end <= position {
        violate(
          "a read begins where asked", "\(shard.label) \(position): \(chunk.start)..<\(chunk.end)")
      }
      model.counts.recordsRead += chunk.end.distance(from: position)
      take(chunk, shard)
      if !random.oneIn(4) { read() }
    case .atTail: join(shard, handle)
    case .trimmed(let earliest):
      if earliest <= position {
        violate("only what is below is trimmed", "\(shard.label) \(position): \(earliest)")
      }
      model.checkEarliest(earliest, of: shard, since: .zero)
      position = max(position, earliest)
    case .beyondTail(let tail):
      violate("what was read stays", "\(shard.label): was at \(position), tail \(tail)")
    case .failed(let error): failed(error, shard)
    }
  }

  private func failed(_ error: LogError, _ shard: ShardModel) {
    note("cannot read \(shard.label): \(error)")
    model.justify(error, of: shard)
  }

  private func take(_ chunk: FrameChunk, _ shard: ShardModel) {
    chunk.forEachRecord(from: position) { record in
      if record.offset != position {
        violate("no hole", "\(shard.label): \(record.offset) after \(position)")
        return false
      }
      model.seen(record, in: shard, by: name)
      position += 1
      return true
    }
    if position != chunk.end {
      violate("no hole", "\(shard.label): ended at \(position), not at \(chunk.end)")
    }
    simulation.happened(.shown)
  }

  // MARK: Live

  private func join(_ shard: ShardModel, _ handle: Shard) {
    isBusy = true
    joined += 1
    let ticket = joined
    // The hand-over is the owner's, and no seam lies before it: this bug is planted in the question.
    let isCareless = simulation.settings.bug == .gapAtHandover
    life!.engine.follow(
      handle, from: isCareless ? nil : position, on: executor,
      deliver: reply { self.delivered($0, shard, ticket) },
      reply: reply { (outcome: Engine.FollowOutcome) in
        self.isBusy = false
        switch outcome {
        case .following(let following):
          self.model.counts.handovers += 1
          self.note("follows \(shard.label) from \(self.position)")
          self.following = following
        case .behind(let tail):
          if tail <= self.position {
            self.violate("behind is behind", "\(shard.label): \(self.position), tail \(tail)")
          }
        case .gone:
          self.model.justify(LogError.gone, of: shard)
        }
      })
  }

  private func delivered(_ event: Engine.FollowEvent, _ shard: ShardModel, _ ticket: Int) {
    // What was on its way when it left.
    guard ticket == joined else { return }
    switch event {
    case .records(let chunk):
      if chunk.start != position {
        violate(
          "no hole between history and live",
          "\(shard.label): is at \(position), is given \(chunk.start)..<\(chunk.end)")
      }
      model.counts.recordsFollowed += chunk.end.distance(from: chunk.start)
      take(chunk, shard)
    case .ended(let isGone):
      note("is told that \(shard.label) ended")
      following = nil
      model.justify(isGone ? AppendError.gone : .stopping, of: shard)
    }
  }
}
