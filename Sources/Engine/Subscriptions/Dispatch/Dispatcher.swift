// Who gets which record next, and what becomes of it: the core of a subscription.
import Wire

/// The decisions of a subscription: no clock, no sockets, no chance, and the same answers to the same calls.
///
/// What outlives a restart is handed out by `takeChanges`; an `ok` for an acknowledgement may be passed on once that
/// set is durable (`committed`). Only then may the key's next record go, and the floor move: so no order breaks over a
/// crash.
/// Work for a record does not grow with those in flight or unsettled, nor with keys (but for the heap of back-offs: its
/// logarithm).
///
struct Dispatcher {
  var policy: DispatchPolicy {
    didSet {
      precondition(policy.ordering == oldValue.ordering, "another order needs another dispatcher")
    }
  }
  let epoch: UInt32
  let shardCount: Int

  // Shared by this folder's extensions, nobody else's.
  var tracks: [Track] = []
  var freeSeats: [Int] = []
  var replaySeats: [UInt32: Int] = [:]
  /// By shard: the tracks that go through it.
  var shardSeats: [[Int]]
  var nextTrack: UInt32
  var leases = Leases()
  var consumers = Consumers()
  var dueTimes = DueTimes()
  var units = Units()
  var burials = Burials()
  private(set) var history: DispatchHistory
  /// What was decided since `takeChanges`, but for what `ackedSeats`' tracks hold.
  var changes = DispatchChanges()
  var ackedSeats: [Int] = []
  var buriedSince: [OpenChanges.Burial] = []
  var open = Fifo<OpenChanges>()
  /// Tracks with something in their queue, and with records that nobody was asked for, in turn.
  var queueTurn = Fifo<Int>()
  var freshTurn = Fifo<Int>()
  /// Of the take that goes on: a track's piece, -1 none.
  var pieceOfSeat: [Int] = []
  var freshTotal = 0
  var queuedTotal = 0
  var inFlightTotal = 0
  /// For `firstLease` of the one that takes its place after a seek.
  private(set) var nextLease: UInt64
  private var nextSequence: UInt64 = 0
  private(set) var redeliveries = 0
  /// Of records that somebody was asked for the first time, how many went at once; whoever looks sets it back.
  var yield = (offered: 0, taken: 0)
  /// What was done so far, in slots and queue entries looked at: the cost of work, for its test.
  var slotSteps = 0
  var steps: Int { slotSteps + dueTimes.steps }

  /// Goes on from `state`.
  /// - Parameters:
  ///   - epoch: the low bits of the owner's term; a part of every `AckID`.
  ///   - firstLease: the first lease's serial; 1, or the `nextLease` of the dispatcher before it in this term.
  init(
    _ policy: DispatchPolicy, epoch: UInt32, state: DispatchState, firstLease: UInt64, now: Instants
  ) {
    self.policy = policy
    self.epoch = epoch
    nextLease = firstLease
    nextTrack = state.nextTrack
    history = state.history
    let shards = state.tracks.prefix { $0.end == nil }
    shardCount = shards.count
    shardSeats = Array(repeating: [], count: shardCount)
    for track in state.tracks {
      precondition(track.end != nil || Int(track.track.rawValue) == tracks.count, "shards first")
      seat(Track(track))
    }
    burials = Burials(state.condemned, next: state.nextBurial)
    var condemned: [UInt32: [UInt64]] = [:]
    for letter in state.condemned {
      if let track = letter.track {
        condemned[track.rawValue, default: []].append(letter.offset.rawValue)
      }
    }
    for index in tracks.indices {
      if let offsets = condemned[tracks[index].id.rawValue] {
        tracks[index].restored.add(condemned: offsets)
      }
    }
    restore(state.units, next: state.nextUnit, now: now)
  }

  /// Puts a track in a seat; where.
  @discardableResult
  mutating func seat(_ track: Track) -> Int {
    let seat: Int
    if let reused = freeSeats.popLast() {
      seat = reused
      // Entries of the one before may still stand in the turns.
      let (wasQueued, wasFresh) = (tracks[seat].isQueueListed, tracks[seat].isFreshListed)
      tracks[seat] = track
      tracks[seat].isQueueListed = wasQueued
      tracks[seat].isFreshListed = wasFresh
    } else {
      seat = tracks.count
      tracks.append(track)
      pieceOfSeat.append(-1)
    }
    if track.end != .max { replaySeats[track.id.rawValue] = seat }
    shardSeats[track.shardIndex].append(seat)
    return seat
  }

