// How an owner gets records: pages of the log while it is behind, the live tail once it is level, and no more than
// consumers are hungry for.
import Wire

/// Whether to fetch more than the shelf holds: as long as consumers take a good part of what comes.
///
/// In the order of keys most of what comes may wait for keys that are in flight. Fetched all the same it would have
/// left the shelf by the time that its key is free, and each record be read again for itself. So fetching slows down
/// then; it does not stop, for a key that is stuck must not stop the others.
struct Appetite {
  /// Judged by so many records.
  private static let offeredMin = 256
  /// A good part.
  private static let partMin = 8
  private static let pause = Duration.milliseconds(50)

  private var offered = 0
  private var taken = 0
  private(set) var isGood = true
  private var isRested = false
  /// When fetching may go on; nil: it may, or nobody asked.
  private(set) var resumesAt: Duration?

  /// Of records that consumers were asked for the first time, how many went at once.
  mutating func learn(offered: Int, taken: Int) {
    self.offered += offered
    self.taken += taken
    guard self.offered >= Self.offeredMin else { return }
    isGood = self.taken * Self.partMin >= self.offered
    (self.offered, self.taken) = (0, 0)
  }

  mutating func tick(_ now: Duration) {
    guard let due = resumesAt, due <= now else { return }
    resumesAt = nil
    isRested = true
  }

  /// May more be fetched than the shelf holds?
  mutating func allows(_ now: Duration) -> Bool {
    if isGood || isRested {
      isRested = false
      return true
    }
    if resumesAt == nil { resumesAt = now + Self.pause }
    return false
  }
}

/// What is being fetched.
struct Fetching {
  struct Track {
    var isReading = false
    var isJoining = false
    var following: Following?
  }
  /// By track: the shards' own, then replays.
  var shards: [Track] = []
  var replays: [TrackID: Track] = [:]
  /// The track that is looked at first the next time, so that all have their turn.
  var turn = 0
  var reads = 0
  /// Bytes that came since somebody was last hungry.
  var bytesAhead = 0
  /// The log could not be read.
  var setback = Setback()
  /// When followings are given up, unless somebody gets hungry before.
  var idleSince: Duration?
  var appetite = Appetite()
  /// Counts what was given up: answers to earlier questions mean nothing.
  var round: UInt64 = 0

  mutating func begin(shardCount: Int) {
    let round = round + 1
    self = Fetching()
    self.round = round
    shards = Array(repeating: Track(), count: shardCount)
  }

  subscript(_ track: TrackID) -> Track {
    get {
      let index = Int(track.rawValue)
      return index < shards.count ? shards[index] : replays[track] ?? Track()
    }
    set {
      let index = Int(track.rawValue)
      if index < shards.count { shards[index] = newValue } else { replays[track] = newValue }
    }
  }

  var isFollowing: Bool { shards.contains { $0.following != nil } }
}

extension SubscriptionOwner {
  private static let readBytes = 256 << 10
  private static let readsMax = 8
  /// What may be at hand beyond what was asked for.
  private static let bytesAheadMax = 1 << 20
  private static let recordsAheadMax = 1000

  func fetch(_ now: Instants) {
    guard !isPaused, !isRefusing, let stream else { return }
    guard !line.isEmpty, core!.hunger > 0 else {
      if fetching.isFollowing, fetching.idleSince == nil { fetching.idleSince = now.monotonic }
      return
    }
    fetching.idleSince = nil
    let ready = core!.ready
    if ready == 0 { fetching.bytesAhead = 0 }
    guard ready < Self.recordsAheadMax, fetching.bytesAhead < Self.bytesAheadMax else { return }
    guard !fetching.setback.isResting, isWorthwhile(now) else { return }
    let count = stream.shards.count + replayTracks.count
    var looked = 0
    while looked < count, fetching.reads < Self.readsMax {
      let index = (fetching.turn + looked) % count
      looked += 1
      if index < stream.shards.count {
        fetch(TrackID(UInt32(index)), stream.shards[index], end: nil)
      } else {
        let replay = replayTracks[index - stream.shards.count]
        fetch(replay.track, stream.shards[replay.shardIndex], end: replay.end)
      }
    }
    fetching.turn = (fetching.turn + looked) % count
  }

  private func isWorthwhile(_ now: Instants) -> Bool {
    fetching.appetite.learn(offered: core!.yield.offered, taken: core!.yield.taken)
    core!.yield = (0, 0)
    guard !fetching.appetite.isGood, shelf!.isFull(for: Self.readBytes) else { return true }
    for index in stream!.shards.indices { clearShelf(index) }
    guard shelf!.isFull(for: Self.readBytes) else { return true }
    return fetching.appetite.allows(now.monotonic)
  }

  /// What lies below a shard's floor comes to nobody any more, unless a replay passes there.
  private func clearShelf(_ shard: Int) {
    guard !replayTracks.contains(where: { $0.shardIndex == shard }) else { return }
    shelf!.drop(shard, below: core!.floor(ofShard: shard))
  }

