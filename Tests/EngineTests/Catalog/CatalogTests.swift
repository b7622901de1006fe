// The catalog: names changed one at a time, what a stream's users keep from happening, and what failures leave.
import Testing
import Wire

@testable import Engine

private let key = SigningSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")!

/// A catalog over a store and a metadata store in memory.
private final class CatalogBench {
  let bench: StoreBench
  let meta = MemoryMeta()
  let executor: TurnExecutor
  let catalog: Catalog
  let changes = Box<[String]>()

  init(_ limits: CatalogLimits = CatalogLimits()) throws {
    bench = try StoreBench.opened(lanes: 2)
    executor = bench.turns.executor("caller")
    changes.set([])
    catalog = Catalog(
      try CatalogContents.load(meta), meta: meta, maker: ShardMaker(log: bench.store),
      time: bench.turns.time, limits: limits, streamRemoved: { _ in },
      subscriptionChanged: { [changes] before, now in
        let word = before == nil ? "made" : now == nil ? "gone" : "changed"
        changes.set((changes.value ?? []) + ["\(word) \((now ?? before)!.name)"])
      })
  }

  /// Begins a call and runs everything that can run; the answer is in the box once there is one.
  func begin<Value>(
    _ call: (@escaping Catalog.Reply<Value>) -> Void
  ) -> Box<Result<Value, CatalogError>> {
    let answer = Box<Result<Value, CatalogError>>()
    bench.turns.on(executor) { call { answer.set($0) } }
    return answer
  }

  func release() { bench.turns.on(executor) { meta.release() } }

  func makeStream(_ name: String, shards: Int = 1) throws -> Stream {
    var fields = StreamFields()
    fields.shardCount = .set(shards)
    let answer = begin {
      catalog.ensureStream(name, fields, createOnly: true, on: executor, reply: $0)
    }
    guard case .created(let stream) = try #require(answer.value).get() else {
      throw CatalogError.alreadyExists
    }
    return stream
  }

  func beginSubscription(
    _ name: String, _ stream: String, _ change: (inout SubscriptionFields) -> Void = { _ in }
  ) -> Box<Result<Directory<Subscription>.Ensured, CatalogError>> {
    var fields = SubscriptionFields()
    fields.stream = .set(stream)
    change(&fields)
    return begin {
      catalog.ensureSubscription(
        name, fields, createOnly: false, freshSecret: key,
        findPlaces: { stream, _, reply in reply(.success(stream.shards.map(\.earliest))) },
        on: executor, reply: $0)
    }
  }

  func beginDeletion(of stream: String, force: Bool = false) -> Box<Result<Void, CatalogError>> {
    begin {
      catalog.deleteStream(stream, ifRevision: nil, force: force, on: executor, reply: $0)
    }
  }
}

extension Box where Value == Result<Directory<Subscription>.Ensured, CatalogError> {
  /// What came of it, in a word.
  fileprivate var word: String {
    switch value {
    case nil: "waits"
    case .success(.created): "created"
    case .success(.exists): "exists"
    case .failure(let error): "\(error)"
    }
  }
}

extension Box where Value == Result<Void, CatalogError> {
  fileprivate var word: String {
    switch value {
    case nil: "waits"
    case .success: "done"
    case .failure(let error): "\(error)"
    }
  }
}

struct CatalogTests {
  @Test func `a name changes once at a time, and whoever waits sees what came before`() throws {
    let bench = try CatalogBench()
    _ = try bench.makeStream("orders")
    bench.meta.plan("subscriptions", .isHeld)
    let first = bench.beginSubscription("s", "orders")
    let second = bench.beginSubscription("s", "orders")
    let other = bench.beginSubscription("t", "orders")
    #expect((first.word, second.word, other.word) == ("waits", "waits", "created"))
    bench.release()
    #expect((first.word, second.word) == ("created", "exists"))
    #expect(bench.changes.value == ["made t", "made s"])
  }

  @Test func `a stream is not deleted while a subscription that needs it is being made`() throws {
    let bench = try CatalogBench()
    _ = try bench.makeStream("orders")
    _ = try bench.makeStream("dead")
    bench.meta.plan("subscriptions", .isHeld)
    let made = bench.beginSubscription("s", "orders") { $0.deadLetter = .set("dead") }
    for stream in ["orders", "dead"] {
      #expect(bench.beginDeletion(of: stream).word == "inUse([\"s\"], count: 1)")
    }
    bench.release()
    #expect(made.word == "created")
    #expect(bench.beginDeletion(of: "dead").word == "inUse([\"s\"], count: 1)")
  }

