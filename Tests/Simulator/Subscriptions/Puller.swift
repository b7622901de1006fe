// A consumer that asks for records with long polls, sometimes several at once, and sometimes goes away meanwhile.
import Engine
import Wire

final class Puller: Consumer {
  private final class Pull {
    let subscription: SubscriptionModel
    let asked: SubscriptionModel.Asked
    var isCancelled = false
    var hasReply = false
    init(_ subscription: SubscriptionModel, _ asked: SubscriptionModel.Asked) {
      self.subscription = subscription
      self.asked = asked
    }
  }
  private var pulls = 0

  override func start() { act() }

  override func dropped() {
    super.dropped()
    pulls = 0
  }

  private func act() {
    defer { later(pause()) { self.act() } }
    if !held.isEmpty || random.oneIn(6) { settleSome() }
    guard pulls < 2, held.count < 60 else { return }
    guard let subscription = simulation.registrar?.pick(&random, webhooks: false) else { return }
    pull(from: subscription)
  }

  private func pull(from subscription: SubscriptionModel) {
    guard let handle = handle(of: subscription) else { return }
    let pull = Pull(subscription, subscription.asks())
    pulls += 1
    let ticket = life!.engine.pull(
      handle, consumer: name, max: 1 + random.below(20), bytesMax: 1 + random.below(8000),
      wait: .milliseconds(random.below(4) == 0 ? 0 : random.below(12)), on: executor,
      reply: reply { (result: Result<Pulled, SubscriptionError>) in
        if pull.isCancelled { return self.giveBack(result, handle) }
        pull.hasReply = true
        self.pulls -= 1
        switch result {
        case .success(let pulled): self.received(pulled, pull, handle)
        case .failure(let error):
          self.note("cannot pull from \(subscription.label): \(error)")
          subscription.justify(error)
        }
      })
    guard !isWindingDown, random.oneIn(10) else { return }
    later(.microseconds(random.below(4000))) {
      // After the reply this is nothing.
      ticket.cancel()
      guard !pull.hasReply else { return }
      pull.isCancelled = true
      self.pulls -= 1
      self.model.counts.cancelled += 1
    }
  }

  /// Nobody is there any more to be told.
  private func giveBack(_ result: Result<Pulled, SubscriptionError>, _ handle: Subscription) {
    guard case .success(let pulled) = result, let delivery = pulled.delivery else { return }
    life?.engine.giveBack(handle, delivery.lease)
  }

  private func received(_ pulled: Pulled, _ pull: Pull, _ handle: Subscription) {
    let subscription = pull.subscription
    guard let delivery = pulled.delivery else { return }
    note("is given \(delivery.recordCount) of \(subscription.label) as \(delivery.lease.text)")
    if pull.asked.isPaused && pull.asked.pauses == subscription.pauses {
      violate("a paused subscription delivers nothing", subscription.label)
    }
    if !isWindingDown && random.oneIn(12) {
      model.counts.givenBack += 1
      return life!.engine.giveBack(handle, delivery.lease)
    }
    // What was asked for before a seek may be from before or after it: left to its deadline.
    guard subscription.holds(pull.asked) else { return }
    hold(delivery, of: subscription, asked: pull.asked)
  }
}
