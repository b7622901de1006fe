// Subscriptions in the catalog: made, changed and deleted, with the streams that they use.
import Synchronization
import Wire

extension Catalog {
  /// Finds the first record of each shard of a stream that `start` means.
  typealias FindPlaces =
    @Sendable (Stream, SubscriptionStart, _ reply: @escaping Reply<[Offset]>) -> Void

  /// The stream that the subscription reads; nil once it is gone, whatever has its name since.
  func source(of subscription: Subscription) -> Stream? {
    let spec = subscription.spec
    guard let stream = streams.entry(named: spec.stream),
      stream.incarnation == spec.streamIncarnation
    else { return nil }
    return stream
  }

  private func checkSource(of subscription: Subscription) throws(CatalogError) {
    guard source(of: subscription) != nil else {
      throw .streamReplaced(subscription.spec.stream)
    }
  }

  // MARK: Making

  /// - Parameter freshSecret: for a webhook that was given none.
  func ensureSubscription(
    _ name: String, _ fields: SubscriptionFields, createOnly: Bool, freshSecret: SigningSecret,
    findPlaces: @escaping FindPlaces, on executor: any Executor,
    reply: @escaping Reply<Directory<Subscription>.Ensured>
  ) {
    // Held until it can be seen that it uses these streams, or that it does not.
    let claims = StreamClaims(of: name, in: self)
    subscriptions.ensure(
      name, createOnly: createOnly, on: executor,
      differences: { [self] subscription throws(CatalogError) in
        try checkSource(of: subscription)
        return fields.differences(from: subscription.spec)
      },
      draft: { [self] reply in
        let spec: SubscriptionSpec
        do throws(CatalogError) {
          spec = try draft(fields, freshSecret: freshSecret)
        } catch {
          return reply(.failure(error))
        }
        bind(spec, claims, findPlaces: findPlaces, on: executor) { [self] bound in
          goOn(with: bound, or: reply) { spec in
            shardIDs.take(1, on: executor) { [time] taken in
              reply(
                taken.map { ids in
                  SubscriptionDocument(
                    name: name, spec: spec, createdAt: time.now, journal: ids[0])
                })
            }
          }
        }
      },
      reply: { result in
        claims.release()
        reply(result)
      })
  }

  /// What is asked for, but for what it means in its stream.
  private func draft(
    _ fields: SubscriptionFields, freshSecret: SigningSecret
  ) throws(CatalogError) -> SubscriptionSpec {
    guard subscriptions.count < limits.subscriptionsMax else {
      throw .limit("this node holds at most \(limits.subscriptionsMax) subscriptions")
    }
    guard case .set(let stream) = fields.stream else { throw .missing(field: "stream") }
    var spec = SubscriptionSpec(
      stream: stream, streamIncarnation: 0, start: .earliest, startPlaces: [])
    if case .set(let start) = fields.start { spec.start = start }
    if case .set(let ordering) = fields.ordering { spec.ordering = ordering }
    try fields.patch(&spec, freshSecret: freshSecret, now: time.now)
    return spec
  }

  /// Binds `spec` to the streams that there are now, and says where in its own it begins.
  private func bind(
    _ spec: SubscriptionSpec, _ claims: StreamClaims, findPlaces: @escaping FindPlaces,
    on executor: any Executor, reply: @escaping Reply<SubscriptionSpec>
  ) {
    claims.take(spec.stream, field: "stream", on: executor) { [self] claimed in
      goOn(with: claimed, or: reply) { stream in
        claimDeadLetter(of: spec, claims, on: executor) { [self] claimed in
          goOn(with: claimed, or: reply) {
            findPlaces(stream, spec.start) { found in
              reply(
                found.map { places in
                  var bound = spec
                  bound.streamIncarnation = stream.incarnation
                  bound.startPlaces = places
                  return bound
                })
            }
          }
        }
      }
    }
  }

  private func claimDeadLetter(
    of spec: SubscriptionSpec, _ claims: StreamClaims, on executor: any Executor,
    reply: @escaping Reply<Void>
  ) {
    guard let deadLetter = spec.deadLetter else { return reply(.success(())) }
    claims.take(deadLetter, field: "dead_letter.stream", on: executor) { reply($0.map { _ in }) }
  }

  private func goOn<Value, Other>(
    with result: Result<Value, CatalogError>, or reply: Reply<Other>, _ then: (Value) -> Void
  ) {
    switch result {
    case .success(let value): then(value)
    case .failure(let error): reply(.failure(error))
    }
  }

  // MARK: Changing

  func changeSubscription(
    _ name: String, _ fields: SubscriptionFields, ifRevision: Revision?, freshSecret: SigningSecret,
    on executor: any Executor, reply: @escaping Reply<Subscription>
  ) {
    let claims = StreamClaims(of: name, in: self)
    subscriptions.change(
      name, ifRevision: ifRevision, on: executor,
      edit: { [self] subscription, reply in
        var document = subscription.document
        do throws(CatalogError) {
          try checkSource(of: subscription)
          try fields.patch(&document.spec, freshSecret: freshSecret, now: time.now)
        } catch {
          return reply(.failure(error))
        }
        let changed = document
        guard changed.spec.deadLetter != subscription.spec.deadLetter else {
          return reply(.success(changed))
        }
        claimDeadLetter(of: changed.spec, claims, on: executor) { claimed in
          reply(claimed.map { changed })
        }
      },
      reply: { result in
        claims.release()
        reply(result)
      })
  }

  /// Changes this very subscription, not another that has its name since, by a rule that needs nothing else.
  func edit(
    _ subscription: Subscription, ifRevision: Revision?, on executor: any Executor,
    by rule: @escaping @Sendable (inout SubscriptionSpec) throws(CatalogError) -> Void,
    reply: @escaping Reply<Subscription>
  ) {
    subscriptions.change(
      subscription.name, ifRevision: ifRevision, on: executor,
      edit: { [self] now, reply in
        guard now.incarnation == subscription.incarnation else {
          return reply(.failure(.notFound))
        }
        var document = now.document
        do throws(CatalogError) {
          try checkSource(of: now)
          try rule(&document.spec)
        } catch {
          return reply(.failure(error))
        }
        reply(.success(document))
      },
      reply: reply)
  }

  func deleteSubscription(
    _ name: String, ifRevision: Revision?, on executor: any Executor, reply: @escaping Reply<Void>
  ) {
    subscriptions.delete(
      name, ifRevision: ifRevision, on: executor,
      allow: { _ throws(CatalogError) in }, reply: reply)
  }
}

/// Streams that a subscription is about to use: nobody deletes them meanwhile, but by force.
private final class StreamClaims: Sendable {
  private let name: String
  private let catalog: Catalog
  private let taken = Mutex<[String]>([])

  init(of name: String, in catalog: Catalog) {
    self.name = name
    self.catalog = catalog
  }

  /// Waits for what happens to the stream at the moment, for it may be its end.
  /// - Parameter field: that names it.
  func take(
    _ stream: String, field: String, on executor: any Executor,
    reply: @escaping Catalog.Reply<Stream>
  ) {
    catalog.streams.turn(of: stream, on: executor, reply: reply) { [self] finish in
      guard let found = catalog.streams.entry(named: stream) else {
        return finish(.failure(.noStream(stream, field: field)))
      }
      catalog.ledger.claim(stream, for: name)
      taken.withLock { $0.append(stream) }
      finish(.success(found))
    }
  }

  func release() {
    let streams = taken.withLock { taken in
      defer { taken = [] }
      return taken
    }
    for stream in streams { catalog.ledger.release(stream, for: name) }
  }
}
