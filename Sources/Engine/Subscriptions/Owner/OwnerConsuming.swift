// What consumers ask of an owner beside records: to settle, to come and go.
import Wire

extension SubscriptionOwner {
  // MARK: Settling

  func settle(
    _ settlement: Settlement, on target: any Executor,
    reply: @escaping @Sendable (Result<[SettleStatus], SubscriptionError>) -> Void
  ) {
    whenActive { [self] error in
      if let error { return post(target) { reply(.failure(error)) } }
      let statuses = core!.settle(settlement, now: now)
      let acked = statuses.prefix(settlement.ack.count).count { $0 == .ok }
      let termed = statuses.suffix(settlement.term.count).contains(.ok)
      upkeep.acked += acked
      upkeep.isDirty = true
      scheduleTurn()
      // What is not for ever need not wait for the journal.
      guard acked > 0 || termed else { return post(target) { reply(.success(statuses)) } }
      next.replies.append(SettleReply(statuses: statuses, executor: target, reply: reply))
    }
  }

  /// Settles a whole delivery of an attached consumer.
  private func settle(
    _ lease: LeaseID, _ verdict: UnitVerdict, of consumer: OwnerConsumer,
    reply: @escaping @Sendable (Result<SettleStatus, SubscriptionError>) -> Void
  ) {
    let target = consumer.push!.executor
    whenActive { [self] error in
      if let error { return post(target) { reply(.failure(error)) } }
      let count = core!.left(of: lease.serial)
      let isKnown = lease.epoch == epoch && core!.settleUnit(lease.serial, verdict, now: now)
      scheduleTurn()
      guard isKnown else { return post(target) { reply(.success(.stale)) } }
      if verdict == .delivered { upkeep.acked += count }
      next.replies.append(
        SettleReply(statuses: [.ok], executor: target) { result in
          reply(result.map { $0[0] })
        })
    }
  }

  // MARK: Attaching

  func attach(
    _ options: ConsumerOptions, on target: any Executor,
    deliver: @escaping @Sendable (ConsumerEvent) -> Void,
    reply: @escaping @Sendable (Result<Attachment, SubscriptionError>) -> Void
  ) {
    whenActive { [self] error in
      func refuse(_ error: SubscriptionError) { post(target) { reply(.failure(error)) } }
      if let error { return refuse(error) }
      guard takes(options.kind) else { return refuse(.wrongDelivery) }
      guard roster.count < Self.consumersMax else {
        return refuse(.tooManyConsumers(max: Self.consumersMax))
      }
      let push = OwnerConsumer.Push(options: options, executor: target, deliver: deliver)
      let consumer = add(options.name, push: push, now)
      if consumer.isWaiting { line.append(.push(consumer)) }
      let attachment = attachment(of: consumer)
      post(target) { reply(.success(attachment)) }
      scheduleTurn()
    }
  }

  private func attachment(of consumer: OwnerConsumer) -> Attachment {
    let (owner, held) = (confined, Confined(consumer, to: executor))
    let mailboxes = services.mailboxes
    return Attachment { word in
      mailboxes.post(to: owner.executor) { owner.value.hear(word, from: held.value) }
    }
  }

  private func hear(_ word: Attachment.Word, from consumer: OwnerConsumer) {
    switch word {
    case .credit(let deliveries):
      // What is on its way comes out of that.
      let credit = deliveries == .max ? nil : deliveries.map { max(0, $0) - consumer.underWay }
      setCredit(credit, of: consumer)
    case .close: remove(consumer)
    case .settle(let lease, let verdict, let reply):
      settle(lease, verdict, of: consumer, reply: reply)
    }
  }

  func setCredit(_ deliveries: Int?, of consumer: OwnerConsumer) {
    guard !consumer.isGone else { return }
    let wasWaiting = consumer.isWaiting
    consumer.credit = deliveries
    consumer.lastSeen = services.time.now
    guard consumer.isWaiting != wasWaiting else { return }
    if let id = consumer.id { core?.setWaiting(consumer.isWaiting, id) }
    if consumer.isWaiting {
      line.append(.push(consumer))
      scheduleTurn()
    } else {
      line.remove(consumer)
    }
  }

  /// It leaves; what it has goes to others.
  func remove(_ consumer: OwnerConsumer) {
    guard !consumer.isGone else { return }
    consumer.isGone = true
    if consumer.push != nil { line.remove(consumer) }
    if let id = consumer.id, core != nil {
      // A connection that broke may have been a delivery too many; a webhook's runner says itself what failed.
      core!.leave(id, countsAsFailure: consumer.kind != .webhook, now: now)
    }
    roster.remove(consumer)
    scheduleTurn()
  }

  /// An attached consumer has to go, and is told why.
  func dismiss(_ consumer: OwnerConsumer, _ end: ConsumerEnd) {
    guard !consumer.isGone, let push = consumer.push else { return }
    remove(consumer)
    let deliver = push.deliver
    post(push.executor) { deliver(.ended(end)) }
  }
}
