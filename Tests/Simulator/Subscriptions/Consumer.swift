// What every consumer of subscriptions has in common: it holds what it was given, and settles it in every way there is.
import Engine
import Wire

class Consumer: Client {
  /// One record that it was given.
  struct Message {
    var subscription: SubscriptionModel
    var id: AckID
    var asked: SubscriptionModel.Asked
    /// An ok was heard for it.
    var isSettled = false
    /// It was sent to be settled, and nobody knows.
    var isDoubtful = false
  }
  /// Not yet dealt with.
  private(set) var held: [Message] = []
  /// Dealt with: for acks that come late or again.
  private var old: [Message] = []
  private var settlesInFlight = 0

  override func dropped() {
    held = []
    settlesInFlight = 0
    // Their ids are from before the restart, and must stay without effect.
    old = old.suffix(8)
  }

  override var isSettled: Bool { held.isEmpty && settlesInFlight == 0 }
  override var waitsFor: String { "\(held.count) records, \(settlesInFlight) settlements" }

  func hold(
    _ delivery: Delivery, of subscription: SubscriptionModel, asked: SubscriptionModel.Asked
  ) {
    subscription.heard(delivery, asked: asked, by: name)
    model.counts.delivered += delivery.recordCount
    for piece in delivery.pieces {
      for pick in piece.picks {
        if pick.delivery > 1 { model.counts.redelivered += 1 }
        held.append(
          Message(
            subscription: subscription, id: delivery.ackID(pick, in: piece), asked: asked))
      }
    }
    simulation.happened(.shown)
  }

  /// Those of a connection that is closed: theirs no more.
  func lose(where isLost: (Message) -> Bool) {
    for message in held where isLost(message) { remember(message) }
    held.removeAll(where: isLost)
  }

  private func remember(_ message: Message) {
    old.append(message)
    if old.count > 30 { old.removeFirst(10) }
  }

  // MARK: Settling

  /// One request that settles some of what it holds, now and then also what it does not hold any more.
  func settleSome() {
    guard settlesInFlight < 4 else { return }
    guard let first = held.randomElement(&random) ?? lateOne() else { return }
    var request = Request(first.subscription)
    let wanted = 1 + random.below(isWindingDown ? 40 : 10)
    var kept: [Message] = []
    for message in held {
      guard message.subscription === first.subscription, request.count < wanted,
        isWindingDown || !random.oneIn(4)
      else {
        kept.append(message)
        continue
      }
      deal(with: message, &request, &kept)
    }
    held = kept
    if random.oneIn(5) || request.count == 0, let late = lateOne(of: first.subscription) {
      request.acks.append(late)
    }
    send(request)
  }

  private func lateOne(of subscription: SubscriptionModel? = nil) -> Message? {
    guard !isWindingDown, let some = old.randomElement(&random) else { return nil }
    return subscription == nil || some.subscription === subscription ? some : nil
  }

  private struct Request {
    let subscription: SubscriptionModel
    var acks: [Message] = []
    var naks: [(Message, Duration?)] = []
    var extensions: [(Message, Duration)] = []
    var terms: [(Message, String)] = []
    init(_ subscription: SubscriptionModel) { self.subscription = subscription }
    var count: Int { acks.count + naks.count + extensions.count + terms.count }
    var text: String {
      func list(_ word: String, _ messages: [Message]) -> String {
        messages.isEmpty ? "" : " \(word)" + messages.map { " \($0.id.text)" }.joined()
      }
      return list("ack", acks) + list("nak", naks.map(\.0)) + list("extend", extensions.map(\.0))
        + list("term", terms.map(\.0))
    }
  }

  private func deal(with message: Message, _ request: inout Request, _ kept: inout [Message]) {
    switch isWindingDown ? 0 : random.below(24) {
    case 0..<13: request.acks.append(message)
    case 13:
      request.acks.append(message)
      request.acks.append(message)
    case 14, 15:
      request.naks.append((message, random.oneIn(2) ? .milliseconds(random.below(20)) : nil))
    case 16, 17:
      request.extensions.append((message, .milliseconds(1 + random.below(60))))
      kept.append(message)
    case 18: request.terms.append((message, "\(name) has no use for it"))
    case 19, 20: remember(message)  // An ack that got lost.
    default: kept.append(message)
    }
  }