  @Test func `a stream that is being deleted takes no new subscription`() throws {
    let bench = try CatalogBench()
    _ = try bench.makeStream("orders")
    bench.meta.plan("streams", .isHeld)
    let deleted = bench.beginDeletion(of: "orders")
    let made = bench.beginSubscription("s", "orders")
    #expect((deleted.word, made.word) == ("waits", "waits"))
    bench.release()
    #expect(deleted.word == "done")
    #expect(made.word == "noStream(\"orders\", field: \"stream\")")
  }

  @Test(arguments: [false, true])
  func `a stream is free again when the subscription was not made`(isUndecided: Bool) throws {
    let bench = try CatalogBench()
    _ = try bench.makeStream("orders")
    bench.meta.plan("subscriptions", isUndecided ? .isUndecided(kept: false) : .fails)
    let made = bench.beginSubscription("s", "orders")
    guard case .failure(.failed("planned", applied: .no)) = made.value else {
      Issue.record("\(made.word)")
      return
    }
    #expect(bench.catalog.subscriptions.entry(named: "s") == nil)
    #expect(bench.beginDeletion(of: "orders").word == "done")
  }

  @Test func `a change that nobody knew of is seen once the store can be asked`() throws {
    let bench = try CatalogBench()
    _ = try bench.makeStream("orders")
    bench.meta.plan("subscriptions", .isUndecided(kept: true))
    #expect(bench.beginSubscription("kept", "orders").word == "created")

    bench.meta.plan("subscriptions", .isUndecided(kept: true))
    bench.meta.setUnreadable(true)
    let made = bench.beginSubscription("s", "orders")
    guard case .failure(.failed(_, applied: .maybe)) = made.value else {
      Issue.record("\(made.word)")
      return
    }
    #expect(bench.catalog.subscriptions.entry(named: "s") == nil)
    bench.meta.setUnreadable(false)
    #expect(bench.beginSubscription("s", "orders").word == "exists")
    #expect(bench.changes.value == ["made kept", "made s"])
    #expect(bench.beginDeletion(of: "orders").word == "inUse([\"kept\", \"s\"], count: 2)")
  }

  @Test func `shard IDs are never given twice, whatever becomes of the counter`() throws {
    let bench = try CatalogBench()
    bench.meta.plan("counters", .isUndecided(kept: true))
    #expect(throws: CatalogError.self) { try bench.makeStream("a") }
    var given: Set<ShardID> = []
    for number in 0..<3 {
      let stream = try bench.makeStream("s\(number)", shards: 600)
      for shard in stream.shards { #expect(given.insert(shard.id).inserted) }
    }
    let contents = try CatalogContents.load(bench.meta)
    #expect(given.allSatisfy { $0 < contents.shardsBelow })
  }

  @Test func `there are only so many subscriptions`() throws {
    var limits = CatalogLimits()
    limits.subscriptionsMax = 2
    let bench = try CatalogBench(limits)
    _ = try bench.makeStream("orders")
    #expect(bench.beginSubscription("a", "orders").word == "created")
    #expect(bench.beginSubscription("b", "orders").word == "created")
    guard case .failure(.limit) = bench.beginSubscription("c", "orders").value else {
      Issue.record("a third was made")
      return
    }
    #expect(bench.beginSubscription("b", "orders").word == "exists")
  }

  @Test func `a restart finds subscriptions, and their journals are live shards`() throws {
    let bench = try CatalogBench()
    let stream = try bench.makeStream("orders", shards: 2)
    #expect(bench.beginSubscription("s", "orders").word == "created")
    let made = try #require(bench.catalog.subscriptions.entry(named: "s"))
    let contents = try CatalogContents.load(bench.meta)
    #expect(contents.liveShards == Set(stream.shards.map(\.id) + [made.journal.id]))
    #expect(contents.shardNames[made.journal.id] == .journal(subscription: "s"))
    #expect(contents.shardNames[stream.shards[1].id] == .shard(stream: "orders", index: 1))
    let catalog = Catalog(
      contents, meta: bench.meta, maker: ShardMaker(log: bench.bench.store),
      time: bench.bench.turns.time, limits: CatalogLimits(), streamRemoved: { _ in },
      subscriptionChanged: { _, _ in Issue.record("nothing changed") })
    let found = try #require(catalog.subscriptions.entry(named: "s"))
    #expect(found.document == made.document)
    #expect(found.revision == made.revision)
    #expect(catalog.source(of: found)?.incarnation == stream.incarnation)
    #expect(catalog.ledger.users(of: "orders", prefix: "", after: nil, limit: 9) == ["s"])
    #expect(catalog.ledger.shardCount == 2)
  }

  @Test func `names are listed by prefix, after a name`() {
    let list = NameList(["b.2", "a", "b.1", "c", "b"])
    #expect(list.page(prefix: "b.", after: nil, limit: 9) == ["b.1", "b.2"])
    #expect(list.page(prefix: "b", after: "b.1", limit: 9) == ["b.2"])
    #expect(list.page(prefix: "b", after: "a", limit: 2) == ["b", "b.1"])
    #expect(list.page(prefix: "", after: "c", limit: 9).isEmpty)
    #expect(list.page(prefix: "d", after: nil, limit: 9).isEmpty)
  }
}

struct SubscriptionDocumentTests {
  private static let full: SubscriptionDocument = {
    var spec = SubscriptionSpec(
      stream: "orders", streamIncarnation: 12, start: .time(Timestamp(milliseconds: 5)),
      startPlaces: [Offset(3), .zero])
    spec.ordering = .shard
    spec.ackDeadline = .milliseconds(1500)
    spec.maxInFlight = 7
    spec.maxDeliveries = 3
    spec.backoff = [.zero, .seconds(2)]
    spec.deadLetter = "orders.dead"
    var webhook = WebhookSpec(
      url: "https://svc.example/hook?a=\"b\"",
      secrets: [
        WebhookSecret(key: key, createdAt: Timestamp(milliseconds: 9)),
        WebhookSecret(
          key: key, createdAt: Timestamp(milliseconds: 8), expiresAt: Timestamp(milliseconds: 99)),
      ])
    webhook.format = .batch
    webhook.timeout = .seconds(3)
    webhook.concurrency = 4
    webhook.rateLimit = 100
    webhook.batchRecordsMax = 50
    webhook.batchLinger = .zero
    webhook.retry = [.seconds(1)]
    webhook.disableAfter = nil
    webhook.headers = ["x-env": "prod"]
    spec.delivery = .webhook(webhook)
    spec.state = .disabled(reason: "410", at: Timestamp(milliseconds: 77))
    return SubscriptionDocument(
      name: "s", spec: spec, createdAt: Timestamp(milliseconds: 6), journal: ShardID(17))
  }()

