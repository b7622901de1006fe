// The Engine's control of subscriptions: looked up, made, changed, paused, deleted.
import Wire

extension Engine {
  /// The subscription of this name, as of now. Cheap; from any thread.
  public func subscription(named name: String) -> Subscription? {
    catalog.subscriptions.entry(named: name)
  }

  /// Up to `limit` subscriptions in name order that start with `prefix` and come after the name `after`.
  public func subscriptions(prefix: String, after: String?, limit: Int) -> [Subscription] {
    catalog.subscriptions.entries(prefix: prefix, after: after, limit: limit)
  }

  /// Of those only such as read from the stream of this name, or bury into it.
  public func subscriptions(
    using stream: String, prefix: String, after: String?, limit: Int
  ) -> [Subscription] {
    catalog.ledger.users(of: stream, prefix: prefix, after: after, limit: limit)
      .compactMap { catalog.subscriptions.entry(named: $0) }
  }

  /// The stream that the subscription reads; nil once it is gone, whatever has its name since.
  public func source(of subscription: Subscription) -> Stream? { catalog.source(of: subscription) }

  public enum SubscriptionOutcome: Sendable {
    case created(Subscription)
    case exists(Subscription)
  }

  /// Creates the subscription, or finds that it is as `fields` say (only those present are compared).
  /// - Parameters:
  ///   - createOnly: refuse with `.alreadyExists` instead of comparing.
  ///   - freshSecret: what a webhook is signed with that was given no secret.
  public func ensureSubscription(
    _ name: String, _ fields: SubscriptionFields, createOnly: Bool, freshSecret: SigningSecret,
    on executor: any Executor,
    reply: @escaping @Sendable (Result<SubscriptionOutcome, CatalogError>) -> Void
  ) {
    catalog.ensureSubscription(
      name, fields, createOnly: createOnly, freshSecret: freshSecret,
      findPlaces: { [self] stream, start, reply in
        findPlaces(of: start, in: stream, on: executor, reply: reply)
      }, on: executor
    ) { [services] result in
      let outcome: Result<SubscriptionOutcome, CatalogError> = result.map {
        switch $0 {
        case .created(let subscription): .created(subscription)
        case .exists(let subscription): .exists(subscription)
        }
      }
      services.mailboxes.post(to: executor) { reply(outcome) }
    }
  }

  /// Changes the subscription as a merge patch would; `ifRevision` refuses a lost race.
  public func changeSubscription(
    _ name: String, _ fields: SubscriptionFields, ifRevision: Revision?, freshSecret: SigningSecret,
    on executor: any Executor,
    reply: @escaping @Sendable (Result<Subscription, CatalogError>) -> Void
  ) {
    catalog.changeSubscription(
      name, fields, ifRevision: ifRevision, freshSecret: freshSecret, on: executor
    ) { [services] result in
      services.mailboxes.post(to: executor) { reply(result) }
    }
  }

  /// Pauses, resumes or disables this very subscription: `.notFound` if another has its name since. Setting the state
  /// that it has changes nothing.
  public func setState(
    of subscription: Subscription, to state: SubscriptionSpec.State, on executor: any Executor,
    reply: @escaping @Sendable (Result<Subscription, CatalogError>) -> Void
  ) {
    catalog.edit(subscription, ifRevision: nil, on: executor) {
      $0.state = state
    } reply: {
      [services] result in
      services.mailboxes.post(to: executor) { reply(result) }
    }
  }

  /// Signs with `key` from now on, and with the newest key before it as well, until it is rotated again or
  /// `expireAfter` is over. The key that is the newest already changes nothing.
  public func rotateSecret(
    of subscription: Subscription, to key: SigningSecret, expireAfter: Duration?,
    ifRevision: Revision?, on executor: any Executor,
    reply: @escaping @Sendable (Result<Subscription, CatalogError>) -> Void
  ) {
    let now = services.time.now
    catalog.edit(subscription, ifRevision: ifRevision, on: executor) { spec throws(CatalogError) in
      guard case .webhook(var webhook) = spec.delivery else { throw .notWebhook }
      guard var previous = webhook.secrets.first, previous.key != key else { return }
      previous.expiresAt = expireAfter.map {
        Timestamp(milliseconds: now.milliseconds + $0.milliseconds)
      }
      webhook.secrets = [WebhookSecret(key: key, createdAt: now), previous]
      spec.delivery = .webhook(webhook)
    } reply: { [services] result in
      services.mailboxes.post(to: executor) { reply(result) }
    }
  }

  /// Deletes the subscription and what it knows of its place; the records stay.
  public func deleteSubscription(
    _ name: String, ifRevision: Revision?, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, CatalogError>) -> Void
  ) {
    catalog.deleteSubscription(name, ifRevision: ifRevision, on: executor) { [services] result in
      services.mailboxes.post(to: executor) { reply(result) }
    }
  }

  private func findPlaces(
    of start: SubscriptionStart, in stream: Stream, on executor: any Executor,
    reply: @escaping @Sendable (Result<[Offset], CatalogError>) -> Void
  ) {
    switch start {
    case .earliest: reply(.success(stream.shards.map(\.earliest)))
    case .tail: reply(.success(stream.shards.map(\.tail)))
    case .time(let time):
      let search = Confined(PlaceSearch(stream, reply), to: executor)
      for shard in stream.shards {
        find(time, in: shard, on: executor) { search.value.receive($0, of: shard) }
      }
    }
  }
}

/// Waits for all shards of a stream to say where a time falls.
private final class PlaceSearch {
  private var places: [Offset]
  private var missing: Int
  private var failure: CatalogError?
  private let stream: Stream
  private let reply: (Result<[Offset], CatalogError>) -> Void

  init(_ stream: Stream, _ reply: @escaping (Result<[Offset], CatalogError>) -> Void) {
    self.stream = stream
    self.reply = reply
    places = stream.shards.map(\.earliest)
    missing = stream.shards.count
  }

  func receive(_ result: Result<Offset, LogError>, of shard: Shard) {
    switch result {
    case .success(let place): places[shard.index] = place
    case .failure(.gone): failure = .noStream(stream.name, field: "stream")
    case .failure(let error): failure = .failed("\(error)", applied: .no)
    }
    missing -= 1
    guard missing == 0 else { return }
    reply(failure.map { .failure($0) } ?? .success(places))
  }
}
