// A whole Engine on a store in memory, run turn by turn: streams, subscriptions, consumers, crashes.
@testable import Engine
import NIOCore
import Synchronization
import Testing
import Wire

final class EngineBench {
  let meta: MemoryMeta
  private(set) var bench: StoreBench
  private(set) var engine: Engine!
  private let lanes: Int
  private let settings: EngineSettings
  private let change: (inout StoreOptions) -> Void

  var turns: Turns { bench.turns }
  var disk: MemoryDisk { bench.disk }
  /// Where callers live: no lane of the store.
  private(set) var client: TurnExecutor!

  /// One record as a consumer gets it.
  struct Message: Equatable, Sendable {
    var shard: Int
    var offset: UInt64
    var value: String
    var key: String?
    var delivery: Int
    var ackID: AckID
  }

  init(
    lanes: Int = 1, bench: StoreBench = StoreBench(), meta: MemoryMeta = MemoryMeta(),
    settings: EngineSettings = EngineSettings(),
    _ change: @escaping (inout StoreOptions) -> Void = { _ in }
  ) throws {
    self.lanes = lanes
    self.bench = bench
    self.meta = meta
    self.settings = settings
    self.change = change
    try open()
  }

  private func open() throws {
    let contents = try CatalogContents.load(meta)
    try bench.open(lanes: lanes, liveShards: contents.liveShards) { options in
      options.walFileBytes = 256 << 10
      options.groupBytesMax = 64 << 10
      options.stagedBytesMax = 1 << 20
      options.cacheBytes = 1 << 20
      change(&options)
    }
    client = turns.executor("client")
    let opened = Box<Result<Engine, CatalogError>>()
    let executors = (0..<lanes).map { bench.executor(of: UInt64($0)) }
    turns.on(client) {
      Engine.open(
        contents, meta: meta, log: bench.store, time: turns.time, lanes: executors,
        settings: settings, on: client
      ) { opened.set($0) }
    }
    engine = try #require(opened.value).get()
  }

  /// What a kill -9 at this moment leaves, started again.
  func crashed() throws -> EngineBench {
    try EngineBench(lanes: lanes, bench: bench.crashed(), meta: meta, settings: settings, change)
  }

  /// Runs a call and everything that follows from it; what it replied.
  func call<Value: Sendable>(_ body: (@escaping @Sendable (Value) -> Void) -> Void) throws -> Value
  {
    let box = Box<Value>()
    turns.on(client) { body { box.set($0) } }
    return try #require(box.value, "it was not answered")
  }

  /// Begins a call and runs what can run; the box has the answer once there is one.
  func begin<Value: Sendable>(
    _ body: (@escaping @Sendable (Value) -> Void) -> Void
  ) -> Box<Value> {
    let box = Box<Value>()
    turns.on(client) { body { box.set($0) } }
    return box
  }

  // MARK: Streams and subscriptions

  @discardableResult
  func stream(_ name: String, shards: Int = 1) throws -> Stream {
    var fields = StreamFields()
    fields.shardCount = .set(shards)
    let outcome: Result<Engine.EnsureOutcome, CatalogError> = try call {
      engine.ensureStream(name, fields, createOnly: false, on: client, reply: $0)
    }
    switch try outcome.get() {
    case .created(let stream), .exists(let stream): return stream
    }
  }

  @discardableResult
  func subscription(
    _ name: String, _ stream: String, _ change: (inout SubscriptionFields) -> Void = { _ in }
  ) throws -> Subscription {
    var fields = SubscriptionFields()
    fields.stream = .set(stream)
    fields.backoff = .set([])
    change(&fields)
    let outcome: Result<Engine.SubscriptionOutcome, CatalogError> = try call {
      engine.ensureSubscription(
        name, fields, createOnly: false, freshSecret: .generate(), on: client, reply: $0)
    }
    switch try outcome.get() {
    case .created(let subscription), .exists(let subscription): return subscription
    }
  }

  func subscription(_ name: String) throws -> Subscription {
    try #require(engine.subscription(named: name))
  }

  func append(_ values: [String], key: String? = nil, to stream: String, shard: Int = 0) throws {
    let stream = try #require(engine.stream(named: stream))
    var builder = FrameBuilder(valuesBytesHint: 64)
    for value in values {
      var attributes = RecordAttributes()
      let (value, keyBytes) = (Array(value.utf8), Array((key ?? "").utf8))
      value.withUnsafeBytes { value in
        keyBytes.withUnsafeBytes { keyBytes in
          if key != nil { attributes.key = keyBytes }
          builder.append(value, attributes)
        }
      }
    }
    let draft = builder.finish()
    let result: Result<Appended, AppendError> = try call {
      engine.append(draft, to: stream.shards[shard], if: .none, on: client, reply: $0)
    }
    _ = try result.get()
  }

