// One stream's live tail on one event loop: follows its shards, encodes each round once, serves the readers in slices.
import Engine
import NIOCore
import Wire

/// Why a tail ends for all its readers.
enum TailEnd: Sendable { case deleted, stopping }

/// Records that came to a tail in one commit of one shard.
struct TailPiece {
  let slot: Int
  let chunk: FrameChunk
}

/// Readers that are level with the tail and take the same bytes.
final class TailChannel {
  let shape: LiveShape
  var readers = Roster<TailReader>()
  /// When it last wrote, in the hub's ticks.
  var lastWriteTick: Int
  init(_ shape: LiveShape, tick: Int) {
    self.shape = shape
    lastWriteTick = tick
  }
}

/// Whoever wants to hear, once, that there is more than it has seen: a long poll.
final class TailPoller: RosterMember {
  var rosterSlot = 0
  let places: [Offset]
  let wake: () -> Void
  init(places: [Offset], wake: @escaping () -> Void) {
    self.places = places
    self.wake = wake
  }
}

/// Three kinds of readers are here. *Level* ones have everything before `level`; a round encodes what came since, once
/// for each shape, and writes the same buffer to all of them. *Feeds* get the round's pieces and encode for themselves:
/// those with a filter, and those about to become level. *Pollers* are told that something came.
///
/// Rounds follow one another; what is committed while one is under way waits and goes out together in the next. So
/// every reader gets all rounds in order, each from where it became level, and none twice: whoever joins stands behind
/// the end of the round under way.
final class StreamTail {
  unowned let hub: TailHub
  let scope: ReadScope
  private let shards: [Shard]
  private enum Phase: Equatable { case opening, open, ending(TailEnd), closed }
  private var phase = Phase.opening
  private var followings: [Following?]
  /// Shards not yet followed.
  private var unopened: Int
  /// What level readers have, or will have at the end of the round under way. Holds once it is open.
  private(set) var level: [Offset]
  private var pending: [TailPiece] = []
  private var pendingBytes = 0
  /// Where the shards are by now, if pieces had to be dropped.
  private var overrun: [Offset]?
  private var channels: [TailChannel] = []
  private var feeds = Roster<TailReader>()
  private var pollers = Roster<TailPoller>()
  private var round: TailRound?
  private var errands: [Errand] = []
  private var errandsDone = 0
  private var isScheduled = false
  private var idleTicks = 0

  /// What is done for one reader at a time, outside rounds.
  private enum Errand {
    case wake(TailPoller)
    case walk(TailReader)
    case end(TailReader, TailEnd)
  }

  init(_ scope: ReadScope, _ shards: [Shard], on hub: TailHub) {
    self.scope = scope
    self.shards = shards
    self.hub = hub
    followings = Array(repeating: nil, count: shards.count)
    level = Array(repeating: .zero, count: shards.count)
    unopened = shards.count
  }

  /// False once it has ended or is closed: `hub.tail(of:shardIndex:)` then makes another.
  var isUsable: Bool { phase == .opening || phase == .open }
  var isOpen: Bool { phase == .open }
  /// True when nobody has been here for a while.
  var isIdle: Bool { idleTicks >= 2 || phase == .closed }

  // MARK: Following

  func open() {
    for slot in shards.indices { follow(slot) }
  }

  private func follow(_ slot: Int) {
    let tail = Confined(self, to: hub.executor)
    hub.source.follow(
      shards[slot], from: nil, on: hub.executor,
      deliver: { tail.value.delivered($0, slot) },
      reply: { tail.value.followed($0, slot) })
  }

  private func followed(_ outcome: Engine.FollowOutcome, _ slot: Int) {
    switch outcome {
    case .following(let following):
      guard phase == .opening else { return following.cancel() }
      followings[slot] = following
      level[slot] = following.start
      unopened -= 1
      if unopened == 0 { opened() }
    case .behind: follow(slot)
    case .gone: end(shards[slot].isRemoved ? .deleted : .stopping)
    }
  }

  private func opened() {
    phase = .open
    for slot in 0..<feeds.end { feeds[slot]?.tailOpened() }
    wakePollers()
    schedule()
  }

  private func delivered(_ event: Engine.FollowEvent, _ slot: Int) {
    guard isUsable else { return }
    switch event {
    case .ended(let gone): end(gone ? .deleted : .stopping)
    case .records(let chunk):
      if overrun != nil {
        overrun![slot] = chunk.end
      } else {
        pending.append(TailPiece(slot: slot, chunk: chunk))
        pendingBytes += chunk.byteCount
        if pendingBytes > hub.settings.pendingBytesMax { dropPending() }
      }
      wakePollers()
      schedule()
    }
  }