  /// As version 1 wrote them: they stay readable for ever.
  private static let stored = [
    (
      full,
      #"{"created_at":6,"journal":"17","stream":"orders","stream_incarnation":"12","#
        + #""start":"@1970-01-01T00:00:00.005Z","start_places":["3","0"],"ordering":"shard","#
        + #""ack_deadline_ms":1500,"max_in_flight":7,"max_deliveries":3,"backoff_ms":[0,2000],"#
        + #""dead_letter":"orders.dead","webhook":{"url":"https://svc.example/hook?a=\"b\"","#
        + #""format":"batch","secrets":[{"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","#
        + #""created_at":9,"expires_at":null},{"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","#
        + #""created_at":8,"expires_at":99}],"timeout_ms":3000,"concurrency":4,"rate_limit":100,"#
        + #""batch_records_max":50,"batch_linger_ms":0,"retry_ms":[1000],"disable_after_ms":null,"#
        + #""headers":{"x-env":"prod"}},"state":{"disabled":"410","at":77}}"#
    ),
    (
      SubscriptionDocument(
        name: "s",
        spec: SubscriptionSpec(
          stream: "o", streamIncarnation: 1, start: .tail, startPlaces: [Offset(1)]),
        createdAt: Timestamp(milliseconds: 6), journal: ShardID(17)),
      #"{"created_at":6,"journal":"17","stream":"o","stream_incarnation":"1","start":"tail","#
        + #""start_places":["1"],"ordering":"key","ack_deadline_ms":30000,"max_in_flight":1000,"#
        + #""max_deliveries":16,"backoff_ms":[1000,5000,30000],"dead_letter":null,"webhook":null,"#
        + #""state":"active"}"#
    ),
  ]

  @Test func `documents are written as ever and read back whole`() throws {
    for (document, text) in Self.stored {
      #expect(String(decoding: document.encoded, as: UTF8.self) == text)
      #expect(try SubscriptionDocument(name: "s", decoding: Array(text.utf8)) == document)
    }
  }

  @Test func `a field of a later version is passed over, a missing one is damage`() throws {
    let text = Self.stored[1].1
    let later = text.replacing("{\"created_at\"", with: "{\"color\":\"red\",\"created_at\"")
    #expect(
      try SubscriptionDocument(name: "s", decoding: Array(later.utf8)) == Self.stored[1].0)
    for field in ["journal", "stream", "start_places", "ordering", "backoff_ms", "state"] {
      let without = text.replacing("\"\(field)\":", with: "\"x\(field)\":")
      #expect(throws: CatalogDamage.self, "\(field)") {
        try SubscriptionDocument(name: "s", decoding: Array(without.utf8))
      }
    }
  }
}