  func trim(_ stream: String, shard: Int = 0, before: UInt64) throws {
    let stream = try #require(engine.stream(named: stream))
    let result: Result<Offset, AppendError> = try call {
      engine.trim(stream.shards[shard], before: Offset(before), on: client, reply: $0)
    }
    _ = try result.get()
  }

  /// All values of a stream's shard.
  func values(_ stream: String, shard: Int = 0) throws -> [String] {
    let stream = try #require(engine.stream(named: stream))
    return bench.values(stream.shards[shard].id.rawValue)
  }

  // MARK: Consuming

  func beginPull(
    _ name: String, as consumer: String = "c", max: Int = 100, bytesMax: Int = 1 << 20,
    wait: Duration = .seconds(20)
  ) throws -> Box<Result<Pulled, SubscriptionError>> {
    let subscription = try subscription(name)
    return begin {
      engine.pull(
        subscription, consumer: consumer, max: max, bytesMax: bytesMax, wait: wait, on: client,
        reply: $0)
    }
  }

  /// What one can have at once.
  func pull(
    _ name: String, as consumer: String = "c", max: Int = 100, bytesMax: Int = 1 << 20
  ) throws -> [Message] {
    let answer = try beginPull(name, as: consumer, max: max, bytesMax: bytesMax, wait: .zero)
    if answer.value == nil { turns.advance(by: .milliseconds(2)) }
    return try #require(answer.value, "a pull was not answered").get().messages
  }

  @discardableResult
  func settle(_ name: String, _ settlement: Settlement) throws -> [SettleStatus] {
    let subscription = try subscription(name)
    let result: Result<[SettleStatus], SubscriptionError> = try call {
      engine.settle(subscription, settlement, on: client, reply: $0)
    }
    return try result.get()
  }

  @discardableResult
  func ack(_ name: String, _ messages: [Message]) throws -> [SettleStatus] {
    try settle(name, Settlement(ack: messages.map(\.ackID)))
  }

  func status(_ name: String) throws -> SubscriptionStatus {
    let subscription = try subscription(name)
    let result: Result<SubscriptionStatus, SubscriptionError> = try call {
      engine.status(of: subscription, on: client, reply: $0)
    }
    return try result.get()
  }
}

/// A consumer that is pushed to, and what it got.
final class PushedTo: Sendable {
  private let events = Mutex<[ConsumerEvent]>([])
  let attachment = Box<Result<SubscriptionAttachment, SubscriptionError>>()

  func hear(_ event: ConsumerEvent) { events.withLock { $0.append(event) } }

  /// What came since the last call.
  func messages() -> [EngineBench.Message] {
    deliveries().flatMap(\.messages)
  }

  func deliveries() -> [Delivery] {
    events.withLock { events in
      defer {
        events.removeAll { if case .delivery = $0 { true } else { false } }
      }
      return events.compactMap { if case .delivery(let delivery) = $0 { delivery } else { nil } }
    }
  }

  var end: ConsumerEnd? {
    events.withLock { events in
      events.compactMap { if case .ended(let end) = $0 { end } else { nil } }.first
    }
  }

  func hold() throws -> SubscriptionAttachment { try #require(attachment.value).get() }
}

extension EngineBench {
  func attach(
    _ name: String, _ kind: ConsumerOptions.Kind = .sse, share: Int? = nil,
    _ change: (inout ConsumerOptions) -> Void = { _ in }
  ) throws -> PushedTo {
    let subscription = try subscription(name)
    var options = ConsumerOptions(name: "pushed", kind: kind, share: share)
    change(&options)
    let pushed = PushedTo()
    turns.on(client) {
      engine.attach(
        subscription, options, on: client, deliver: { pushed.hear($0) },
        reply: { pushed.attachment.set($0) })
    }
    return pushed
  }
}

extension Pulled {
  var messages: [EngineBench.Message] { delivery?.messages ?? [] }
}

extension Delivery {
  var messages: [EngineBench.Message] {
    var messages: [EngineBench.Message] = []
    for piece in pieces {
      piece.forEachRecord { record, pick in
        messages.append(
          EngineBench.Message(
            shard: piece.shardIndex, offset: record.offset.rawValue,
            value: String(decoding: record.value, as: UTF8.self),
            key: record.key.map { String(decoding: $0, as: UTF8.self) },
            delivery: Int(pick.delivery), ackID: ackID(pick, in: piece)))
        return true
      }
    }
    return messages
  }
}
