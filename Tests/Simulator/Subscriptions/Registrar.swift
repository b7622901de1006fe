// The client that makes, changes, moves and deletes subscriptions, one change at a time, until it knows of each.
import Engine
import Wire

final class Registrar: Client {
  /// What it knows of a name.
  private enum Entry {
    case absent
    case present(SubscriptionModel)
    /// Creation was asked for and nobody knows.
    case asked(StreamModel, SubscriptionPlan)
    /// Deletion was asked for and nobody knows.
    case doomed(SubscriptionModel)

    var isOpen: Bool {
      switch self {
      case .asked, .doomed: true
      case .absent, .present: false
      }
    }
  }
  private let names: [String]
  private var entries: [String: Entry] = [:]
  private var isBusy = false
  /// Not looked at since the server came back: what it knows is checked before it is told anything new.
  private var unseen: [String] = []
  /// Every subscription that there ever was.
  private(set) var all: [SubscriptionModel] = []
  /// Those of which everything was seen to be settled, once no more came.
  private var drained: Set<UInt64> = []
  private let secret = SigningSecret("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")!

  init(_ name: String, _ simulation: Simulation, seed: UInt64, names: [String]) {
    self.names = names
    super.init(name, simulation, seed: seed)
    for name in names { entries[name] = .absent }
  }

  /// Subscriptions that are there for certain, and whose streams are.
  var subscriptions: [SubscriptionModel] {
    names.compactMap {
      guard case .present(let known) = entries[$0]!, known.isUsable else { return nil }
      return known
    }
  }

  func pick(_ random: inout Random, webhooks: Bool) -> SubscriptionModel? {
    let fitting = subscriptions.filter { $0.plan.isWebhook == webhooks }
    return fitting.isEmpty ? nil : fitting[random.below(fitting.count)]
  }

  override var isSettled: Bool {
    !isBusy && entries.values.allSatisfy { !$0.isOpen }
      && subscriptions.allSatisfy { drained.contains($0.incarnation) }
  }

  override var waitsFor: String {
    let open = names.filter { entries[$0]!.isOpen }
    let owed = subscriptions.filter { !drained.contains($0.incarnation) }.map(\.lastSeen)
    return "changes of \(open), everything settled of \(owed)"
  }

  override func start() {
    unseen = names
    act()
  }
  override func dropped() {
    isBusy = false
    drained = []
    for subscription in all { subscription.crashed() }
  }

  private func act() {
    let pause = random.below(simulation.awaitsSeek ? 1500 : 6000)
    defer { later(.microseconds(pause)) { self.act() } }
    guard !isBusy, simulation.undertaker.hasStream else { return }
    for name in names {
      switch entries[name]! {
      case .asked(let stream, let plan): return create(name, stream, plan)
      case .doomed(let known): return delete(known)
      case .absent, .present: break
      }
    }
    while let name = unseen.popLast() {
      if case .present(let known) = entries[name]!, known.isUsable { return look(known) }
    }
    let name = names[random.below(names.count)]
    switch entries[name]! {
    case .present(let known):
      // Of a stream that is gone nothing more can be had.
      if !known.isUsable { return random.oneIn(8) && !isWindingDown ? delete(known) : () }
      isWindingDown ? windDown(known) : change(known)
    case .absent:
      guard !isWindingDown, let stream = simulation.keeper.streams.randomElement(&random) else {
        return
      }
      create(name, stream, SubscriptionPlan(drawing: &random))
    case .asked, .doomed: break
    }
  }

  private func change(_ known: SubscriptionModel) {
    if simulation.awaitsSeek {
      if known.settledAndKept < 3 { return look(known) }
      return seek(known, to: random.oneIn(4) ? drawTarget(known) : .earliest)
    }
    switch random.below(100) {
    case 0: delete(known)
    case 1...3: patch(known)
    case 4...6: setState(known, isPaused: !known.isPaused)
    case 7...16: if simulation.settings.hasSeeks { seek(known, to: drawTarget(known)) }
    case 17...20: if simulation.settings.hasSeeks { replay(known) }
    case 21..<40: look(known)
    case 40..<60: lookInFlight(known)
    default: if known.isPaused { setState(known, isPaused: false) }
    }
  }

  private func windDown(_ known: SubscriptionModel) {
    if known.mayBePaused { return setState(known, isPaused: false) }
    if !drained.contains(known.incarnation) { look(known) }
  }

  private func handle(_ known: SubscriptionModel) -> Subscription? { handle(of: known) }