  private func send(_ request: Request) {
    let subscription = request.subscription
    guard request.count > 0, let handle = handle(of: subscription) else { return }
    settlesInFlight += 1
    let asked = subscription.asks()
    for message in request.acks { subscription.settles(message.id) }
    for (message, _) in request.terms { subscription.settles(message.id) }
    for (message, _) in request.naks { subscription.loosen(message.id.leaseID) }
    for (message, by) in request.extensions {
      subscription.extends(message.id, until: model.monotonic + by)
    }
    note("settles of \(subscription.label): \(request.text)")
    life!.engine.settle(
      handle,
      Settlement(
        ack: request.acks.map(\.id),
        nak: request.naks.map { Settlement.Nak($0.0.id, delay: $0.1) },
        extend: request.extensions.map { Settlement.Extension($0.0.id, by: $0.1) },
        term: request.terms.map { Settlement.Term($0.0.id, reason: $0.1) }),
      on: executor,
      reply: reply { (result: Result<[SettleStatus], SubscriptionError>) in
        self.settlesInFlight -= 1
        switch result {
        case .success(let statuses): self.heard(statuses, of: request, asked)
        case .failure(let error): self.failed(request, asked, error)
        }
      })
  }

  private func heard(
    _ statuses: [SettleStatus], of request: Request, _ asked: SubscriptionModel.Asked
  ) {
    let subscription = request.subscription
    guard statuses.count == request.count else {
      return violate("each is answered", "\(statuses.count) of \(request.count)")
    }
    note("hears \(statuses.map { $0 == .ok ? "+" : "-" }.joined()) of \(subscription.label)")
    var rest = statuses[...]
    var accepted: Set<AckID> = []
    for message in request.acks {
      let status = rest.removeFirst()
      if status == .ok, !accepted.insert(message.id).inserted {
        violate("an ack counts once", "\(subscription.label): twice in a request")
      }
      finish(message, status, asked, reason: nil)
    }
    for (message, _) in request.naks {
      _ = rest.removeFirst()
      remember(message)
    }
    let now = asked.at
    for (message, by) in request.extensions where rest.removeFirst() == .ok {
      subscription.extended(message.id, until: now + by)
    }
    for (message, reason) in request.terms {
      finish(message, rest.removeFirst(), asked, reason: reason)
    }
    simulation.happened(.acknowledged)
  }

  private func finish(
    _ message: Message, _ status: SettleStatus, _ asked: SubscriptionModel.Asked, reason: String?
  ) {
    let subscription = message.subscription
    subscription.settled(
      message.id, status == .ok ? .ok : .refused, asked: asked, givesUp: reason)
    guard status == .ok else {
      model.counts.stale += 1
      return remember(message)
    }
    model.counts.settled += 1
    let facts = "\(subscription.label): offset \(message.id.offset), \(message.id.leaseID.text)"
    if old.contains(where: {
      $0.id == message.id && $0.subscription === subscription && $0.isSettled
    }) {
      violate("an ack counts once", facts)
    }
    if message.asked.life != model.life || message.asked.seeks != asked.seeks {
      violate("what is over is stale", facts)
    }
    var settled = message
    settled.isSettled = true
    old.removeAll { $0.id == message.id && $0.subscription === subscription }
    remember(settled)
  }

  private func failed(
    _ request: Request, _ asked: SubscriptionModel.Asked, _ error: SubscriptionError
  ) {
    note("cannot settle: \(error)")
    let end: SubscriptionModel.SettleEnd = error.hadNoEffect ? .refused : .unknown
    for message in request.acks {
      request.subscription.settled(message.id, end, asked: asked)
    }
    for (message, reason) in request.terms {
      request.subscription.settled(message.id, end, asked: asked, givesUp: reason)
    }
    // It may be tried again while its deadline lasts.
    for message in request.acks where !isWindingDown && random.oneIn(2) { remember(message) }
    if case .notFound = error {
    } else if case .streamReplaced = error {
    } else if isWindingDown {
      held += request.acks
    }
    request.subscription.justify(error)
  }
}

extension Array {
  fileprivate func randomElement(_ random: inout Random) -> Element? {
    isEmpty ? nil : self[random.below(count)]
  }
}
