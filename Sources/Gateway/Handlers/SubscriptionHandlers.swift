// Subscriptions: made, listed, shown, changed and deleted.
import Engine
import NIOCore
import Wire

enum SubscriptionHandlers {
  // MARK: One subscription

  static func ensure(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let name = try request.name()
    let createOnly = try request.createsOnly()
    let fields = try SubscriptionDocument.fields(
      of: try request.jsonBody(), isPatch: false, request.loop.configuration.egressPolicy)
    let fresh = SigningSecret.generate()
    let confined = request.confined
    request.engine.ensureSubscription(
      name, fields, createOnly: createOnly, freshSecret: fresh, on: request.executor
    ) {
      let request = confined.value
      switch $0 {
      case .success(.created(let subscription)):
        show(
          subscription, status: 201, headers: [("location", "/v1/subscriptions/\(name)")],
          secret: subscription.spec.webhook?.secrets[0].key, request)
      case .success(.exists(let subscription)): show(subscription, request)
      case .failure(let error): request.fail(Problem(error, of: .subscription))
      }
    }
  }

  /// - Parameters:
  ///   - secret: of a webhook, to be shown this once.
  ///   - live: writes further members, each after a comma.
  static func show(
    _ subscription: Subscription, status: Int = 200,
    headers: [(name: String, value: String)] = [], secret: SigningSecret? = nil,
    _ request: Request, live: (inout ByteBuffer) -> Void = { _ in }
  ) {
    let tag = EntityTags.tag(of: subscription.version)
    let cache = secret == nil ? "no-cache" : "no-store"
    let isReplaced = request.engine.source(of: subscription) == nil
    request.respondJSON(
      status, headers: headers + [("etag", tag), ("cache-control", cache)], bytesHint: 768
    ) {
      SubscriptionDocument.write(
        subscription, isReplaced: isReplaced, secret: secret, into: &$0, live: live)
    }
  }

  static func change(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    let body = try request.jsonBody(types: ["application/merge-patch+json", "application/json"])
    let fields = try SubscriptionDocument.fields(
      of: body, isPatch: true, request.loop.configuration.egressPolicy)
    let revision = try request.expectedRevision(of: subscription.version, .subscription)
    let fresh = SigningSecret.generate()
    let confined = request.confined
    request.engine.changeSubscription(
      subscription.name, fields, ifRevision: revision, freshSecret: fresh, on: request.executor
    ) {
      switch $0 {
      case .success(let changed):
        // Shown if this request had it made: it has become a webhook.
        let isFresh = changed.spec.webhook?.secrets[0].key == fresh
        show(changed, secret: isFresh ? fresh : nil, confined.value)
      case .failure(let error): confined.value.fail(Problem(error, of: .subscription))
      }
    }
  }

  static func delete(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    let revision = try request.expectedRevision(of: subscription.version, .subscription)
    let confined = request.confined
    request.engine.deleteSubscription(
      subscription.name, ifRevision: revision, on: request.executor
    ) {
      switch $0 {
      case .success: confined.value.respond(204, Headers(), nil)
      case .failure(let error): confined.value.fail(Problem(error, of: .subscription))
      }
    }
  }

  // MARK: All of them

  static func list(_ request: Request) throws(Problem) {
    let query = try request.query(["page_size", "page_token", "prefix", "stream"])
    let page = try Page(query)
    let after = page.after
    guard after.map(Request.isName) ?? true else { throw Page.damaged }
    let engine = request.engine
    let prefix = query["prefix"] ?? ""
    let found =
      if let stream = query["stream"] {
        engine.subscriptions(using: stream, prefix: prefix, after: after, limit: page.size + 1)
      } else {
        engine.subscriptions(prefix: prefix, after: after, limit: page.size + 1)
      }
    let shown = found.prefix(page.size)
    request.respondJSON(bytesHint: 512 * shown.count + 64) { buffer in
      page.write(
        shown, next: found.count > page.size ? shown.last?.name : nil, into: &buffer
      ) { subscription, buffer in
        SubscriptionDocument.write(
          subscription, isReplaced: engine.source(of: subscription) == nil, into: &buffer)
      }
    }
  }
}