  private var received: [Offset] {
    if let overrun { return overrun }
    var received = level
    for piece in pending { received[piece.slot] = piece.chunk.end }
    return received
  }

  /// More is committed than the readers can be served: after the round under way they all go to the log.
  private func dropPending() {
    overrun = received
    pending = []
    pendingBytes = 0
  }

  /// Everybody has what was in the last round; what was dropped after it they read from the log.
  private func recover(to places: [Offset]) {
    overrun = nil
    leaveLevel { .walk($0) }
    for slot in 0..<feeds.end {
      guard let reader = feeds[slot] else { continue }
      feeds.remove(reader)
      reader.loseFeed()
      errands.append(.walk(reader))
    }
    level = places
  }

  private func leaveLevel(_ errand: (TailReader) -> Errand) {
    for channel in channels {
      for slot in 0..<channel.readers.end {
        guard let reader = channel.readers[slot] else { continue }
        channel.readers.remove(reader)
        reader.leaveLevel(at: level)
        errands.append(errand(reader))
      }
    }
  }

  // MARK: Ending

  /// After what is pending is served, readers hear why it ends.
  func end(_ reason: TailEnd) {
    guard isUsable else { return }
    cancelFollowings()
    if phase == .opening {
      // Nothing was served from here yet.
      pending = []
      pendingBytes = 0
    }
    phase = .ending(reason)
    schedule()
  }

  private func endAll(_ reason: TailEnd) {
    leaveLevel { .end($0, reason) }
    for slot in 0..<feeds.end {
      guard let reader = feeds[slot] else { continue }
      feeds.remove(reader)
      reader.loseFeed()
      errands.append(.end(reader, reason))
    }
    wakeAllPollers()
    phase = .closed
  }

  func close() {
    cancelFollowings()
    phase = .closed
  }

  private func cancelFollowings() {
    for following in followings { following?.cancel() }
    followings = Array(repeating: nil, count: shards.count)
  }

  // MARK: Readers

  func add(feed reader: TailReader) {
    feeds.add(reader)
    idleTicks = 0
    if case .ending = phase { schedule() }
  }

  func remove(feed reader: TailReader) { feeds.remove(reader) }

  /// `reader` has exactly what is before `level`, and takes part in every round that begins from now on.
  func addLevel(_ reader: TailReader, _ shape: LiveShape) -> TailChannel {
    idleTicks = 0
    let channel: TailChannel
    if let known = channels.first(where: { $0.shape == shape }) {
      channel = known
    } else {
      channel = TailChannel(shape, tick: hub.heartbeat.tick)
      channels.append(channel)
    }
    channel.readers.add(reader)
    return channel
  }

  /// Wakes `poller` once when there is more than it has seen. False if that is so already.
  func add(_ poller: TailPoller) -> Bool {
    guard isUsable else { return false }
    if isOpen, isAhead(received, of: poller.places) { return false }
    pollers.add(poller)
    idleTicks = 0
    return true
  }

  func remove(_ poller: TailPoller) {
    // It may be about to be woken, out of the roster already.
    if pollers[poller.rosterSlot] === poller { pollers.remove(poller) }
  }

  private func isAhead(_ places: [Offset], of seen: [Offset]) -> Bool {
    places.indices.contains { places[$0] > seen[$0] }
  }

  private func wakePollers() {
    guard isOpen, !pollers.isEmpty else { return }
    let places = received
    for slot in 0..<pollers.end {
      guard let poller = pollers[slot], isAhead(places, of: poller.places) else { continue }
      pollers.remove(poller)
      errands.append(.wake(poller))
    }
    pollers.compact()
  }

  private func wakeAllPollers() {
    for slot in 0..<pollers.end {
      guard let poller = pollers[slot] else { continue }
      pollers.remove(poller)
      errands.append(.wake(poller))
    }
    pollers.compact()
  }

  // MARK: Rounds

  /// Runs at the end of the event loop's tick, so that all commits of one tick share a round.
  private func schedule() {
    guard !isScheduled else { return }
    isScheduled = true
    let tail = Confined(self, to: hub.executor)
    hub.executor.execute { tail.value.run() }
  }

  /// Serves one slice; the rest after the event loop has looked at its sockets.
  private func run() {
    isScheduled = false
    var budget = hub.settings.sliceReadersMax
    while budget > 0 {
      if round != nil {
        serve(&budget)
      } else if errandsDone < errands.count {
        runErrands(&budget)
      } else if !beginRound() {
        return
      }
    }
    isScheduled = true
    let tail = Confined(self, to: hub.executor)
    // NIO runs tasks that are due before it polls: a later one lets it poll.
    hub.executor.schedule(after: .microseconds(10)) { tail.value.run() }
  }

