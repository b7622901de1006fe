// The owner of one subscription: takes calls, asks the dispatcher, journals what it decides, and answers.
//
// Lives on the executor of the journal's shard. It has a dispatcher only while somebody uses it: ten thousand idle
// subscriptions cost their documents. What it decides within one turn of the executor is one set of changes: acks of
// many requests are one record of the journal. `ok` is said once that is durable. When the journal fails, everything in
// memory is forgotten, and the next life begins with what the journal says.
import Wire

final class SubscriptionOwner: SubscriptionService {
  enum Phase {
    /// Nobody uses it.
    case asleep
    /// The journal is being read.
    case activating
    case active
    /// The journal could not be read or written; nothing is tried before then.
    case resting(until: Duration, SubscriptionError)
    /// What every later call hears.
    case ended(SubscriptionError)
  }
  /// A set of changes on its way to the journal, and what its commit brings about.
  struct OpenSet {
    var replies: [SettleReply] = []
    /// Batches that nobody may see before they are durable.
    var units: [Handover] = []
    var then: ((Result<Offset, SubscriptionError>) -> Void)?
    /// Only `then` is to be called: the dispatcher knows nothing of it.
    var isSnapshot = false
  }
  struct SettleReply {
    var statuses: [SettleStatus]
    var executor: any Executor
    var reply: @Sendable (Result<[SettleStatus], SubscriptionError>) -> Void
  }

  static let waitersMax = 10_000
  static let consumersMax = 10_000
  static let pullsMax = 10_000

  private(set) var subscription: Subscription
  /// nil once it has ended.
  private(set) var engine: Engine?
  let services: OwnerServices
  let tuning: SubscriptionTuning
  let executor: any Executor
  private(set) var phase = Phase.asleep
  private(set) var stream: Stream?
  /// There while active.
  var core: Dispatcher?
  /// Counts dispatchers: what comes back from an earlier one's questions means nothing.
  private(set) var life: UInt32 = 0
  /// Counts writers, likewise.
  private var journalLife: UInt32 = 0
  /// Of the next dispatcher's first lease.
  private var nextLease: UInt64 = 1
  private var writer: JournalWriter?
  private var open: [OpenSet] = []
  /// What the changes that were not taken yet will bring about.
  var next = OpenSet()
  /// A seek is on its way to the journal: nothing is decided meanwhile.
  var isSeeking = false
  private var waiters: [(SubscriptionError?) -> Void] = []
  /// In a row.
  private var journalFailures = 0
  private var isTurnDue = false
  private(set) var isRefusing = false
  private var timer: (due: Duration, job: ScheduledJob)?

  var line = ConsumerLine()
  var roster = ConsumerRoster()
  var fetching = Fetching()
  var shelf: ChunkShelf?
  var burying = Burying()
  var upkeep = Upkeep()
  var replayTracks: [ReplayTrack] = []

  init(_ subscription: Subscription, _ engine: Engine) {
    self.subscription = subscription
    self.engine = engine
    services = engine.services
    tuning = engine.settings.subscriptions
    executor = subscription.journal.executor
  }

  var confined: Confined<SubscriptionOwner> { Confined(self, to: executor) }
  var figures: SubscriptionFigures { subscription.seat.figures }
  var now: Instants { Instants(monotonic: services.time.monotonic, wall: services.time.now) }
  var isPaused: Bool { subscription.spec.state != .active }
  private var policy: DispatchPolicy {
    var policy = subscription.spec.policy
    policy.windowMax = tuning.windowMax
    return policy
  }
  /// Of the leases of this life; another one's are stale. Those of one process grow, and so do the serials.
  var epoch: UInt32 { UInt32(truncatingIfNeeded: services.epoch.rawValue) << 16 | life & 0xffff }

  var endError: SubscriptionError? { if case .ended(let error) = phase { error } else { nil } }

  func post(_ target: any Executor, _ job: @escaping @Sendable () -> Void) {
    services.mailboxes.post(to: target, job)
  }

  // MARK: Lives

  /// Calls `then` once there is a dispatcher, or with why there is none.
  func whenActive(_ then: @escaping (SubscriptionError?) -> Void) {
    if isRefusing { return then(endError ?? .stopping) }
    if let shard = stream?.shards.first, shard.isRemoved { streamRemoved() }
    switch phase {
    case .active where !isSeeking: then(nil)
    case .resting(let until, let error) where until > services.time.monotonic: then(error)
    case .ended(let error): then(error)
    case .resting, .asleep, .activating, .active:
      guard waiters.count < Self.waitersMax else {
        return then(.busy("too many calls wait for the subscription's journal"))
      }
      waiters.append(then)
      activate()
    }
  }

