// The Engine: streams, appends, reads and live following, over whichever stores stand behind the two seams.
import Synchronization
import Wire

public struct EngineSettings: Sendable {
  public var shardLimits = ShardLimits()
  public var catalogLimits = CatalogLimits()
  /// How often records past their stream's retention are looked for.
  public var retentionInterval = Duration.seconds(10)
  /// Shards looked at in one go, so that a sweep over many holds no lane for long.
  public var retentionSlice = 500
  public var subscriptions = SubscriptionTuning()
  public init() {}
}

public final class Engine: Sendable {
  let catalog: Catalog
  private let meta: any MetaStore
  let services: OwnerServices
  private let lanes: [any Executor]
  let settings: EngineSettings
  let subscriptionChanges: SubscriptionChanges
  private let isStopping = Atomic<Bool>(false)
  let shelfBudget = ShelfBudget()

  /// This node's term as the owner of its shards.
  public var epoch: Epoch { services.epoch }

  /// Claims a new epoch in `meta`, so that an owner from before can no longer write, and starts the Engine.
  /// - Parameters:
  ///   - contents: what `CatalogContents.load` found in the same `meta`.
  ///   - log: opened with `contents.liveShards`.
  ///   - lanes: every executor that `log` names as a shard's.
  public static func open(
    _ contents: CatalogContents, meta: any MetaStore, log: any LogStore, time: any TimeSource,
    lanes: [any Executor], settings: EngineSettings, on executor: any Executor,
    reply: @escaping @Sendable (Result<Engine, CatalogError>) -> Void
  ) {
    CatalogContents.claimEpoch(meta, on: executor) { result in
      reply(
        result.map { epoch in
          let engine = Engine(
            contents, meta: meta, log: log, time: time, lanes: lanes, settings: settings,
            epoch: epoch)
          engine.startRetention()
          return engine
        })
    }
  }

  private init(
    _ contents: CatalogContents, meta: any MetaStore, log: any LogStore, time: any TimeSource,
    lanes: [any Executor], settings: EngineSettings, epoch: Epoch
  ) {
    self.meta = meta
    self.lanes = lanes
    self.settings = settings
    let services = OwnerServices(
      log: log, time: time, epoch: epoch, limits: settings.shardLimits,
      mailboxes: Mailboxes(lanes), meters: Meters())
    self.services = services
    let subscriptionChanges = SubscriptionChanges(services)
    self.subscriptionChanges = subscriptionChanges
    catalog = Catalog(
      contents, meta: meta, maker: ShardMaker(log: log), time: time,
      limits: settings.catalogLimits,
      streamRemoved: { stream in
        services.meters.streamsDeleted.wrappingAdd(1, ordering: .relaxed)
        for shard in stream.shards { services.remove(shard) }
      },
      subscriptionChanged: { before, now in
        if let change = SubscriptionChange(before, now) { subscriptionChanges.announce(change) }
      })
  }

  /// The shard's owner, made now if there is none. On the shard's executor.
  func owner(of shard: Shard) -> ShardOwner {
    let seat = shard.seat.value
    if let owner = seat.owner { return owner }
    let owner = ShardOwner(shard, services)
    if shard.isRemoved {
      owner.end(.gone)
    } else if isStopping.load(ordering: .acquiring) {
      owner.end(.stopping)
    }
    seat.owner = owner
    return owner
  }

  // MARK: Streams

  /// The stream of this name, as of now. Cheap; from any thread.
  public func stream(named name: String) -> Stream? { catalog.streams.entry(named: name) }

  /// Up to `limit` streams in name order that start with `prefix` and come after the name `after`.
  public func streams(prefix: String, after: String?, limit: Int) -> [Stream] {
    catalog.streams.entries(prefix: prefix, after: after, limit: limit)
  }

  public enum EnsureOutcome: Sendable {
    case created(Stream)
    case exists(Stream)

    init(_ ensured: Directory<Stream>.Ensured) {
      switch ensured {
      case .created(let stream): self = .created(stream)
      case .exists(let stream): self = .exists(stream)
      }
    }
  }

  /// Creates the stream, or finds that it is as `fields` say (only those present are compared).
  /// - Parameter createOnly: refuse with `.alreadyExists` instead of comparing.
  public func ensureStream(
    _ name: String, _ fields: StreamFields, createOnly: Bool, on executor: any Executor,
    reply: @escaping @Sendable (Result<EnsureOutcome, CatalogError>) -> Void
  ) {
    catalog.ensureStream(name, fields, createOnly: createOnly, on: executor) { [services] result in
      if case .success(.created) = result {
        services.meters.streamsCreated.wrappingAdd(1, ordering: .relaxed)
      }
      let outcome = result.map(EnsureOutcome.init)
      services.mailboxes.post(to: executor) { reply(outcome) }
    }
  }

  /// Changes the stream as a merge patch would; `ifRevision` refuses a lost race.
  public func changeStream(
    _ name: String, _ fields: StreamFields, ifRevision: Revision?, on executor: any Executor,
    reply: @escaping @Sendable (Result<Stream, CatalogError>) -> Void
  ) {
    catalog.changeStream(name, fields, ifRevision: ifRevision, on: executor) { [services] result in
      services.mailboxes.post(to: executor) { reply(result) }
    }
  }