  private func runErrands(_ budget: inout Int) {
    while errandsDone < errands.count, budget > 0 {
      let errand = errands[errandsDone]
      errandsDone += 1
      budget -= 8
      switch errand {
      case .wake(let poller): poller.wake()
      case .walk(let reader): reader.pump()
      case .end(let reader, let reason): reader.end(reason)
      }
    }
    guard errandsDone == errands.count else { return }
    errands = []
    errandsDone = 0
  }

  /// Begins the next round, or does what was put off until the end of one. False if there is nothing to do.
  private func beginRound() -> Bool {
    if phase == .opening || phase == .closed { return false }
    if let places = overrun {
      recover(to: places)
      return true
    }
    if pending.isEmpty {
      guard case .ending(let reason) = phase else { return false }
      endAll(reason)
      return true
    }
    var bytes = 0
    var count = 0
    while count < pending.count, count == 0 || bytes < hub.settings.roundBytesMax {
      bytes += pending[count].chunk.byteCount
      count += 1
    }
    let pieces = Array(pending[..<count])
    pending.removeFirst(count)
    pendingBytes -= bytes
    let start = level
    for piece in pieces { level[piece.slot] = piece.chunk.end }
    var works: [TailRound.Work] = []
    for channel in channels where !channel.readers.isEmpty {
      channel.lastWriteTick = hub.heartbeat.tick
      works.append(
        TailRound.Work(
          channel: channel, chunk: encode(pieces, channel.shape, from: start, bytesHint: 2 * bytes),
          end: channel.readers.end))
    }
    begin(TailRound(pieces: pieces, start: start, works: works, feedEnd: feeds.end))
    return true
  }

  private func begin(_ next: TailRound) {
    if !next.works.isEmpty || next.feedEnd > 0 { round = next }
  }

  private func encode(
    _ pieces: [TailPiece], _ shape: LiveShape, from start: [Offset], bytesHint: Int
  ) -> BodyChunk {
    BodyChunk(bytesHint: bytesHint) { buffer in
      var writer = LiveWriter(shape, scope, at: start)
      for piece in pieces { writer.writeAll(piece.chunk, slot: piece.slot, into: &buffer) }
      writer.closeBatch(into: &buffer)
    }
  }

  private func serve(_ budget: inout Int) {
    while round!.work < round!.works.count {
      let work = round!.works[round!.work]
      let end = min(work.end, round!.slot + budget)
      budget -= end - round!.slot
      serve(work, round!.slot..<end)
      round!.slot = end
      guard end == work.end else { return }
      round!.work += 1
      round!.slot = 0
    }
    while round!.slot < round!.feedEnd, budget > 0 {
      let slot = round!.slot
      round!.slot += 1
      budget -= 4
      feeds[slot]?.take(round!.pieces)
    }
    guard round!.slot == round!.feedEnd else { return }
    round = nil
    channels.removeAll { $0.readers.isEmpty }
    for channel in channels { channel.readers.compact() }
    feeds.compact()
  }

  private func serve(_ work: TailRound.Work, _ slots: Range<Int>) {
    let unsentBytesMax = hub.settings.unsentBytesMax
    for slot in slots {
      guard let reader = work.channel.readers[slot] else { continue }
      if reader.exchange.unsentBytes <= unsentBytesMax {
        reader.exchange.write(work.chunk)
      } else if !round!.isHeartbeat {
        work.channel.readers.remove(reader)
        reader.leaveLevel(at: round!.start)
      }
    }
  }

  // MARK: Time

  func ticked() {
    for slot in 0..<feeds.end { feeds[slot]?.ticked() }
    let isEmpty =
      feeds.isEmpty && pollers.isEmpty && channels.allSatisfy(\.readers.isEmpty)
    idleTicks = isEmpty ? idleTicks + 1 : 0
    guard round == nil, isOpen else { return }
    var works: [TailRound.Work] = []
    for channel in channels where !channel.readers.isEmpty {
      guard hub.heartbeat.isDue(since: channel.lastWriteTick) else { continue }
      channel.lastWriteTick = hub.heartbeat.tick
      works.append(
        TailRound.Work(
          channel: channel, chunk: LiveText.heartbeat(channel.shape), end: channel.readers.end))
    }
    guard !works.isEmpty else { return }
    begin(TailRound(pieces: [], start: level, works: works, feedEnd: 0))
    schedule()
  }
}

/// A pass over everybody who was there when it began.
struct TailRound {
  struct Work {
    let channel: TailChannel
    let chunk: BodyChunk
    /// One past the last reader of this round.
    let end: Int
  }
  let pieces: [TailPiece]
  /// What level readers had before it.
  let start: [Offset]
  let works: [Work]
  let feedEnd: Int
  var work = 0
  var slot = 0
  var isHeartbeat: Bool { pieces.isEmpty }
}
