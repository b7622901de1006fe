// Sending a subscription elsewhere, and delivering records again.
import Wire

/// A track beside the shards' own.
struct ReplayTrack: Sendable {
  var track: TrackID
  var shardIndex: Int
  var end: Offset
  var isFailedOnly: Bool
}

/// Waits until every shard has said where a target is.
private final class PlaceSearch {
  var places: [Offset]
  var missing: Int
  var error: SubscriptionError?
  let done: (Result<[Offset], SubscriptionError>) -> Void
  init(_ places: [Offset], _ done: @escaping (Result<[Offset], SubscriptionError>) -> Void) {
    self.places = places
    missing = places.count
    self.done = done
  }
}

extension SubscriptionOwner {
  /// Tracks of replays for each shard of the stream.
  private static let replaysMax = 16

  // MARK: Seeking

  func seek(
    to target: SeekTarget, on executor: any Executor,
    reply: @escaping @Sendable (Result<[Offset], SubscriptionError>) -> Void
  ) {
    let answer: (Result<[Offset], SubscriptionError>) -> Void = { [self] result in
      post(executor) { reply(result) }
    }
    whenActive { [self] error in
      if let error { return answer(.failure(error)) }
      let floors = core!.summary.tracks.prefix(stream!.shards.count).map(\.floor)
      find(target, otherwise: floors) { [self] found in
        whenActive { [self] error in
          if let error { return answer(.failure(error)) }
          switch found {
          case .failure(let error): answer(.failure(error))
          case .success(let places): seek(to: places, answer)
          }
        }
      }
    }
  }

  private func seek(
    to places: [Offset], _ answer: @escaping (Result<[Offset], SubscriptionError>) -> Void
  ) {
    // What was decided before goes into the journal first; behind it, nothing is decided before the seek is durable.
    journal(now, evenIfFull: true)
    // It may have failed at once.
    if case .resting(_, let error) = phase { return answer(.failure(error)) }
    isSeeking = true
    let state = core!.state(now: now).sought(to: places)
    appendSnapshot(of: state) { [self] result in
      switch result {
      case .failure(let error): answer(.failure(error))
      case .success:
        isSeeking = false
        replace(with: state)
        answer(.success(places))
      }
    }
  }

  // MARK: Replaying

  func replay(
    _ request: ReplayRequest, on executor: any Executor,
    reply: @escaping @Sendable (Result<[SubscriptionStatus.Replay], SubscriptionError>) -> Void
  ) {
    let answer: (Result<[SubscriptionStatus.Replay], SubscriptionError>) -> Void = {
      [self] result in post(executor) { reply(result) }
    }
    whenActive { [self] error in
      if let error { return answer(.failure(error)) }
      let (earliest, tails) = (stream!.shards.map(\.earliest), stream!.shards.map(\.tail))
      find(request.from, otherwise: earliest) { [self] from in
        find(request.to, otherwise: tails) { [self] to in
          whenActive { [self] error in
            if let error { return answer(.failure(error)) }
            do throws(SubscriptionError) {
              try replay(from: from.get(), to: to.get(), request.only, answer)
            } catch {
              answer(.failure(error))
            }
          }
        }
      }
    }
  }

  private func replay(
    from: [Offset], to: [Offset], _ only: ReplayRequest.Only,
    _ answer: @escaping (Result<[SubscriptionStatus.Replay], SubscriptionError>) -> Void
  ) throws(SubscriptionError) {
    let shards = stream!.shards
    guard replayTracks.count + shards.count <= (Self.replaysMax + 1) * shards.count else {
      throw .busy("\(Self.replaysMax) replays are under way")
    }
    let own = core!.summary.tracks
    var begun: [TrackID] = []
    for index in shards.indices {
      // What nobody has come to yet comes anyway.
      let end = min(to[index], own[index].unknown)
      let start = max(from[index], shards[index].earliest)
      guard start < end else { continue }
      var failed: OffsetRanges?
      if only == .failed {
        let ranges = core!.history.failed(inShard: index, within: start..<end)
        if ranges.isEmpty { continue }
        failed = ranges
      }
      begun.append(core!.addReplay(shardIndex: index, offsets: start..<end, only: failed))
    }
    learnReplays()
    let replays = replayStatus.filter { begun.contains(TrackID($0.id)) }
    guard !begun.isEmpty else { return answer(.success([])) }
    let before = next.then
    next.then = { result in
      before?(result)
      answer(result.map { _ in replays })
    }
    scheduleTurn()
  }

  /// Takes over which replays there are.
  func learnReplays() {
    replayTracks = core!.summary.tracks.dropFirst(stream!.shards.count).compactMap { track in
      track.end.map {
        ReplayTrack(
          track: track.track, shardIndex: track.shardIndex, end: $0,
          isFailedOnly: track.isPartial)
      }
    }
  }

  var replayStatus: [SubscriptionStatus.Replay] {
    guard let core, !replayTracks.isEmpty, let stream else { return [] }
    return core.summary.tracks.dropFirst(stream.shards.count).compactMap { track in
      track.end.map { end in
        SubscriptionStatus.Replay(
          id: track.track.rawValue, shard: track.shardIndex,
          only: track.isPartial ? .failed : .all, place: track.floor, end: end,
          left: core.unsettled(track.track, tail: end))
      }
    }
  }

  // MARK: Places

  /// Where `target` is in each shard; a shard that it does not name is at `otherwise`.
  private func find(
    _ target: SeekTarget, otherwise: [Offset],
    done: @escaping (Result<[Offset], SubscriptionError>) -> Void
  ) {
    guard let stream, let engine else { return done(.failure(endError ?? .stopping)) }
    switch target {
    case .earliest: done(.success(stream.shards.map(\.earliest)))
    case .tail: done(.success(stream.shards.map(\.tail)))
    case .offsets(let offsets):
      var places = otherwise
      for (shard, offset) in offsets.sorted(by: { $0.key < $1.key }) {
        guard stream.shards.indices.contains(shard) else {
          return done(.failure(.badPlace(shard: shard, tail: nil)))
        }
        let tail = stream.shards[shard].tail
        guard offset <= tail else { return done(.failure(.badPlace(shard: shard, tail: tail))) }
        places[shard] = offset
      }
      done(.success(places))
    case .time(let time):
      let search = Confined(PlaceSearch(otherwise, done), to: executor)
      for shard in stream.shards {
        engine.find(time, in: shard, on: executor) { result in
          let search = search.value
          switch result {
          case .success(let offset): search.places[shard.index] = offset
          case .failure(.gone): search.error = .streamReplaced
          case .failure(let error):
            search.error = .storage("shard \(shard.index): \(error)", applied: .no)
          }
          search.missing -= 1
          guard search.missing == 0 else { return }
          search.done(search.error.map { .failure($0) } ?? .success(search.places))
        }
      }
    }
  }
}
