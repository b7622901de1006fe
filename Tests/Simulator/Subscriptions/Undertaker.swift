// The client that keeps the stream of dead letters and reads all of it: each is there once, and with a reason.
import Engine
import Wire

final class Undertaker: Client {
  let streamName = "dead"
  private var shardIDs: [ShardID] = []
  /// Read up to here; it stays, whatever crashes.
  private var positions: [Offset] = []
  private var isBusy = false
  /// How often each record was buried, by whom.
  private var burials: [String: Int] = [:]

  /// The stream stands.
  var hasStream: Bool { !shardIDs.isEmpty }

  override func start() { act() }
  override func dropped() { isBusy = false }

  override var isSettled: Bool { !hasStream || hasReadAll && missing.isEmpty }

  /// Every dead letter that there is was looked at.
  var hasReadAll: Bool {
    guard let stream = life?.engine.stream(named: streamName) else { return false }
    return stream.shards.allSatisfy { positions[$0.index] >= $0.tail }
  }

  override var waitsFor: String {
    "dead letters: read to \(positions), missing \(missing.prefix(5))"
  }

  private var missing: [String] {
    (simulation.registrar?.subscriptions ?? []).flatMap { known in
      known.missingDeadLetters.map { "\(known.label) \($0.shard.label) \($0.offset)" }
    }
  }

  private func act() {
    // Often: a crash right after a letter was seen finds it appended and not journaled.
    defer { later(.microseconds(random.below(1500))) { self.act() } }
    guard !isBusy else { return }
    guard hasStream else { return create() }
    guard let stream = life!.engine.stream(named: streamName),
      stream.shards.map(\.id) == shardIDs
    else { return violate("a stream is there until deleted", streamName) }
    for shard in stream.shards where shard.tail < positions[shard.index] {
      violate("nothing durable is lost", "\(streamName)/\(shard.index): \(shard.tail)")
    }
    guard let shard = stream.shards.first(where: { $0.tail > positions[$0.index] }) else { return }
    read(shard)
  }

  private func create() {
    isBusy = true
    var fields = StreamFields()
    fields.shardCount = .set(2)
    fields.retentionAge = .set(nil)
    life!.engine.ensureStream(
      streamName, fields, createOnly: false, on: executor,
      reply: reply { (result: Result<Engine.EnsureOutcome, CatalogError>) in
        self.isBusy = false
        switch result {
        case .success(.created(let stream)), .success(.exists(let stream)):
          self.note("has \(self.streamName) \(stream.incarnation)")
          self.shardIDs = stream.shards.map(\.id)
          self.positions = stream.shards.map { _ in .zero }
        case .failure(let error):
          self.note("cannot make \(self.streamName): \(error)")
          if !self.model.hadFaults && !self.model.isStopping {
            self.violate("a fault is answered only to a fault", "\(error)")
          }
        }
      })
  }

  private func read(_ shard: Shard) {
    isBusy = true
    let from = positions[shard.index]
    life!.engine.read(
      shard, from: from, bytesMax: 1 + random.below(8000), on: executor,
      reply: reply { (outcome: ReadOutcome) in
        self.isBusy = false
        switch outcome {
        case .frames(let chunk):
          chunk.forEachRecord(from: from) { record in
            self.found(record, in: shard)
            return self.simulation.world.violation == nil
          }
          self.positions[shard.index] = chunk.end
        case .atTail, .trimmed, .beyondTail:
          self.violate("what is durable can be read", "\(self.streamName) from \(from)")
        case .failed(let error):
          self.note("cannot read \(self.streamName): \(error)")
          if !self.model.hadFaults {
            if case .gone = error, self.model.isStopping { return }
            self.violate("a fault is answered only to a fault", "\(error)")
          }
        }
      })
  }

  // MARK: What is found

  private func found(_ record: RecordView, in shard: Shard) {
    var headers: [String: String] = [:]
    record.forEachHeader { name, value in
      headers[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
    }
    let said = headers.sorted { $0.key < $1.key }
    let at = "\(streamName)/\(shard.index) offset \(record.offset) \(said)"
    guard let name = headers["millrace-subscription"], let stream = headers["millrace-stream"],
      let index = headers["millrace-shard"].flatMap({ Int($0) }),
      let offset = headers["millrace-offset"].flatMap({ UInt64($0) }).map({ Offset($0) }),
      let deliveries = headers["millrace-deliveries"].flatMap({ Int($0) }),
      let reason = headers["millrace-reason"]
    else { return violate("a dead letter says where it comes from", at) }
    guard let (number, _) = RecordContent.origin(of: record.value), number < model.requests.count
    else { return violate("a dead letter keeps its bytes", at) }
    let source = model.requests[number]
    guard source.shard.stream.name == stream, source.shard.index == index,
      let place = source.place, place.contains(offset),
      RecordContent(
        of: number, index: offset.distance(from: place.lowerBound),
        bytes: source.sizes[offset.distance(from: place.lowerBound)]
      ).isBody(of: record)
    else { return violate("a dead letter keeps its bytes", "\(at), of \(source.label)") }
    note("finds \(name)'s \(source.shard.label) \(offset) dead: \(reason)")
    model.counts.deadLetters += 1
    simulation.happened(.buried)
    check(name, source.shard, offset, deliveries, reason, at)
  }

  private func check(
    _ name: String, _ shard: ShardModel, _ offset: Offset, _ deliveries: Int, _ reason: String,
    _ at: String
  ) {
    let candidates = simulation.registrar!.all.filter {
      $0.name == name && $0.stream === shard.stream && $0.plan.buries
    }
    let key = "\(name) \(shard.id) \(offset)"
    burials[key, default: 0] += 1
    // One whose creation nobody answered is not known yet.
    let most = candidates.reduce(0) { $0 + 1 + $1.revivals }
    guard !candidates.isEmpty else { return }
    if burials[key]! > most {
      violate("a dead letter is there once", "\(at): \(burials[key]!) times")
    }
    var isReasonable = false
    for subscription in candidates {
      let fate = subscription.mainTrack(of: shard.index).fate(of: offset)
      fate.deadLetters += 1
      isReasonable =
        isReasonable || subscription.plan.mayGiveUp || subscription.revivals > 0
        || fate.reasons.contains(reason) || fate.settlesInFlight > 0 || fate.mayBeSettled
    }
    if deliveries < 1 || !isReasonable {
      violate("only what was given up is a dead letter", at)
    }
  }
}