  // MARK: Making

  private func create(_ name: String, _ stream: StreamModel, _ plan: SubscriptionPlan) {
    isBusy = true
    entries[name] = .asked(stream, plan)
    let tails = stream.shards.map(\.durableTail)
    note("subscribes \(name) to \(stream.name): \(plan)")
    life!.engine.ensureSubscription(
      name,
      plan.fields(
        stream: stream.name, deadLetter: simulation.undertaker.streamName, simulation.settings.bug),
      createOnly: true, freshSecret: secret, on: executor,
      reply: reply { (result: Result<Engine.SubscriptionOutcome, CatalogError>) in
        self.isBusy = false
        switch result {
        case .success(.created(let subscription)), .success(.exists(let subscription)):
          self.found(subscription, stream, plan)
          self.checkStart(subscription, plan, tails)
        case .failure(.alreadyExists):
          // An earlier attempt of ours, which nobody answered.
          guard let subscription = self.life!.engine.subscription(named: name) else { return }
          self.found(subscription, stream, plan)
        case .failure(.noStream(_, _)) where stream.mayBeDeleted: self.entries[name] = .absent
        case .failure(let error):
          self.failed("subscribe \(name)", error)
          if error.hadNoEffect { self.entries[name] = .absent }
        }
      })
  }

  private func found(
    _ subscription: Subscription, _ stream: StreamModel, _ plan: SubscriptionPlan
  ) {
    note("hears that \(subscription.name) is \(subscription.incarnation)")
    if subscription.spec.streamIncarnation != stream.incarnation {
      guard !stream.mayBeDeleted else { return adopt(subscription, plan) }
      violate("a subscription reads its stream", subscription.name)
    }
    let known = SubscriptionModel(
      subscription.name, incarnation: subscription.incarnation, stream: stream, plan: plan,
      places: subscription.spec.startPlaces, model)
    all.append(known)
    model.counts.subscriptions += 1
    entries[subscription.name] = .present(known)
  }

  /// It was made on a later stream of the same name than the one that was thought of.
  private func adopt(_ subscription: Subscription, _ plan: SubscriptionPlan) {
    let streams = simulation.keeper.streams
    guard
      let stream = streams.first(where: { $0.incarnation == subscription.spec.streamIncarnation })
    else { return }
    found(subscription, stream, plan)
  }

  private func checkStart(
    _ subscription: Subscription, _ plan: SubscriptionPlan, _ tails: [Offset]
  ) {
    guard case .tail = plan.start else { return }
    for (place, tail) in zip(subscription.spec.startPlaces, tails) where place < tail {
      violate("a subscription begins where asked", "\(subscription.name): \(place), tail \(tail)")
    }
  }

  private func failed(_ what: String, _ error: CatalogError) {
    note("cannot \(what): \(error)")
    if case .failed = error, model.hadFaults { return }
    if case .stopping = error, model.isStopping { return }
    violate("a fault is answered only to a fault", "\(what): \(error)")
  }

  // MARK: Changing

  private func patch(_ known: SubscriptionModel) {
    isBusy = true
    let fields = known.changePlan(&random)
    note("changes \(known.label)")
    life!.engine.changeSubscription(
      known.name, fields, ifRevision: nil, freshSecret: secret, on: executor,
      reply: reply { self.changed(known, $0, "change") })
  }

  private func setState(_ known: SubscriptionModel, isPaused: Bool) {
    guard let handle = handle(known) else { return }
    isBusy = true
    known.mayBePaused = true
    if !isPaused { known.resumes() }
    note("\(isPaused ? "pauses" : "resumes") \(known.label)")
    life!.engine.setState(
      of: handle, to: isPaused ? .paused : .active, on: executor,
      reply: reply { (result: Result<Subscription, CatalogError>) in
        self.changed(known, result, isPaused ? "pause" : "resume")
        guard case .success = result else { return }
        self.note("hears that \(known.label) is \(isPaused ? "paused" : "active")")
        known.isPaused = isPaused
        known.mayBePaused = isPaused
      })
  }

  private func changed(
    _ known: SubscriptionModel, _ result: Result<Subscription, CatalogError>, _ what: String
  ) {
    isBusy = false
    guard case .failure(let error) = result else { return }
    switch error {
    case .streamReplaced, .noStream: if known.stream.mayBeDeleted { return }
    default: break
    }
    failed("\(what) \(known.label)", error)
  }

  // MARK: Deleting