  private func fetch(_ track: TrackID, _ shard: Shard, end: Offset?) {
    let state = fetching[track]
    guard !state.isReading, !state.isJoining, state.following == nil, let engine,
      core!.seat(of: track) != nil, let place = core!.fetchPlace(track)?.place,
      end.map({ place < $0 }) ?? true
    else { return }
    let (owner, life, round) = (confined, life, fetching.round)
    if place < shard.tail {
      fetching[track].isReading = true
      fetching.reads += 1
      engine.read(shard, from: place, bytesMax: Self.readBytes, on: executor) { outcome in
        owner.value.fetched(outcome, track, shard, end: end, life, round)
      }
    } else if end == nil {
      fetching[track].isJoining = true
      engine.follow(
        shard, from: place, on: executor,
        deliver: { owner.value.followed($0, track, shard, life, round) },
        reply: { owner.value.joined($0, track, shard, life, round) })
    }
  }

  private func fetched(
    _ outcome: ReadOutcome, _ track: TrackID, _ shard: Shard, end: Offset?, _ life: UInt32,
    _ round: UInt64
  ) {
    guard life == self.life, round == fetching.round, core != nil else { return }
    fetching[track].isReading = false
    fetching.reads -= 1
    switch outcome {
    case .frames(let chunk):
      fetching.setback.succeed()
      arrived(chunk, track, shard, end: end)
    case .atTail: break
    case .trimmed(let earliest): missing(track, below: earliest)
    case .beyondTail(let tail):
      readFailed("shard \(shard.index) ends at \(tail), before what was delivered")
    case .failed(let error): readFailed(error, shard)
    }
    scheduleTurn()
  }

  func readFailed(_ error: LogError, _ shard: Shard) {
    if shard.isRemoved { return streamRemoved() }
    readFailed("shard \(shard.index) cannot be read: \(error)")
  }

  /// Tries again after a while; meanwhile nothing is fetched.
  func readFailed(_ what: String) {
    fetching.setback.fail(what, now: services.time.monotonic, tuning)
  }

  /// What retention took of records that nobody asked for yet is a gap all the same.
  func noticeTrims() {
    guard core != nil, !isSeeking, let stream else { return }
    for (track, shard) in zip(core!.summary.tracks, stream.shards)
    where track.floor < shard.earliest {
      missing(track.track, below: shard.earliest)
      scheduleTurn()
    }
  }

  /// Retention was quicker.
  func missing(_ track: TrackID, below earliest: Offset) {
    guard core!.seat(of: track) != nil else { return }
    core!.missing(track, below: earliest, now: now)
    upkeep.isDirty = true
    upkeep.hasMoved = true
  }

  private func arrived(_ chunk: FrameChunk, _ track: TrackID, _ shard: Shard, end: Offset?) {
    guard core!.seat(of: track) != nil, let place = core!.fetchPlace(track)?.place,
      chunk.start <= place, place < chunk.end
    else { return }
    let offsets = place..<min(chunk.end, end ?? chunk.end)
    guard !offsets.isEmpty else { return }
    var keys: [UInt64] = []
    if core!.policy.ordering == .key {
      keys = chunk.keyHashes(from: place)
      keys.removeLast(keys.count - offsets.upperBound.distance(from: place))
    }
    fetching.bytesAhead += chunk.byteCount
    clearShelf(shard.index)
    shelf!.put(chunk, shard.index)
    if place == core!.floor(ofShard: shard.index) {
      learnOldest(place, inShard: shard.index, chunk)
    }
    core!.arrived(track, offsets, keys: keys, now: now)
  }

  // MARK: Live

  private func joined(
    _ outcome: Engine.FollowOutcome, _ track: TrackID, _ shard: Shard, _ life: UInt32,
    _ round: UInt64
  ) {
    guard life == self.life, round == fetching.round, core != nil else {
      if case .following(let following) = outcome { following.cancel() }
      return
    }
    fetching[track].isJoining = false
    switch outcome {
    case .following(let following): fetching[track].following = following
    case .behind: scheduleTurn()
    case .gone: if shard.isRemoved { streamRemoved() }
    }
  }

  private func followed(
    _ event: Engine.FollowEvent, _ track: TrackID, _ shard: Shard, _ life: UInt32,
    _ round: UInt64
  ) {
    // Whatever still comes after a following was given up is read from the log when its time comes.
    guard life == self.life, round == fetching.round, core != nil,
      fetching[track].following != nil
    else { return }
    switch event {
    case .records(let chunk):
      guard fetching.bytesAhead <= Self.bytesAheadMax, isWorthwhile(now),
        core!.fetchPlace(track)?.place == chunk.start
      else {
        cancelFollowing(track)
        // Somebody may be hungry for it, and nothing else may be due.
        return scheduleTurn()
      }
      arrived(chunk, track, shard, end: nil)
      scheduleTurn()
    case .ended(let gone):
      fetching[track].following = nil
      if gone { streamRemoved() }
    }
  }

  private func cancelFollowing(_ track: TrackID) {
    fetching[track].following?.cancel()
    fetching[track].following = nil
  }

  func cancelFollowings() {
    for index in fetching.shards.indices { cancelFollowing(TrackID(UInt32(index))) }
    fetching.idleSince = nil
  }
}
