// The owner of one shard: stages appends, answers them when they are durable, and wakes followers.
//
// Lives on the shard's executor. Opens the log under the node's epoch on the first append or trim, not before: ten
// thousand idle shards cost ten thousand handles and nothing else.
import Wire

/// What every owner of a node shares.
struct OwnerServices: Sendable {
  let log: any LogStore
  let time: any TimeSource
  let epoch: Epoch
  let limits: ShardLimits
  let mailboxes: Mailboxes
  let meters: Meters
}

final class ShardOwner: LogClient, StoppableOwner {
  private enum State {
    case closed
    /// Calls that wait for the log to open.
    case opening([(Result<Void, AppendError>) -> Void])
    case open(ShardCore)
    /// Deleted, or the engine stopped: what every later call hears.
    case ended(AppendError)
  }
  private struct Waiter {
    /// Answered once everything before this is durable.
    var offsets: Range<Offset>
    var isDuplicate: Bool
    var executor: any Executor
    var reply: AppendReply
  }
  private struct Follower {
    var id: UInt64
    var executor: any Executor
    var deliver: @Sendable (Engine.FollowEvent) -> Void
  }
  private struct Trimmer {
    var before: Offset
    var executor: any Executor
    var reply: @Sendable (Result<Offset, AppendError>) -> Void
  }

  /// Appends of one shard that may wait for the log to open.
  private static let openingQueueMax = 10_000

  private let shard: Shard
  private let services: OwnerServices
  private var state = State.closed
  /// In the order of the offsets that they wait for.
  private var waiters: [Waiter] = []
  private var followers: [Follower] = []
  private var trimmers: [Trimmer] = []
  private var lastFollower: UInt64 = 0
  private var isRefusing = false

  init(_ shard: Shard, _ services: OwnerServices) {
    self.shard = shard
    self.services = services
  }

  // MARK: Appending

  func append(
    _ draft: consuming FrameDraft, if condition: AppendCondition, on executor: any Executor,
    reply: @escaping AppendReply
  ) {
    let (bytes, bytesMax) = (draft.byteCount, services.log.frameBytesMax)
    guard bytes <= bytesMax else {
      return answer(executor, reply, .failure(.tooLarge(bytes: bytes, bytesMax: bytesMax)))
    }
    guard case .open(var core) = state, !isRefusing else {
      let draft = draft
      return whenOpen { [self] opened in
        switch opened {
        case .success: append(draft, if: condition, on: executor, reply: reply)
        case .failure(let error): answer(executor, reply, .failure(error))
        }
      }
    }
    guard services.log.room(for: shard.id) > 0 else {
      return answer(executor, reply, .failure(.busy))
    }
    // The core is moved out while it changes, so that its tables are not copied.
    state = .closed
    let staged: Result<ShardCore.Staged, AppendError>
    do {
      staged = .success(try core.stage(draft, if: condition, now: services.time.now))
    } catch {
      staged = .failure(error)
    }
    let durable = core.durable
    state = .open(core)

    switch staged {
    case .failure(let error):
      answer(executor, reply, .failure(error))
    case .success(.duplicate(let offsets)) where offsets.upperBound <= durable:
      answer(executor, reply, .success(Appended(offsets: offsets, isDuplicate: true)))
    case .success(.duplicate(let offsets)):
      // With the batch that it repeats: what follows that one may fail.
      let place = waiters.firstIndex { $0.offsets.upperBound > offsets.upperBound }
      waiters.insert(
        Waiter(offsets: offsets, isDuplicate: true, executor: executor, reply: reply),
        at: place ?? waiters.endIndex)
    case .success(.frame(let frame)):
      waiters.append(
        Waiter(
          offsets: frame.baseOffset..<frame.endOffset, isDuplicate: false, executor: executor,
          reply: reply))
      services.log.append(frame)
    }
  }

  private func answer(
    _ executor: any Executor, _ reply: @escaping AppendReply,
    _ result: Result<Appended, AppendError>
  ) {
    services.mailboxes.post(to: executor) { reply(result) }
  }

  private func whenOpen(_ then: @escaping (Result<Void, AppendError>) -> Void) {
    if isRefusing { return then(.failure(.stopping)) }
    switch state {
    case .open: then(.success(()))
    case .ended(let error): then(.failure(error))
    case .opening(var queue):
      guard queue.count < Self.openingQueueMax else { return then(.failure(.busy)) }
      state = .closed
      queue.append(then)
      state = .opening(queue)
    case .closed:
      state = .opening([then])
      let owner = Confined(self, to: shard.executor)
      services.log.open(shard.id, epoch: services.epoch, client: self) { result in
        owner.value.opened(result)
      }
    }
  }

  /// Says which idempotency keys it remembers; opens the log for that if need be.
  func rememberedKeys(_ reply: @escaping (KeyDesk.Remembered) -> Void) {
    whenOpen { [self] opened in
      guard case .open(let core) = state else {
        if case .failure(let error) = opened { return reply(.failure(error)) }
        return reply(.failure(.stopping))
      }
      reply(.success(core.rememberedKeys))
    }
  }

  private func opened(_ result: Result<ShardRecovery, LogError>) {
    guard case .opening(let queue) = state else { return }
    switch result {
    case .success(let recovery):
      precondition(
        recovery.summary.tail == shard.tail,
        "shard \(shard.id) was published at \(shard.tail), its log ends at \(recovery.summary.tail)"
      )
      state = .open(
        ShardCore(
          shard: shard.id, epoch: services.epoch, recovery: recovery, limits: services.limits))
      for then in queue { then(.success(())) }
    case .failure(let error):
      // The next call tries again.
      state = .closed
      for then in queue { then(.failure(AppendError(error, applied: .no))) }
    }
  }

