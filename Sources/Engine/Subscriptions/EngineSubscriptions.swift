// The Engine's use of subscriptions: pull, settle, attach, look, seek and replay.
import Wire

extension Engine {
  // MARK: Consuming

  /// Asks for up to `max` records, about `bytesMax` bytes but one record at least, for the consumer called `consumer`,
  /// waiting up to `wait` for the first. Replies on `executor`, once, unless the ticket is cancelled before.
  @discardableResult
  public func pull(
    _ subscription: Subscription, consumer: String, max countMax: Int, bytesMax: Int,
    wait: Duration, on executor: any Executor,
    reply: @escaping @Sendable (Result<Pulled, SubscriptionError>) -> Void
  ) -> PullTicket {
    let ticket = PullState()
    use(subscription) { owner in
      owner.pull(
        named: consumer, countMax: countMax, bytesMax: bytesMax, wait: wait, on: executor,
        ticket: ticket, reply: reply)
    }
    return PullTicket { [self] in
      guard ticket.decide() else { return }
      use(subscription) { $0.abandon() }
    }
  }

  /// Settles deliveries; replies on `executor`, in the order ack, nak, extend, term, once what it says is durable.
  public func settle(
    _ subscription: Subscription, _ settlement: Settlement, on executor: any Executor,
    reply: @escaping @Sendable (Result<[SettleStatus], SubscriptionError>) -> Void
  ) {
    use(subscription) { $0.settle(settlement, on: executor, reply: reply) }
  }

  /// Takes back a delivery that never reached its consumer: its records are ready at once, as if not delivered.
  public func giveBack(_ subscription: Subscription, _ lease: LeaseID) {
    use(subscription) { $0.giveBack(lease) }
  }

  /// Adds a consumer that is pushed to. `deliver` runs on `executor`, in order, and never before `reply`.
  public func attach(
    _ subscription: Subscription, _ options: ConsumerOptions, on executor: any Executor,
    deliver: @escaping @Sendable (ConsumerEvent) -> Void,
    reply: @escaping @Sendable (Result<Attachment, SubscriptionError>) -> Void
  ) {
    use(subscription) { $0.attach(options, on: executor, deliver: deliver, reply: reply) }
  }

  // MARK: Looking

  public func status(
    of subscription: Subscription, on executor: any Executor,
    reply: @escaping @Sendable (Result<SubscriptionStatus, SubscriptionError>) -> Void
  ) {
    use(subscription) { $0.status(on: executor, reply: reply) }
  }

  /// In the order in which they came; `after` is what the page before said.
  public func consumers(
    of subscription: Subscription, after: String?, limit: Int, on executor: any Executor,
    reply: @escaping @Sendable (Result<ListPage<ConsumerInfo, String>, SubscriptionError>) -> Void
  ) {
    use(subscription) { $0.consumers(after: after, limit: limit, on: executor, reply: reply) }
  }

  /// By track and offset: the shards' own first, then what is delivered again.
  public func inFlight(
    of subscription: Subscription, after: String?, limit: Int, on executor: any Executor,
    reply:
      @escaping @Sendable (Result<ListPage<MessageInFlight, String>, SubscriptionError>)
      -> Void
  ) {
    use(subscription) { $0.inFlight(after: after, limit: limit, on: executor, reply: reply) }
  }

  /// The last ones that are remembered, in the order in which they were given up.
  public func deadLetters(
    of subscription: Subscription, after: String?, limit: Int, on executor: any Executor,
    reply: @escaping @Sendable (Result<ListPage<DeadLetter, String>, SubscriptionError>) -> Void
  ) {
    use(subscription) { $0.deadLetters(after: after, limit: limit, on: executor, reply: reply) }
  }

  // MARK: Going elsewhere

  /// Sends the subscription elsewhere; every delivery from before is stale from then on. Replies with each shard's
  /// place once that is durable.
  public func seek(
    _ subscription: Subscription, to target: SeekTarget, on executor: any Executor,
    reply: @escaping @Sendable (Result<[Offset], SubscriptionError>) -> Void
  ) {
    use(subscription) { $0.seek(to: target, on: executor, reply: reply) }
  }

  /// Begins to deliver records again, beside what goes on; replies once that is durable with what it began, one for
  /// each shard that has something to be delivered again. `status` shows how far they are.
  public func replay(
    _ subscription: Subscription, _ request: ReplayRequest, on executor: any Executor,
    reply: @escaping @Sendable (Result<[SubscriptionStatus.Replay], SubscriptionError>) -> Void
  ) {
    use(subscription) { $0.replay(request, on: executor, reply: reply) }
  }

  // MARK: Owners

  /// Calls `body` with the subscription's owner, on its executor.
  private func use(
    _ subscription: Subscription, _ body: @escaping @Sendable (SubscriptionOwner) -> Void
  ) {
    services.mailboxes.post(to: subscription.journal.executor) { [self] in
      body(owner(of: subscription))
    }
  }

  /// Has the subscription's journal read, if it was not, so that its figures are known and hold.
  func wake(_ subscription: Subscription) {
    services.mailboxes.queue(to: subscription.journal.executor) { [self] in
      let owner = owner(of: subscription)
      owner.whenActive { error in if error == nil { owner.noticeTrims() } }
    }
  }

  /// The stream of this name was deleted: subscriptions that read from it end, whether they look at it now or not.
  func tellReaders(of name: String) {
    for subscription in subscriptions(using: name, prefix: "", after: nil, limit: .max)
    where source(of: subscription) == nil {
      services.mailboxes.post(to: subscription.journal.executor) {
        (subscription.seat.owner as? SubscriptionOwner)?.streamRemoved()
      }
    }
  }

  /// The subscription's owner, made now if there is none. On its executor.
  private func owner(of subscription: Subscription) -> SubscriptionOwner {
    if let owner = subscription.seat.owner as? SubscriptionOwner {
      // Who was told of a change may be quicker here than the word of it.
      owner.changed(to: subscription)
      return owner
    }
    // The caller may have looked it up before a change that nobody was told of.
    let latest = self.subscription(named: subscription.name)
    let owner = SubscriptionOwner(
      latest.flatMap { $0.incarnation == subscription.incarnation ? $0 : nil } ?? subscription,
      self)
    subscription.seat.owner = owner
    if subscription.journal.isRemoved {
      owner.delete()
    } else if hasStopped {
      owner.refuse()
      owner.stop()
    }
    return owner
  }
}