  /// Reads the journal, unless that is being done or may not be done yet.
  func activate() {
    guard let engine, !isRefusing else { return }
    switch phase {
    case .asleep: break
    case .resting(let until, _) where until <= services.time.monotonic: break
    default: return
    }
    guard let source = engine.source(of: subscription) else { return end(.streamReplaced) }
    life &+= 1
    stream = source
    phase = .activating
    let (owner, life) = (confined, life)
    let activation = Activation(engine, subscription, source) { result in
      owner.value.activated(result, life)
    }
    activation.start()
  }

  private func activated(
    _ result: Result<Activation.Outcome, SubscriptionError>, _ life: UInt32
  ) {
    guard case .activating = phase, life == self.life, let engine, let stream else { return }
    let outcome: Activation.Outcome
    switch result {
    case .failure(let error): return takeRest(error)
    case .success(let found): outcome = found
    }
    phase = .active
    journalLife &+= 1
    let (owner, journalLife) = (confined, journalLife)
    writer = JournalWriter(
      engine, subscription.journal, bytesSinceSnapshot: outcome.bytesSinceSnapshot,
      snapshotBytes: outcome.snapshotBytes, snapshotAfterBytes: tuning.snapshotAfterBytes
    ) { error in
      owner.value.journalFailed(error, journalLife)
    }
    if shelf == nil {
      shelf = ChunkShelf(
        shardCount: stream.shards.count, bytesMax: tuning.shelfBytes, budget: engine.shelfBudget)
    }
    // Before anything that goes on from there.
    if outcome.isCut { appendSnapshot(of: outcome.state) { _ in } }
    if case .active = phase { begin(outcome.state) }
  }

  /// A new dispatcher; whoever consumes joins it, and what waited for it goes on.
  func begin(_ state: DispatchState) {
    core = Dispatcher(
      policy, epoch: epoch, state: state, firstLease: nextLease, now: now)
    fetching.begin(shardCount: stream!.shards.count)
    burying.begin()
    upkeep.begin()
    learnReplays()
    for consumer in roster.all {
      consumer.id = core!.join(share: consumer.share)
      roster.joined(consumer)
      core!.setWaiting(consumer.isWaiting, consumer.id!)
    }
    publishFigures()
    scheduleTurn()
    let waiting = waiters
    waiters = []
    for then in waiting { whenActive(then) }
  }

  /// The dispatcher goes, and another begins with `state`, which the journal holds.
  func replace(with state: DispatchState) {
    cancelFollowings()
    upkeep.forget(core)
    roster.forgetDispatcher()
    nextLease = core!.nextLease
    life &+= 1
    begin(state)
  }

  private func journalFailed(_ error: AppendError, _ life: UInt32) {
    guard life == journalLife else { return }
    takeRest(SubscriptionError(error, of: subscription))
  }

  /// Forgets everything but who waits; begins anew after a while.
  func takeRest(_ error: SubscriptionError) {
    journalFailures += 1
    let until = services.time.monotonic + tuning.rest(failures: journalFailures)
    forget(error)
    phase = .resting(until: until, error)
    let waiting = waiters
    waiters = []
    for then in waiting { then(error) }
    armTimer()
  }

  /// Lets go of the dispatcher and of what was open.
  private func forget(_ error: SubscriptionError) {
    publishFigures()
    upkeep.forget(core)
    life &+= 1
    journalLife &+= 1
    writer?.abandon()
    writer = nil
    nextLease = core?.nextLease ?? nextLease
    core = nil
    isSeeking = false
    let failed = open + [next]
    open = []
    next = OpenSet()
    cancelFollowings()
    for consumer in roster.all { consumer.id = nil }
    roster.forgetDispatcher()
    for set in failed {
      for reply in set.replies { post(reply.executor) { reply.reply(.failure(error)) } }
      set.then?(.failure(error))
      // One that is not whole is being read still, and dropped when that is over.
      for unit in set.units where unit.isWhole { drop(unit) }
    }
  }