  private func delete(_ known: SubscriptionModel) {
    isBusy = true
    known.mayBeDeleted = true
    let before = entries[known.name]!
    entries[known.name] = .doomed(known)
    note("deletes \(known.label)")
    life!.engine.deleteSubscription(
      known.name, ifRevision: nil, on: executor,
      reply: reply { (result: Result<Void, CatalogError>) in
        self.isBusy = false
        switch result {
        case .success, .failure(.notFound):
          self.note("hears that \(known.label) is gone")
          self.entries[known.name] = .absent
        case .failure(let error):
          self.failed("delete \(known.label)", error)
          guard error.hadNoEffect, case .present = before else { return }
          self.entries[known.name] = before
          known.mayBeDeleted = false
        }
      })
  }

  // MARK: Moving

  private func seek(_ known: SubscriptionModel, to target: SeekTarget) {
    guard let handle = handle(known) else { return }
    isBusy = true
    known.seeks()
    note("sends \(known.label) to \(target)")
    life!.engine.seek(
      handle, to: target, on: executor,
      reply: reply { (result: Result<[Offset], SubscriptionError>) in
        self.isBusy = false
        switch result {
        case .success(let places):
          self.note("hears that \(known.label) is at \(places)")
          self.model.counts.seeks += 1
          known.sought(to: places)
          self.checkPlaces(places, target, known)
          self.simulation.happened(.sought)
        case .failure(let error):
          self.note("cannot send \(known.label): \(error)")
          known.soughtInVain(certainly: error.hadNoEffect)
          known.justify(error)
        }
      })
  }

  private func drawTarget(_ known: SubscriptionModel) -> SeekTarget {
    switch random.below(4) {
    case 0: return .earliest
    case 1: return .tail
    default:
      let shard = known.stream.shards[random.below(known.stream.shards.count)]
      return .offsets([
        shard.index: Offset(UInt64(random.below(Int(shard.durableTail.rawValue) + 1)))
      ])
    }
  }

  private func checkPlaces(_ places: [Offset], _ target: SeekTarget, _ known: SubscriptionModel) {
    guard places.count == known.stream.shards.count else {
      return violate("a seek says each shard's place", "\(known.label): \(places)")
    }
    guard case .offsets(let wanted) = target else { return }
    for shard in known.stream.shards {
      guard let place = wanted[shard.index], places[shard.index] != place else { continue }
      if places[shard.index] < place || (place >= shard.trimAsked && !known.stream.mayExpire) {
        violate("a seek goes where asked", "\(known.label): \(places), asked for \(target)")
      }
    }
  }

  private func replay(_ known: SubscriptionModel) {
    guard let handle = handle(known) else { return }
    isBusy = true
    known.revivals += 1
    let request = ReplayRequest(
      from: random.oneIn(2) ? .earliest : drawTarget(known), to: .tail,
      only: random.oneIn(2) ? .all : .failed)
    note("replays \(known.label): \(request)")
    life!.engine.replay(
      handle, request, on: executor,
      reply: reply { (result: Result<[SubscriptionStatus.Replay], SubscriptionError>) in
        self.isBusy = false
        switch result {
        case .success(let replays):
          self.note("hears that \(known.label) replays \(replays)")
          self.model.counts.replays += 1
        case .failure(let error):
          self.note("cannot replay \(known.label): \(error)")
          if case .busy = error { return }
          known.justify(error)
        }
      })
  }

  // MARK: Looking

  private func look(_ known: SubscriptionModel) {
    guard let handle = handle(known) else { return }
    isBusy = true
    let asked = known.asks()
    let settledBefore = known.stream.shards.map { known.settledLeast($0.index) }
    let pausedBefore = known.mayBePaused
    life!.engine.status(
      of: handle, on: executor,
      reply: reply { (result: Result<SubscriptionStatus, SubscriptionError>) in
        self.isBusy = false
        switch result {
        case .success(let status):
          self.model.counts.looks += 1
          known.lastSeen = "\(known.label): \(status)"
          guard known.holds(asked), !status.isOutOfDate else { return }
          self.check(status, of: known, settledBefore)
          if self.isWindingDown, !pausedBefore, self.simulation.undertaker.hasReadAll,
            self.isDrained(status, known)
          {
            self.note("sees everything of \(known.label) settled")
            known.checkDropped(status.counts.dropped)
            self.drained.insert(known.incarnation)
          }
        case .failure(let error):
          self.note("cannot see \(known.label): \(error)")
          known.justify(error)
        }
      })
  }

