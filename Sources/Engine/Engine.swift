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
  public init() {}
}

public final class Engine: Sendable {
  private let catalog: Catalog
  private let meta: any MetaStore
  let services: OwnerServices
  private let lanes: [any Executor]
  private let settings: EngineSettings
  private let isStopping = Atomic<Bool>(false)

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
    catalog = Catalog(
      contents, meta: meta, maker: ShardMaker(log: log), time: time,
      limits: settings.catalogLimits
    ) { stream in
      services.meters.streamsDeleted.wrappingAdd(1, ordering: .relaxed)
      for shard in stream.shards {
        shard.publishRemoved()
        services.mailboxes.post(to: shard.executor) {
          shard.seat.value.owner?.end(.gone)
          services.log.remove(shard.id)
        }
      }
    }
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
  public func stream(named name: String) -> Stream? { catalog.stream(named: name) }

  /// Up to `limit` streams in name order that start with `prefix` and come after the name `after`.
  public func streams(prefix: String, after: String?, limit: Int) -> [Stream] {
    catalog.streams(prefix: prefix, after: after, limit: limit)
  }

  public enum EnsureOutcome: Sendable {
    case created(Stream)
    case exists(Stream)
  }
  /// Creates the stream, or finds that it is as `fields` say (only those present are compared).
  /// - Parameter createOnly: refuse with `.alreadyExists` instead of comparing.
  public func ensureStream(
    _ name: String, _ fields: StreamFields, createOnly: Bool, on executor: any Executor,
    reply: @escaping @Sendable (Result<EnsureOutcome, CatalogError>) -> Void
  ) {
    catalog.ensure(name, fields, createOnly: createOnly, on: executor) { [services] result in
      if case .success(.created) = result {
        services.meters.streamsCreated.wrappingAdd(1, ordering: .relaxed)
      }
      services.mailboxes.post(to: executor) { reply(result) }
    }
  }

  /// Changes the stream as a merge patch would; `ifRevision` refuses a lost race.
  public func changeStream(
    _ name: String, _ fields: StreamFields, ifRevision: Revision?, on executor: any Executor,
    reply: @escaping @Sendable (Result<Stream, CatalogError>) -> Void
  ) {
    catalog.change(name, fields, ifRevision: ifRevision, on: executor) { [services] result in
      services.mailboxes.post(to: executor) { reply(result) }
    }
  }

  /// Deletes the stream; its followers hear that it is gone, and its space follows.
  public func deleteStream(
    _ name: String, ifRevision: Revision?, force: Bool, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, CatalogError>) -> Void
  ) {
    catalog.delete(name, ifRevision: ifRevision, on: executor) { [services] result in
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
    let slice = catalog.streams(prefix: "", after: after, limit: settings.retentionSlice)
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

  /// Whether an append can be taken now: nil, or the reason why not.
  public var unready: String? {
    isStopping.load(ordering: .acquiring) ? "the server is stopping" : services.log.unready
  }

  public var metrics: [MetricSample] {
    let counts = catalog.counts
    let meters = services.meters
    return [
      MetricSample("millrace_streams", .gauge, "Streams.", value: Double(counts.streams)),
      MetricSample("millrace_shards", .gauge, "Shards.", value: Double(counts.shards)),
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
    ] + services.log.metrics
  }

  /// Refuses new appends, finishes those in flight, ends followers, and closes the stores. Replies on `executor`.
  public func stop(on executor: any Executor, reply: @escaping @Sendable () -> Void) {
    isStopping.store(true, ordering: .releasing)
    catalog.stop()
    stopLanes(lanes[...]) { [services, meta] in
      services.log.close {
        meta.close { executor.execute(reply) }
      }
    }
  }

  /// Stops the owners lane after lane; each once the answers it owes are given.
  private func stopLanes(_ rest: ArraySlice<any Executor>, then: @escaping @Sendable () -> Void) {
    guard let lane = rest.first else { return then() }
    lane.execute { [self] in
      let owners = catalog.streams(prefix: "", after: nil, limit: .max)
        .flatMap(\.shards).filter { $0.executor === lane }.compactMap(\.seat.value.owner)
      for owner in owners { owner.refuse() }
      awaitSettled(Confined(owners, to: lane)) { [self] in
        stopLanes(rest.dropFirst(), then: then)
      }
    }
  }

  private func awaitSettled(
    _ owners: Confined<[ShardOwner]>, then: @escaping @Sendable () -> Void
  ) {
    guard owners.value.allSatisfy(\.isSettled) else {
      owners.executor.schedule(after: .milliseconds(2)) { [self] in
        awaitSettled(owners, then: then)
      }
      return
    }
    for owner in owners.value { owner.end(.stopping) }
    then()
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

public enum CatalogError: Error, Sendable {
  case notFound
  /// There is one, and only creating was asked for.
  case alreadyExists(Stream)
  /// There is one with other settings; `fields` names what differs.
  case existsDifferently(Stream, fields: [String])
  /// `If-Match` did not hold; the stream as it is.
  case revisionMismatch(Stream)
  /// This field cannot be changed.
  case fixed(field: String)
  /// More streams or shards than configured.
  case limit(String)
  case failed(String, applied: Applied)
  case stopping
}