  /// Gives back its memory when nobody has used it for a while.
  func fallAsleep() {
    guard case .active = phase, line.isEmpty, roster.isEmpty, open.isEmpty, waiters.isEmpty,
      writer?.isIdle ?? true, !isSeeking, burying.isIdle
    else { return }
    forget(.stopping)
    shelf?.clear()
    shelf = nil
    phase = .asleep
  }

  // MARK: Turns

  /// Serves, journals and fetches at the end of the executor's tick, once for all that happened in it.
  func scheduleTurn() {
    guard !isTurnDue else { return }
    isTurnDue = true
    let owner = confined
    executor.execute { owner.value.turn() }
  }

  private func turn() {
    isTurnDue = false
    forgetAbandoned()
    guard case .active = phase else {
      answerExpired()
      if !line.isEmpty { activate() }
      return armTimer()
    }
    let now = now
    if !isSeeking {
      if let due = core!.nextDue, due <= now.monotonic {
        core!.tick(now: now)
        upkeep.isDirty = true
      }
      fetching.setback.tick(now.monotonic)
      fetching.appetite.tick(now.monotonic)
      serve(now)
      bury()
      journal(now)
      if core != nil { fetch(now) }
    }
    answerExpired()
    keepUp(now)
    armTimer()
  }

  /// Hands what was decided to the journal.
  func journal(_ now: Instants, evenIfFull: Bool = false) {
    guard let writer, evenIfFull || !writer.isFull else { return }
    guard let changes = core!.takeChanges() else { return answerUnchanged() }
    open.append(next)
    next = OpenSet()
    let (owner, life) = (confined, journalLife)
    writer.append(JournalFormat.records(of: changes, bytesMax: writer.recordBytesMax)) { place in
      owner.value.committed(at: place, life)
    }
    // It may have failed at once.
    guard core != nil else { return }
    if writer.isSnapshotDue, !evenIfFull { appendSnapshot(of: core!.state(now: now)) { _ in } }
  }

  /// Answers what was settled without anything to be journaled.
  private func answerUnchanged() {
    // Batches that were formed before, given to others now: what says so is on its way.
    if let last = open.indices.last {
      open[last].units += next.units
      next.units = []
    }
    guard !next.replies.isEmpty else { return }
    for reply in next.replies {
      let statuses = reply.statuses
      post(reply.executor) { reply.reply(.success(statuses)) }
    }
    next.replies = []
  }

  /// Appends a snapshot behind what was taken; once it is durable the journal begins with it.
  func appendSnapshot(
    of state: DispatchState, then: @escaping (Result<Void, SubscriptionError>) -> Void
  ) {
    guard let writer else { return }
    let (owner, life) = (confined, journalLife)
    var set = OpenSet()
    set.isSnapshot = true
    set.then = { [weak self] result in
      if case .success(let start) = result, let self, let engine = self.engine {
        engine.trim(self.subscription.journal, before: start, on: self.executor) { _ in }
      }
      then(result.map { _ in () })
    }
    open.append(set)
    let bytesMax = min(JournalFormat.partBytesMax, writer.recordBytesMax)
    writer.append(
      JournalFormat.snapshot(of: state, partBytesMax: bytesMax), isSnapshot: true
    ) { place in
      owner.value.committed(at: place, life)
    }
  }

  private func committed(at place: Offset, _ life: UInt32) {
    guard life == journalLife, !open.isEmpty, core != nil else { return }
    journalFailures = 0
    let set = open.removeFirst()
    if !set.isSnapshot { core!.committed(now: now) }
    upkeep.isDirty = true
    upkeep.hasMoved = true
    for reply in set.replies {
      let statuses = reply.statuses
      post(reply.executor) { reply.reply(.success(statuses)) }
    }
    for unit in set.units {
      unit.isDurable = true
      hand(over: unit)
    }
    set.then?(.success(place))
    if !replayTracks.isEmpty { learnReplays() }
    scheduleTurn()
  }

  // MARK: Time

  /// Wakes at the next moment at which something is due.
  func armTimer() {
    var due = expiryDue
    func consider(_ time: Duration?) {
      guard let time else { return }
      due = min(due ?? time, time)
    }
    switch phase {
    case .active where !isSeeking:
      consider(core!.nextDue)
      consider(fetching.setback.retryAt)
      consider(fetching.appetite.resumesAt)
      if !isRefusing { consider(burying.setback.retryAt) }
      consider(lingerDue)
      consider(upkeep.due)
    case .resting(let until, _) where !line.isEmpty || !roster.isEmpty: consider(until)
    default: break
    }
    guard let due else { return }
    if let timer, timer.due <= due { return }
    timer?.job.cancel()
    let owner = confined
    let delay = max(due - services.time.monotonic, .milliseconds(1))
    let job = executor.schedule(after: delay) { owner.value.timerFired(due) }
    timer = (due, job)
  }