  /// Deletes the stream; its followers hear that it is gone, and its space follows.
  /// - Parameter force: also while subscriptions use it, which is `.inUse` otherwise. Those that read from it never
  ///   deliver again, whatever has its name later.
  public func deleteStream(
    _ name: String, ifRevision: Revision?, force: Bool, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, CatalogError>) -> Void
  ) {
    catalog.deleteStream(name, ifRevision: ifRevision, force: force, on: executor) {
      [self] result in
      if force, case .success = result { tellReaders(of: name) }
      services.mailboxes.post(to: executor) { reply(result) }
    }
  }

  // MARK: Records

  /// Gives `draft` its place in `shard` and replies on `executor` once it is durable, or with why not.
  public func append(
    _ draft: consuming FrameDraft, to shard: Shard, if condition: AppendCondition,
    on executor: any Executor, reply: @escaping AppendReply
  ) {
    if shard.executor.isCurrent {
      return owner(of: shard).append(draft, if: condition, on: executor, reply: reply)
    }
    let draft = draft
    services.mailboxes.post(to: shard.executor) { [self] in
      owner(of: shard).append(draft, if: condition, on: executor, reply: reply)
    }
  }

  /// Durable records from `from` on: at least one whole frame (which may begin before `from`), about `bytesMax`.
  public func read(
    _ shard: Shard, from: Offset, bytesMax: Int, on executor: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) {
    services.mailboxes.post(to: shard.executor) { [services] in
      // The log has forgotten it, and would call it a shard without records.
      guard !shard.isRemoved else { return executor.execute { reply(.failed(.gone)) } }
      services.log.read(shard.id, from: from, bytesMax: bytesMax, on: executor, reply: reply)
    }
  }

  /// The first record at or after `time`, or the tail.
  public func find(
    _ time: Timestamp, in shard: Shard, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void
  ) {
    services.mailboxes.post(to: shard.executor) { [services] in
      guard !shard.isRemoved else { return executor.execute { reply(.failure(.gone)) } }
      services.log.find(time, in: shard.id, on: executor, reply: reply)
    }
  }

  /// Drops the records below `before` (at most the tail); replies with the earliest offset that holds from now on.
  public func trim(
    _ shard: Shard, before: Offset, on executor: any Executor,
    reply: @escaping @Sendable (Result<Offset, AppendError>) -> Void
  ) {
    services.mailboxes.post(to: shard.executor) { [self] in
      owner(of: shard).trim(before: before, on: executor, reply: reply)
    }
  }

  // MARK: Following

  public enum FollowOutcome: Sendable {
    /// From now on every committed chunk comes to `deliver`, the first one beginning at `start`.
    case following(Following)
    /// The shard's tail is elsewhere: read up to it first.
    case behind(tail: Offset)
    /// The shard was removed, or the engine stops.
    case gone
  }
  public enum FollowEvent: Sendable {
    case records(FrameChunk)
    /// The stream was deleted (`gone`), or the engine stops: nothing follows.
    case ended(gone: Bool)
  }
  /// Joins the live tail at `from` if that is exactly where it stands: the hand-over from history to live without a
  /// hole. nil joins wherever it stands by then, which a busy loop that asks for a place may always be too late for.
  /// `deliver` runs on `executor`, in order, once for each commit, and never before `reply`.
  public func follow(
    _ shard: Shard, from: Offset?, on executor: any Executor,
    deliver: @escaping @Sendable (FollowEvent) -> Void,
    reply: @escaping @Sendable (FollowOutcome) -> Void
  ) {
    services.mailboxes.post(to: shard.executor) { [self] in
      owner(of: shard).follow(from: from, on: executor, deliver: deliver, reply: reply)
    }
  }

  // MARK: Retention

  private func startRetention() {
    for lane in lanes { scheduleSweep(on: lane) }
  }

  private func scheduleSweep(on lane: any Executor) {
    lane.schedule(after: settings.retentionInterval) { [weak self, lane] in
      self?.sweep(lane, after: nil)
    }
  }

  /// Looks at the streams after the name `after`, a slice at a time, and trims what their retention lets go.
  private func sweep(_ lane: any Executor, after: String?) {
    guard !isStopping.load(ordering: .acquiring) else { return }
    let slice = streams(prefix: "", after: after, limit: settings.retentionSlice)
    for stream in slice where stream.spec.retention != Retention(age: nil, bytes: nil) {
      for shard in stream.shards where shard.executor === lane && !shard.isRemoved {
        let policy = stream.spec.retention.share(of: stream.shards.count)
        let now = services.time.now
        guard let before = services.log.expired(shard.id, policy: policy, now: now),
          before > shard.earliest
        else { continue }
        owner(of: shard).trim(before: before, on: lane) { _ in }
      }
    }
    guard slice.count == settings.retentionSlice, let last = slice.last else {
      return scheduleSweep(on: lane)
    }
    lane.execute { [weak self, lane] in self?.sweep(lane, after: last.name) }
  }

  // MARK: Operation

  var hasStopped: Bool { isStopping.load(ordering: .acquiring) }

  /// Whether an append can be taken now: nil, or the reason why not.
  public var unready: String? {
    isStopping.load(ordering: .acquiring) ? "the server is stopping" : services.log.unready
  }

  public var metrics: [MetricSample] {
    let meters = services.meters
    return [
      MetricSample(
        "millrace_streams", .gauge, "Streams.", value: Double(catalog.streams.count)),
      MetricSample(
        "millrace_shards", .gauge, "Shards of streams.", value: Double(catalog.ledger.shardCount)),
      MetricSample(
        "millrace_subscriptions", .gauge, "Subscriptions.",
        value: Double(catalog.subscriptions.count)),
      MetricSample(
        "millrace_streams_created_total", .counter, "Streams created since start.",
        value: Double(meters.streamsCreated.load(ordering: .relaxed))),
      MetricSample(
        "millrace_streams_deleted_total", .counter, "Streams deleted since start.",
        value: Double(meters.streamsDeleted.load(ordering: .relaxed))),
      MetricSample(
        "millrace_records_appended_total", .counter,
        "Records acknowledged since start, duplicates left out.",
        value: Double(meters.records.load(ordering: .relaxed))),
    ] + subscriptionSamples + services.log.metrics
  }

  /// Refuses new appends and deliveries, finishes those in flight, ends followers, and closes the stores. Replies on
  /// `executor`.
  public func stop(on executor: any Executor, reply: @escaping @Sendable () -> Void) {
    isStopping.store(true, ordering: .releasing)
    catalog.stop()
    // What serves a subscription appends to shards until it is settled: those go last.
    stopLanes(lanes[...], owners: { $0.subscriptionOwners(on: $1) }) { [self] in
      stopLanes(lanes[...], owners: { $0.shardOwners(on: $1) }) { [services, meta] in
        services.log.close {
          meta.close { executor.execute(reply) }
        }
      }
    }
  }

  /// Stops the owners lane after lane; each once the answers it owes are given.
  private func stopLanes(
    _ rest: ArraySlice<any Executor>,
    owners find: @escaping @Sendable (Engine, any Executor) -> [any StoppableOwner],
    then: @escaping @Sendable () -> Void
  ) {
    guard let lane = rest.first else { return then() }
    lane.execute { [self] in
      let owners = find(self, lane)
      for owner in owners { owner.refuse() }
      awaitSettled(Confined(owners, to: lane)) { [self] in
        stopLanes(rest.dropFirst(), owners: find, then: then)
      }
    }
  }

  private func awaitSettled(
    _ owners: Confined<[any StoppableOwner]>, then: @escaping @Sendable () -> Void
  ) {
    guard owners.value.allSatisfy(\.isSettled) else {
      owners.executor.schedule(after: .milliseconds(2)) { [self] in
        awaitSettled(owners, then: then)
      }
      return
    }
    for owner in owners.value { owner.stop() }
    then()
  }

  private func shardOwners(on lane: any Executor) -> [any StoppableOwner] {
    let shards =
      streams(prefix: "", after: nil, limit: .max).flatMap(\.shards)
      + subscriptions(prefix: "", after: nil, limit: .max).map(\.journal)
    return shards.filter { $0.executor === lane }.compactMap(\.seat.value.owner)
  }

  private func subscriptionOwners(on lane: any Executor) -> [any StoppableOwner] {
    subscriptions(prefix: "", after: nil, limit: .max)
      .filter { $0.journal.executor === lane }.compactMap(\.seat.owner)
  }
}