  func seat(of track: TrackID) -> Int? {
    track.rawValue < UInt32(shardCount) ? Int(track.rawValue) : replaySeats[track.rawValue]
  }

  func existingSeat(of track: TrackID) -> Int {
    guard let seat = seat(of: track) else { preconditionFailure("no track \(track)") }
    return seat
  }

  mutating func nextSerial() -> UInt64 {
    defer { nextLease += 1 }
    return nextLease
  }

  mutating func nextInSequence() -> UInt64 {
    defer { nextSequence += 1 }
    return nextSequence
  }

  mutating func countRedelivery() { redeliveries += 1 }

  mutating func remember(_ body: (inout DispatchHistory) -> Void) { body(&history) }

  // MARK: Consumers

  /// A consumer that may have `share` records in flight; nil: its fair share.
  mutating func join(share: Int?) -> ConsumerID { consumers.join(share: share) }

  mutating func setShare(_ share: Int?, of consumer: ConsumerID) {
    precondition(consumers.isHere(consumer), "it left")
    consumers.change(consumer.index) { $0.share = share }
  }

  /// Whether it would take more if there were more: it counts in the fair share, then.
  mutating func setWaiting(_ isWaiting: Bool, _ consumer: ConsumerID) {
    precondition(consumers.isHere(consumer), "it left")
    consumers.change(consumer.index) { $0.isWaiting = isWaiting }
  }

  /// What it has is for others at once: after the back-off as failures, or as if it had never been delivered.
  mutating func leave(_ consumer: ConsumerID, countsAsFailure: Bool, now: Instants) {
    precondition(consumers.isHere(consumer), "it left")
    while case let first = consumers[consumer.index].firstLease, first != 0 {
      lose(lease: first - 1, countsAsFailure ? .failed(delay: nil) : .back(delay: 0), now)
    }
    consumers.leave(consumer)
  }

  /// How many more it may take now.
  func credit(of consumer: ConsumerID) -> Int {
    precondition(consumers.isHere(consumer), "it left")
    let seat = consumers[consumer.index]
    let fair = consumers.fairShare(of: consumer.index, total: policy.maxInFlight)
    let own = min(seat.share ?? .max, fair) - seat.inFlight
    return max(0, min(own, policy.maxInFlight - inFlightTotal))
  }

  /// How many records the lease holds still; 0: it is over.
  func left(of lease: UInt64) -> Int {
    leases.index(of: lease).map { Int(leases[$0].live) } ?? 0
  }

  func inFlight(of consumer: ConsumerID) -> Int {
    precondition(consumers.isHere(consumer), "it left")
    return consumers[consumer.index].inFlight
  }

  // MARK: Time

  /// When `tick` has something to do, at the earliest; on the monotonic clock.
  var nextDue: Duration? {
    let deadline = leases.earliest.map { leases[$0].deadline }
    let due = dueTimes.first?.due
    guard let first = [deadline, due].compactMap({ $0 }).min() else { return nil }
    return .nanoseconds(first)
  }

  /// Deadlines that passed, back-offs that are over.
  mutating func tick(now: Instants) {
    let present = now.monotonic.nanoseconds
    while true {
      let lease = leases.earliest
      let entry = dueTimes.first
      if let lease, leases[lease].deadline <= present,
        entry.map({
          leases[lease].deadline < $0.due
            || leases[lease].deadline == $0.due && leases[lease].sequence < $0.sequence
        }) ?? true
      {
        lose(lease: lease, .failed(delay: nil), now)
      } else if let entry, entry.due <= present {
        _ = dueTimes.removeFirst()
        come(entry, now)
      } else {
        return
      }
    }
  }

  private mutating func come(_ entry: DueTimes.Entry, _ now: Instants) {
    slotSteps &+= 1
    let seat = Int(entry.seat)
    switch entry.what {
    case .lease:
      if leases.isStale(entry.index, sequence: entry.sequence) {
        leases.purged(1)
      } else {
        // Out of the heap already.
        leases[entry.index].deadline = .max
        lose(lease: entry.index, .failed(delay: nil), now)
      }
    case .record: wake(record: entry.index, in: seat, now)
    case .line: wakeTimed(line: entry.index, in: seat, due: entry.due, now)
    case .unit: wake(unit: entry.index, now)
    }
  }
}
