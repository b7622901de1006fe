// What an owner shows of itself.
import Wire

extension SubscriptionOwner {
  func status(
    on target: any Executor,
    reply: @escaping @Sendable (Result<SubscriptionStatus, SubscriptionError>) -> Void
  ) {
    // A journal that cannot be read or written is just what one would like to see here.
    if case .resting(let until, let error) = phase, until > services.time.monotonic,
      let known = restingStatus(error)
    {
      return post(target) { reply(.success(known)) }
    }
    whenActive { [self] error in
      let result: Result<SubscriptionStatus, SubscriptionError> =
        error.map { .failure($0) } ?? .success(status)
      post(target) { reply(result) }
    }
  }

  private var status: SubscriptionStatus {
    noticeTrims()
    let core = core!
    let summary = core.summary
    let history = core.history
    let shards = stream!.shards
    return SubscriptionStatus(
      backlog: backlog,
      shards: zip(shards, summary.tracks).map { shard, track in
        SubscriptionStatus.ShardPlace(
          shard: shard.index, floor: track.floor, tail: shard.tail, settledAbove: track.settled)
      },
      inFlight: summary.inFlight, consumers: roster.count, counts: counts(summary, history),
      gaps: history.gaps.map {
        SubscriptionStatus.Gap(shard: $0.shardIndex, offsets: $0.offsets)
      },
      blockedBy: block(summary), replays: replayStatus)
  }

  private func block(_ summary: DispatchSummary) -> SubscriptionStatus.Block? {
    if let failure = fetching.setback.reason { return .log(failure) }
    if summary.burying > 0, let failure = burying.setback.reason { return .deadLetter(failure) }
    if summary.isWindowFull { return .window(core!.policy.windowMax) }
    return nil
  }

  private func restingStatus(_ error: SubscriptionError) -> SubscriptionStatus? {
    guard let numbers = figures.numbers, let stream else { return nil }
    return SubscriptionStatus(
      backlog: backlog,
      shards: zip(stream.shards, numbers.floors).map { shard, floor in
        SubscriptionStatus.ShardPlace(
          shard: shard.index, floor: floor, tail: shard.tail, settledAbove: 0)
      },
      inFlight: 0, consumers: roster.count, counts: numbers.counts, gaps: [],
      blockedBy: .journal("\(error)"), replays: [])
  }

  func consumers(
    after: String?, limit: Int, on target: any Executor,
    reply: @escaping @Sendable (Result<ListPage<ConsumerInfo, String>, SubscriptionError>) -> Void
  ) {
    whenActive { [self] error in
      if let error { return post(target) { reply(.failure(error)) } }
      let number = after.flatMap { UInt64($0) } ?? 0
      let first = roster.all.partitionPoint { $0.number <= number }
      let found = roster.all[first...].prefix(limit)
      let page = ListPage(
        items: found.map(info),
        next: first + found.count < roster.count ? found.last.map { String($0.number) } : nil)
      post(target) { reply(.success(page)) }
    }
  }

  private func info(_ consumer: OwnerConsumer) -> ConsumerInfo {
    ConsumerInfo(
      name: consumer.name, kind: consumer.kind,
      inFlight: consumer.id.map { core!.inFlight(of: $0) } ?? 0, isWaiting: consumer.isWaiting,
      share: consumer.share, since: consumer.since,
      lastSeen: consumer.push == nil ? consumer.lastSeen : services.time.now)
  }

  func inFlight(
    after: String?, limit: Int, on target: any Executor,
    reply:
      @escaping @Sendable (Result<ListPage<MessageInFlight, String>, SubscriptionError>)
      -> Void
  ) {
    whenActive { [self] error in
      if let error { return post(target) { reply(.failure(error)) } }
      let found = core!.inFlight(after: after.flatMap(Self.place), limit: limit + 1)
      let items = found.prefix(limit).map { record in
        MessageInFlight(
          ackID: record.ackID, shard: record.shardIndex, offset: record.offset,
          delivery: record.delivery, consumer: roster.consumer(record.consumer)?.name ?? "",
          deadline: record.deadline.map { wall($0) })
      }
      let last = found.prefix(limit).last
      let page = ListPage(
        items: items,
        next: found.count > limit ? last.map { "\($0.track):\($0.offset)" } : nil)
      post(target) { reply(.success(page)) }
    }
  }

  /// Reads what `inFlight` wrote: a track and an offset.
  private static func place(_ text: String) -> (TrackID, Offset)? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let track = UInt32(parts[0]), let offset = UInt64(parts[1]),
      offset < .max
    else { return nil }
    return (TrackID(track), Offset(offset))
  }

  func deadLetters(
    after: String?, limit: Int, on target: any Executor,
    reply: @escaping @Sendable (Result<ListPage<DeadLetter, String>, SubscriptionError>) -> Void
  ) {
    whenActive { [self] error in
      if let error { return post(target) { reply(.failure(error)) } }
      let history = core!.history
      let letters = history.deadLetters
      // The list holds the last ones of all there ever were.
      let first = history.buriedCount + history.droppedCount - letters.count
      // Whatever number a client makes up, it is only a place to go on from.
      let next = after.flatMap { Int($0) }.map { max(0, min($0, .max - 1) + 1) } ?? 0
      let from = max(0, next - first)
      let found = letters.enumerated().dropFirst(from).prefix(limit)
      let items = found.map { index, letter in
        DeadLetter(
          number: first + index, shard: letter.shardIndex, offset: letter.offset,
          deliveries: letter.deliveries, reason: letter.reason, at: letter.at,
          isBuried: letter.serial != nil,
          place: letter.place.map { DeadLetter.Place(shard: $0.shard, offset: $0.offset) })
      }
      let page = ListPage(
        items: items,
        next: from + items.count < letters.count ? items.last.map { String($0.number) } : nil)
      post(target) { reply(.success(page)) }
    }
  }
}