  // MARK: The log's answers

  func log(_ shard: ShardID, committed frames: [Frame]) {
    guard case .open(var core) = state, let last = frames.last else { return }
    state = .closed
    core.commit(upTo: last.endOffset)
    let durable = core.durable
    state = .open(core)
    self.shard.publish(
      tail: durable, addingBytes: frames.reduce(0) { $0 + $1.byteCount })
    if !followers.isEmpty {
      let chunk = FrameChunk(frames)
      for follower in followers { deliver(.records(chunk), to: follower) }
    }
    answerWaiters(upTo: durable)
  }

  private func answerWaiters(upTo durable: Offset) {
    var answered = 0
    while answered < waiters.count, waiters[answered].offsets.upperBound <= durable {
      answered += 1
    }
    guard answered > 0 else { return }
    let ready = Array(waiters[..<answered])
    waiters.removeFirst(answered)
    for waiter in ready {
      let appended = Appended(offsets: waiter.offsets, isDuplicate: waiter.isDuplicate)
      if !waiter.isDuplicate {
        services.meters.records.wrappingAdd(
          waiter.offsets.upperBound.distance(from: waiter.offsets.lowerBound), ordering: .relaxed)
      }
      answer(waiter.executor, waiter.reply, .success(appended))
    }
  }

  func log(_ shard: ShardID, undecided error: LogError) {
    if case .open(var core) = state {
      state = .closed
      core.takeBack()
      state = .open(core)
    }
    let applied: Applied
    switch error {
    case .full, .fenced, .gone: applied = .no
    case .device, .damaged: applied = .maybe
    }
    let failed = waiters
    waiters = []
    for waiter in failed {
      answer(waiter.executor, waiter.reply, .failure(AppendError(error, applied: applied)))
    }
    failTrimmers(AppendError(error, applied: applied))
    if case .fenced = error { state = .closed }
  }

  func log(_ shard: ShardID, trimmed earliest: Offset, bytes: Int) {
    self.shard.publish(earliest: earliest, bytes: bytes)
    let done = trimmers.filter { $0.before <= earliest }
    trimmers.removeAll { $0.before <= earliest }
    for trimmer in done {
      services.mailboxes.post(to: trimmer.executor) { trimmer.reply(.success(earliest)) }
    }
  }

  // MARK: Trimming

  func trim(
    before: Offset, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, AppendError>) -> Void
  ) {
    let mailboxes = services.mailboxes
    whenOpen { [self] opened in
      if case .failure(let error) = opened {
        return mailboxes.post(to: executor) { reply(.failure(error)) }
      }
      let before = min(before, shard.tail)
      guard before > shard.earliest else {
        let earliest = shard.earliest
        return mailboxes.post(to: executor) { reply(.success(earliest)) }
      }
      trimmers.append(Trimmer(before: before, executor: executor, reply: reply))
      services.log.trim(shard.id, before: before, epoch: services.epoch)
    }
  }

  private func failTrimmers(_ error: AppendError) {
    let failed = trimmers
    trimmers = []
    for trimmer in failed {
      services.mailboxes.post(to: trimmer.executor) { trimmer.reply(.failure(error)) }
    }
  }

  // MARK: Following

  func follow(
    from: Offset?, on executor: any Executor,
    deliver: @escaping @Sendable (Engine.FollowEvent) -> Void,
    reply: @escaping @Sendable (Engine.FollowOutcome) -> Void
  ) {
    let outcome: Engine.FollowOutcome
    if case .ended = state {
      outcome = .gone
    } else if from == nil || from == shard.tail {
      lastFollower += 1
      let id = lastFollower
      followers.append(Follower(id: id, executor: executor, deliver: deliver))
      let owner = Confined(self, to: shard.executor)
      let mailboxes = services.mailboxes
      outcome = .following(
        Following(start: shard.tail) {
          mailboxes.post(to: owner.executor) {
            owner.value.followers.removeAll { $0.id == id }
          }
        })
    } else {
      outcome = .behind(tail: shard.tail)
    }
    services.mailboxes.post(to: executor) { reply(outcome) }
  }

  private func deliver(_ event: Engine.FollowEvent, to follower: Follower) {
    let deliver = follower.deliver
    services.mailboxes.post(to: follower.executor) { deliver(event) }
  }

  // MARK: Ending

  func refuse() { isRefusing = true }

  /// Nothing is taken from now on: the stream was deleted, or the engine is stopping.
  func end(_ error: AppendError) {
    let opening: [(Result<Void, AppendError>) -> Void]
    if case .opening(let queue) = state { opening = queue } else { opening = [] }
    state = .ended(error)
    for then in opening { then(.failure(error)) }
    let failed = waiters
    waiters = []
    for waiter in failed { answer(waiter.executor, waiter.reply, .failure(error)) }
    failTrimmers(error)
    let ended = followers
    followers = []
    for follower in ended { deliver(.ended(gone: error == .gone), to: follower) }
  }

  func stop() { end(.stopping) }

  var isSettled: Bool {
    if case .opening = state { return false }
    return waiters.isEmpty && trimmers.isEmpty
  }
}

extension AppendError {
  init(_ error: LogError, applied: Applied) {
    switch error {
    case .fenced: self = .fenced
    case .full: self = .diskFull
    case .device(let what): self = .device(what, applied: applied)
    case .damaged(let file, let position, let what):
      self = .device("\(file) is damaged at byte \(position): \(what)", applied: applied)
    case .gone: self = .gone
    }
  }
}
