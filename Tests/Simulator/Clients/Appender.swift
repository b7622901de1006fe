// Clients that append: without stamps, as producers with sequences in flight, or with idempotency keys; they send again
// until they know.
import Engine
import Wire

final class Appender: Client {
  enum Mode {
    case plain
    /// Up to `window` sequences in flight.
    case producer(window: Int)
    case keyed
  }

  private let mode: Mode
  /// Its state in each shard it wrote to.
  private var sessions: [ShardID: Session] = [:]
  private var keyCount = 0

  private final class Session {
    let shard: ShardModel
    var epoch: UInt64 = 1
    var nextSequence: UInt64 = 0
    /// Not known to be appended, in order.
    var undecided: [Request] = []
    /// One of its epoch was acknowledged.
    var isKnown = false
    var inFlight: Set<Int> = []
    /// Acknowledged, still remembered by the server.
    var done: [Request] = []
    init(_ shard: ShardModel) { self.shard = shard }
  }

  init(_ name: String, _ simulation: Simulation, seed: UInt64, mode: Mode) {
    self.mode = mode
    super.init(name, simulation, seed: seed)
  }

  override func start() { act() }

  override func dropped() {
    for session in sessions.values { session.inFlight = [] }
    if case .plain = mode { sessions = [:] }
  }

  override var isSettled: Bool { sessions.values.allSatisfy { $0.undecided.isEmpty } }

  override var waitsFor: String {
    sessions.keys.sorted().flatMap { sessions[$0]!.undecided }.map(\.label).joined(separator: ", ")
  }

  // MARK: Choosing what to send

  private func act() {
    defer { later(pause()) { self.act() } }
    for id in sessions.keys.sorted() where sessions[id]!.shard.stream.mayBeDeleted {
      if model.shards[id] == nil { sessions[id] = nil }
    }
    if sendAgain() { return }
    guard !isWindingDown else { return }
    guard let shard = simulation.pickShard(&random) else { return }
    let session = sessions[shard.id] ?? Session(shard)
    sessions[shard.id] = session
    switch mode {
    case .plain:
      guard session.inFlight.count < 4 else { return }
      sendNew(in: session, .none, AppendCondition(expectedTail: guessTail(of: shard)))
    case .producer(let window):
      if !session.done.isEmpty && random.oneIn(6) { return challenge(session) }
      // Who is not known may begin at any sequence: until one of the epoch is known, they go one by one.
      guard session.undecided.count < (session.isKnown ? window : 1) else { return }
      if session.undecided.isEmpty && random.oneIn(25) { raiseEpoch(session) }
      let stamp = ProducerStamp(id: name, epoch: session.epoch, sequence: session.nextSequence)
      session.nextSequence += 1
      sendNew(in: session, extras(stamp, key: nil), condition(in: session))
    case .keyed:
      if !session.done.isEmpty && random.oneIn(4) { return challenge(session) }
      guard session.undecided.count < 3 else { return }
      keyCount += 1
      sendNew(in: session, extras(nil, key: "\(name)-\(keyCount)"), .none)
    }
  }

  private func raiseEpoch(_ session: Session) {
    session.epoch += 1
    session.isKnown = false
    session.nextSequence = 0
    session.done = []
  }

  /// With several in flight a gap must be refused, or a failure in the middle could never be made good.
  private func condition(in session: Session) -> AppendCondition {
    if case .producer(let window) = mode, window > 1 {
      return AppendCondition(expectedTail: nil, refusesGap: true)
    }
    return .none
  }

  private func guessTail(of shard: ShardModel) -> Offset? {
    guard random.oneIn(4), let handle = handle(of: shard) else { return nil }
    return random.oneIn(5) ? handle.tail + random.below(3) : handle.tail
  }

  private func extras(_ stamp: ProducerStamp?, key: String?) -> FrameExtras {
    let number = UInt64(model.requests.count)
    return FrameExtras(
      producer: stamp, idempotencyKey: key, digest: BodyDigest(high: 0x6d6c, low: number))
  }

  private func sendNew(in session: Session, _ extras: FrameExtras, _ condition: AppendCondition) {
    let request = model.makeRequest(
      in: session.shard, sizes: simulation.settings.drawSizes(&random), extras: extras,
      expectedTail: condition.expectedTail)
    session.undecided.append(request)
    send(request, in: session, condition)
  }

  /// Sends what is undecided and not in flight; now and then also what is in flight.
  private func sendAgain() -> Bool {
    if case .plain = mode { return false }
    for id in sessions.keys.sorted() {
      let session = sessions[id]!
      // Too old to be sent again: nobody will ever know.
      session.undecided.removeAll { model.mayHaveForgotten($0) }
      for request in session.undecided {
        if session.inFlight.contains(request.number) && !random.oneIn(40) { continue }
        send(request, in: session, condition(in: session))
        return true
      }
    }
    return false
  }

  // MARK: Sending