/// What has to be brought to rest before the stores are closed. On its executor.
protocol StoppableOwner: AnyObject {
  /// Takes nothing new; what is under way is still finished.
  func refuse()
  /// True when no answer is owed.
  var isSettled: Bool { get }
  /// Tells whoever waits that the Engine stops; nothing is taken from now on.
  func stop()
}

extension OwnerServices {
  /// Tells the shard's owner and the log that it is no more; from any thread.
  func remove(_ shard: Shard) {
    shard.publishRemoved()
    mailboxes.post(to: shard.executor) { end(shard) }
  }

  /// The same on the shard's executor, once it is published as removed.
  func end(_ shard: Shard) {
    shard.seat.value.owner?.end(.gone)
    log.remove(shard.id)
  }
}

extension Retention {
  /// One shard's part of a stream's retention: bytes are shared out, age is not.
  func share(of shardCount: Int) -> Retention {
    Retention(age: age, bytes: bytes.map { $0 / shardCount })
  }
}

/// A place in the live tail; let go of by `cancel`.
public struct Following: Sendable {
  /// The first record that comes.
  public let start: Offset
  private let cancelFollowing: @Sendable () -> Void

  public init(start: Offset, cancel: @escaping @Sendable () -> Void) {
    self.start = start
    cancelFollowing = cancel
  }

  /// Asks that no more events come; those already on their way may still.
  public func cancel() { cancelFollowing() }
}
