// A consumer that is pushed to, as server-sent events are: it has a share, and its connection may close at any moment.
import Engine
import Wire

final class Attacher: Consumer {
  private final class Connection {
    let subscription: SubscriptionModel
    let asked: SubscriptionModel.Asked
    let share: Int?
    var attachment: Attachment?
    var isOver = false
    var leases: [LeaseID] = []
    init(_ subscription: SubscriptionModel, _ asked: SubscriptionModel.Asked, share: Int?) {
      self.subscription = subscription
      self.asked = asked
      self.share = share
    }
  }
  private var connection: Connection?

  override func start() { act() }

  override func dropped() {
    super.dropped()
    connection = nil
  }

  private func act() {
    defer { later(pause()) { self.act() } }
    if !held.isEmpty || random.oneIn(6) { settleSome() }
    guard let connection else {
      guard let subscription = simulation.registrar?.pick(&random, webhooks: false) else { return }
      return connect(to: subscription)
    }
    guard let attachment = connection.attachment else { return }
    // What a seek may have overtaken is not told apart from what came after: begin anew.
    let isStale = !connection.subscription.holds(connection.asked)
    if isStale || random.oneIn(isWindingDown ? 400 : 40) { return close(connection, attachment) }
    switch random.below(30) {
    case 0: attachment.credit(isWindingDown ? nil : random.below(3))
    case 1...4: attachment.credit(nil)
    default: break
    }
  }

  private func connect(to subscription: SubscriptionModel) {
    let asked = subscription.asks()
    guard !asked.isDoubtful, let handle = handle(of: subscription) else { return }
    let share = random.oneIn(2) ? 1 + random.below(20) : nil
    let made = Connection(subscription, asked, share: share)
    connection = made
    var options = ConsumerOptions(name: name, kind: .sse, share: share)
    options.recordsMax = 1 + random.below(20)
    options.bytesMax = 1 + random.below(8000)
    note("listens to \(subscription.label), share \(share.map(String.init) ?? "fair")")
    life!.engine.attach(
      handle, options, on: executor,
      deliver: reply { self.received($0, made) },
      reply: reply { (result: Result<Attachment, SubscriptionError>) in
        switch result {
        case .success(let attachment): made.attachment = attachment
        case .failure(let error):
          self.note("cannot listen to \(subscription.label): \(error)")
          self.connection = nil
          subscription.justify(error)
        }
      })
  }

  private func received(_ event: ConsumerEvent, _ connection: Connection) {
    // What was on its way when it left.
    guard !connection.isOver else { return }
    let subscription = connection.subscription
    switch event {
    case .delivery(let delivery):
      if connection.attachment == nil {
        violate("an answer comes before deliveries", subscription.label)
      }
      note("is sent \(delivery.recordCount) of \(subscription.label) as \(delivery.lease.text)")
      if let share = connection.share, delivery.recordCount > share {
        violate("a share is kept to", "\(delivery.recordCount) of \(share)")
      }
      guard subscription.holds(connection.asked) else { return }
      connection.leases.append(delivery.lease)
      hold(delivery, of: subscription, asked: connection.asked)
    case .ended(let end):
      note("is told that \(subscription.label) ended: \(end)")
      over(connection)
      subscription.justify(end)
    }
  }

  private func close(_ connection: Connection, _ attachment: Attachment) {
    note("closes its connection to \(connection.subscription.label)")
    model.counts.closed += 1
    attachment.close()
    over(connection)
  }

  private func over(_ connection: Connection) {
    connection.isOver = true
    self.connection = nil
    // Also of those that it keeps silent about.
    for lease in connection.leases { connection.subscription.loosen(lease) }
    lose { $0.subscription === connection.subscription }
  }
}