  private func timerFired(_ due: Duration) {
    guard timer?.due == due else { return }
    timer = nil
    if case .resting(let until, _) = phase, until <= services.time.monotonic,
      !line.isEmpty || !roster.isEmpty
    {
      activate()
    }
    scheduleTurn()
  }

  // MARK: Changes from outside

  func changed(to changed: Subscription) {
    guard endError == nil, changed.revision > subscription.revision else { return }
    let before = subscription
    subscription = changed
    core?.policy = policy
    if (before.spec.webhook == nil) != (changed.spec.webhook == nil) {
      for consumer in roster.all where consumer.push != nil && !takes(consumer.kind) {
        dismiss(consumer, .wrongDelivery)
      }
      dismissPulls(.wrongDelivery) { !takes($0.consumer.kind) }
    }
    scheduleTurn()
  }

  /// Whether consumers of this kind may have its records.
  func takes(_ kind: ConsumerOptions.Kind) -> Bool {
    (kind == .webhook) == (subscription.spec.webhook != nil)
  }

  func delete() { end(.notFound) }

  /// The stream that it reads was deleted.
  func streamRemoved() { end(.streamReplaced) }

  // MARK: The end

  func refuse() {
    guard !isRefusing else { return }
    isRefusing = true
    dismissAll(endError ?? .stopping)
  }

  var isSettled: Bool {
    switch phase {
    case .activating: false
    case .active: open.isEmpty && next.replies.isEmpty && !burying.isUnderWay
    default: true
    }
  }

  func stop() { end(.stopping) }

  private func end(_ error: SubscriptionError) {
    guard endError == nil else { return }
    forget(error)
    phase = .ended(error)
    timer?.job.cancel()
    timer = nil
    let waiting = waiters
    waiters = []
    for then in waiting { then(error) }
    dismissAll(error)
    shelf?.clear()
    shelf = nil
    stream = nil
    engine = nil
  }

  private func dismissPulls(_ error: SubscriptionError, where goes: (WaitingPull) -> Bool) {
    for pull in line.remove(where: goes) {
      leftLine(pull)
      answer(pull, .failure(error))
    }
  }

  private func dismissAll(_ error: SubscriptionError) {
    dismissPulls(error) { _ in true }
    // At once, and the last first: ten thousand are not to be looked for one by one.
    line = ConsumerLine()
    for consumer in roster.all.reversed() where consumer.push != nil {
      dismiss(consumer, ConsumerEnd(error))
    }
  }
}

extension SubscriptionSpec {
  var policy: DispatchPolicy {
    var policy = DispatchPolicy()
    switch ordering {
    case .key: policy.ordering = .key
    case .shard: policy.ordering = .shard
    case .none: policy.ordering = .none
    }
    policy.maxInFlight = maxInFlight
    policy.buries = deadLetter != nil
    // A webhook's own times and tries take the place of these.
    let isWebhook = webhook != nil
    policy.ackDeadline = isWebhook ? nil : ackDeadline
    policy.maxDeliveries = isWebhook ? nil : maxDeliveries
    policy.backoff = isWebhook ? [] : backoff
    return policy
  }
}

extension SubscriptionError {
  /// What a failure of the journal means for the calls that waited for it.
  init(_ error: AppendError, of subscription: Subscription) {
    switch error {
    case .fenced: self = .fenced
    case .diskFull: self = .diskFull
    case .gone: self = .notFound
    case .stopping: self = .stopping
    case .busy: self = .busy("the queue to disk is full")
    case .device(let what, let applied):
      self = .storage(
        "the journal of subscription \(subscription.name) failed: \(what)", applied: applied)
    default:
      self = .storage(
        "the journal of subscription \(subscription.name) failed: \(error)", applied: .no)
    }
  }
}

extension ConsumerEnd {
  init(_ error: SubscriptionError) {
    switch error {
    case .notFound: self = .deleted
    case .streamReplaced: self = .streamReplaced
    case .stopping: self = .stopping
    case .wrongDelivery: self = .wrongDelivery
    default: self = .failed("\(error)")
    }
  }
}