  private func isDrained(_ status: SubscriptionStatus, _ known: SubscriptionModel) -> Bool {
    status.backlog.records == 0 && status.inFlight == 0 && status.replays.isEmpty
      && status.shards.allSatisfy {
        $0.floor == $0.tail && $0.tail >= known.stream.shards[$0.shard].durableTail
      }
  }

  private func check(
    _ status: SubscriptionStatus, of known: SubscriptionModel, _ settledBefore: [Int]
  ) {
    var open = 0
    var least = 0
    var most = 0
    for place in status.shards {
      let facts = "\(known.label) shard \(place.shard): floor \(place.floor), tail \(place.tail)"
      guard place.floor <= place.tail else {
        return violate("a floor is not beyond the tail", facts)
      }
      known.checkFloor(place.floor, of: place.shard, by: name)
      open += place.tail.distance(from: place.floor) - place.settledAbove
      least += known.unsettledLeast(place.shard, below: place.tail)
      most += known.owed(place.shard, below: place.tail) - settledBefore[place.shard]
    }
    let backlog = status.backlog.records
    let facts = "\(known.label): \(status)"
    // What was trimmed below the floor counts no more, though the floor may be told of it later.
    let isTrimmed = known.mayExpire { status.shards[$0.index].floor }
    if isTrimmed ? backlog > open : backlog != open {
      violate("a record is settled or is not", "\(facts), \(open) by the floors")
    }
    if !isTrimmed && backlog < least {
      violate("what is unsettled counts", "\(facts), \(least) at least")
    }
    if backlog > most { violate("what is settled does not count", "\(facts), \(most) at most") }
    if status.inFlight > known.plan.maxInFlightMax {
      violate("no more are in flight than may be", facts)
    }
  }

  private func lookInFlight(_ known: SubscriptionModel) {
    guard let handle = handle(known) else { return }
    isBusy = true
    let asked = known.asks()
    let settled = known.okPlaces
    life!.engine.inFlight(
      of: handle, after: nil, limit: 1000, on: executor,
      reply: reply { (result: Result<ListPage<MessageInFlight, String>, SubscriptionError>) in
        self.isBusy = false
        switch result {
        case .success(let page):
          guard known.holds(asked) else { return }
          self.check(page.items, of: known, settled)
        case .failure(let error): known.justify(error)
        }
      })
  }

  private func check(
    _ records: [MessageInFlight], of known: SubscriptionModel, _ settled: Set<String>
  ) {
    var seen: Set<String> = []
    for record in records {
      let place = "\(record.ackID.track):\(record.offset)"
      if !seen.insert(place).inserted {
        violate("a record has one consumer at a time", "\(known.label): \(place)")
      }
      if settled.contains(place) {
        violate("nothing settled is in flight", "\(known.label): \(place)")
      }
    }
  }

  // MARK: After a restart

  /// Compares the server's subscriptions with what is known, and learns what was unknown.
  func compare(_ engine: Engine) {
    for name in names {
      let subscription = engine.subscription(named: name)
      switch (entries[name]!, subscription) {
      case (.absent, nil), (.asked, nil), (.doomed, nil): entries[name] = .absent
      case (.absent, let subscription?):
        violate("a deleted subscription stays away", "\(name) \(subscription.incarnation)")
      case (.present(let known), nil):
        violate("a subscription is there until deleted", known.label)
      case (.asked(let stream, let plan), let subscription?):
        found(subscription, stream, plan)
      case (.present(let known), let subscription?), (.doomed(let known), let subscription?):
        if subscription.incarnation != known.incarnation {
          violate("a subscription stays itself", "\(known.label): \(subscription.incarnation)")
        }
        known.mayBeDeleted = false
        known.mayBePaused = subscription.spec.state != .active
        known.isPaused = known.mayBePaused
        entries[name] = .present(known)
      }
    }
  }
}

extension SubscriptionStatus {
  /// As long as the journal cannot be had it says what was known before.
  fileprivate var isOutOfDate: Bool {
    if case .journal = blockedBy { true } else { false }
  }
}

extension SubscriptionError {
  /// It says that nothing changed, and is held to it.
  var hadNoEffect: Bool {
    switch self {
    case .storage(_, let applied): applied == .no
    default: true
    }
  }
}

extension Array {
  fileprivate func randomElement(_ random: inout Random) -> Element? {
    isEmpty ? nil : self[random.below(count)]
  }
}