  private func send(_ request: Request, in session: Session, _ condition: AppendCondition) {
    guard let handle = handle(of: session.shard) else { return }
    session.inFlight.insert(request.number)
    model.sent(request)
    note("sends \(request.label) ×\(request.count) to \(session.shard.label)")
    life!.engine.append(
      request.draft(), to: handle, if: condition, on: executor,
      reply: reply { self.answered(request, in: session, $0, tail: handle.tail) })
  }

  private func answered(
    _ request: Request, in session: Session, _ result: Result<Appended, AppendError>, tail: Offset
  ) {
    session.inFlight.remove(request.number)
    switch result {
    case .success(let appended):
      let place = Model.text(appended.offsets)
      note("hears \(request.label) at \(place)\(appended.isDuplicate ? " again" : "")")
      model.answered(request, appended, tail: tail)
      settled(request, in: session)
      simulation.happened(.acknowledged)
    case .failure(.idempotencyMismatch) where request.reusesKey:
      model.failed(request, .busy)
      settled(request, in: session)
    case .failure(let error):
      note("hears \(request.label): \(error)")
      model.failed(request, error)
      switch error {
      case .gone: settled(request, in: session)
      case .sequenceGap(let expected): checkGap(request, in: session, expected)
      case .sequenceTooOld, .staleProducer:
        if session.undecided.contains(where: { $0 === request }) {
          violate("producers are remembered", "\(request.label): \(error)")
        }
      default: break
      }
      if case .plain = mode { settled(request, in: session) }
    }
  }

  /// A gap may only be seen behind a sequence that is not decided yet.
  private func checkGap(_ request: Request, in session: Session, _ expected: UInt64) {
    guard let producer = request.extras.producer, producer.epoch == session.epoch else { return }
    let first = session.undecided.first?.extras.producer?.sequence ?? session.nextSequence
    if expected < first {
      violate(
        "producers are remembered",
        "\(request.label) hears that \(expected) is missing, all below \(first) were acknowledged")
    }
  }

  private func settled(_ request: Request, in session: Session) {
    guard let index = session.undecided.firstIndex(where: { $0 === request }) else { return }
    session.undecided.remove(at: index)
    guard request.isAcknowledged, request.isStamped else { return }
    if request.extras.producer?.epoch == session.epoch { session.isKnown = true }
    session.done.append(request)
    if session.done.count > 5 { session.done.removeFirst() }
  }

  // MARK: Sending what is known already

  /// Repeats something acknowledged, or takes its stamp for another body.
  private func challenge(_ session: Session) {
    guard let handle = handle(of: session.shard), session.undecided.isEmpty else { return }
    let old = session.done[random.below(session.done.count)]
    if model.mayHaveForgotten(old) {
      session.done.removeAll { $0 === old }
      if session.undecided.isEmpty { reuse(old, in: session) }
      return
    }
    if random.oneIn(3) { return forge(old, in: session, handle) }
    model.sent(old)
    note("repeats \(old.label)")
    life!.engine.append(
      old.draft(), to: handle, if: .none, on: executor,
      reply: reply { self.heardAgain(old, $0, tail: handle.tail) })
  }

  private func heardAgain(_ old: Request, _ result: Result<Appended, AppendError>, tail: Offset) {
    switch result {
    case .success(let appended):
      note("hears \(old.label) at \(Model.text(appended.offsets)) again")
      if !appended.isDuplicate && !model.mayHaveForgotten(old) {
        violate("a repetition is told", "\(old.label): \(Model.text(appended.offsets))")
      }
      model.answered(old, appended, tail: tail)
    case .failure(let error):
      note("hears \(old.label): \(error)")
      model.failed(old, error)
      switch error {
      case .sequenceGap, .sequenceTooOld, .idempotencyInProgress:
        violate("a repetition is told", "\(old.label): \(error)")
      default: break
      }
    }
  }

  /// Takes a key for another body once its time is over; it may still be remembered.
  private func reuse(_ old: Request, in session: Session) {
    let request = model.makeRequest(
      in: session.shard, sizes: simulation.settings.drawSizes(&random),
      extras: extras(nil, key: old.extras.idempotencyKey))
    request.reusesKey = true
    session.undecided.append(request)
    send(request, in: session, .none)
  }

  private func forge(_ old: Request, in session: Session, _ handle: Shard) {
    let forged = model.makeRequest(
      in: session.shard, sizes: simulation.settings.drawSizes(&random),
      extras: extras(old.extras.producer, key: old.extras.idempotencyKey))
    model.sent(forged)
    note("forges \(old.label)")
    life!.engine.append(
      forged.draft(), to: handle, if: .none, on: executor,
      reply: reply { (result: Result<Appended, AppendError>) in
        switch result {
        case .success(let appended):
          self.model.answered(forged, appended, tail: handle.tail)
          if !self.model.mayHaveForgotten(old) {
            self.violate("another body is refused", forged.label)
          }
        case .failure(.sequenceReused), .failure(.idempotencyMismatch):
          self.model.failed(forged, .busy)
        case .failure(let error):
          self.note("hears \(forged.label): \(error)")
          self.model.failed(forged, error)
        }
      })
  }
}
