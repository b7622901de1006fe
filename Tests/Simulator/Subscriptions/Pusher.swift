// A consumer as webhooks are: each delivery is one attempt with one verdict, alone or as a unit that stays together.
import Engine
import Wire

final class Pusher: Client {
  private final class Line {
    let subscription: SubscriptionModel
    let asked: SubscriptionModel.Asked
    var attachment: Attachment?
    var isOver = false
    var held: [Delivery] = []
    var verdictsInFlight = 0
    init(_ subscription: SubscriptionModel, _ asked: SubscriptionModel.Asked) {
      self.subscription = subscription
      self.asked = asked
    }
  }
  private var lines: [Line] = []

  override func start() { act() }
  override func dropped() { lines = [] }
  override var isSettled: Bool {
    lines.allSatisfy { $0.held.isEmpty && $0.verdictsInFlight == 0 }
  }
  override var waitsFor: String { "\(lines.map(\.held.count)) attempts" }

  private func act() {
    defer { later(pause()) { self.act() } }
    guard let registrar = simulation.registrar else { return }
    for subscription in registrar.subscriptions where subscription.plan.isWebhook {
      if !lines.contains(where: { $0.subscription === subscription }) { attach(to: subscription) }
    }
    guard !lines.isEmpty else { return }
    let line = lines[random.below(lines.count)]
    guard let attachment = line.attachment else { return }
    let isStale = !line.subscription.holds(line.asked)
    if isStale || random.oneIn(isWindingDown ? 1000 : 60) {
      note("leaves \(line.subscription.label)")
      model.counts.closed += 1
      attachment.close()
      return over(line)
    }
    if random.oneIn(3) || isWindingDown {
      // It takes the place of what was left.
      attachment.credit(random.oneIn(6) && !isWindingDown ? 0 : 1 + random.below(6))
    }
    if !line.held.isEmpty { judge(line, attachment) }
  }

  private func attach(to subscription: SubscriptionModel) {
    let asked = subscription.asks()
    guard !asked.isDoubtful, let handle = handle(of: subscription) else { return }
    let line = Line(subscription, asked)
    lines.append(line)
    var options = ConsumerOptions(name: name, kind: .webhook)
    options.recordsMax = 1
    options.credit = random.below(3)
    if let recordsMax = subscription.plan.unitRecordsMax {
      options.recordsMax = recordsMax
      options.units = ConsumerOptions.Units(
        recordsMax: recordsMax, linger: .milliseconds(random.below(6)))
    }
    note("attends to \(subscription.label)")
    life!.engine.attach(
      handle, options, on: executor,
      deliver: reply { self.received($0, line) },
      reply: reply { (result: Result<Attachment, SubscriptionError>) in
        switch result {
        case .success(let attachment): line.attachment = attachment
        case .failure(let error):
          self.note("cannot attend to \(subscription.label): \(error)")
          self.over(line)
          subscription.justify(error)
        }
      })
  }

  private func received(_ event: ConsumerEvent, _ line: Line) {
    guard !line.isOver else { return }
    switch event {
    case .delivery(let delivery):
      note(
        "attempts \(delivery.recordCount) of \(line.subscription.label) as \(delivery.lease.text)")
      guard line.subscription.holds(line.asked) else { return }
      let recordsMax = line.subscription.plan.unitRecordsMax ?? 1
      if delivery.recordCount > recordsMax {
        violate("a unit is not too large", "\(delivery.recordCount), at most \(recordsMax)")
      }
      line.subscription.heard(delivery, asked: line.asked, by: name)
      model.counts.attempts += 1
      line.held.append(delivery)
      simulation.happened(.shown)
    case .ended(let end):
      note("is told that \(line.subscription.label) ended: \(end)")
      over(line)
      line.subscription.justify(end)
    }
  }

  private func over(_ line: Line) {
    line.isOver = true
    for delivery in line.held { line.subscription.loosen(delivery.lease) }
    lines.removeAll { $0 === line }
  }

  // MARK: Verdicts

  private func judge(_ line: Line, _ attachment: Attachment) {
    guard isWindingDown || random.oneIn(2) else { return }
    let delivery = line.held.remove(at: random.below(line.held.count))
    let lease = delivery.lease
    let subscription = line.subscription
    let asked = subscription.asks()
    let verdict = drawVerdict()
    let ids = subscription.members(of: lease)
    var reason: String?
    switch verdict {
    case .delivered:
      for id in ids { subscription.settles(id) }
    case .exhausted(let why):
      // A unit is split first: nothing is settled by it.
      guard ids.count == 1 else {
        subscription.mayBeSplit(lease)
        break
      }
      reason = why
      for id in ids { subscription.settles(id) }
    case .split: subscription.mayBeSplit(lease)
    case .retry: break
    }
    subscription.loosen(lease)
    note("says \(verdict) of \(lease.text)")
    line.verdictsInFlight += 1
    attachment.settle(
      lease, verdict,
      reply: reply { (result: Result<SettleStatus, SubscriptionError>) in
        line.verdictsInFlight -= 1
        self.heard(result, verdict, ids, subscription, asked, reason)
      })
  }

  private func drawVerdict() -> UnitVerdict {
    switch isWindingDown ? 0 : random.below(20) {
    case 0..<13: .delivered
    case 13...16:
      .retry(after: .milliseconds(random.below(20)), countsAsFailure: random.oneIn(2))
    case 17, 18: .exhausted(reason: "\(name) gives it up")
    default: .split
    }
  }

  private func heard(
    _ result: Result<SettleStatus, SubscriptionError>, _ verdict: UnitVerdict, _ ids: [AckID],
    _ subscription: SubscriptionModel, _ asked: SubscriptionModel.Asked, _ reason: String?
  ) {
    var end = SubscriptionModel.SettleEnd.refused
    switch result {
    case .success(.ok):
      note("hears + of \(subscription.label)")
      end = .ok
      model.counts.settled += 1
      simulation.happened(.acknowledged)
    case .success(.stale):
      note("hears - of \(subscription.label)")
      model.counts.stale += 1
    case .failure(let error):
      note("cannot settle: \(error)")
      if !error.hadNoEffect { end = .unknown }
      subscription.justify(error)
    }
    if case .delivered = verdict {
      for id in ids { subscription.settled(id, end, asked: asked) }
    } else if let reason {
      for id in ids { subscription.settled(id, end, asked: asked, givesUp: reason) }
    }
  }
}
