// What only goes wrong now and then: reads that are late, journals that fail in between, logs that were cut by hand.
import NIOCore
import Testing
import Wire

@testable import Engine

struct OwnerHazardTests {
  @Test func `numbers that a client made up are places in a list, and no reason to trap`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s") { $0.maxDeliveries = .set(1) }
    try bench.append(["1", "2"], to: "s")
    let got = try bench.pull("sub")
    try bench.settle("sub", Settlement(nak: [.init(got[0].ackID)]))
    let numbers = ["\(Int.max)", "\(Int.min)", "-1", "0", "\(UInt64.max)", "x"]
    for after in numbers + numbers.map({ "0:" + $0 }) {
      let letters: Result<ListPage<DeadLetter, String>, SubscriptionError> = try bench.call {
        bench.engine.deadLetters(
          of: subscription, after: after, limit: 10, on: bench.client, reply: $0)
      }
      #expect(try letters.get().items.count <= 1)
      let flying: Result<ListPage<MessageInFlight, String>, SubscriptionError> = try bench.call {
        bench.engine.inFlight(
          of: subscription, after: after, limit: 10, on: bench.client, reply: $0)
      }
      #expect(try flying.get().items.count <= 1)
      let consumers: Result<ListPage<ConsumerInfo, String>, SubscriptionError> = try bench.call {
        bench.engine.consumers(
          of: subscription, after: after, limit: 10, on: bench.client, reply: $0)
      }
      #expect(try consumers.get().items.count <= 1)
    }
  }

  @Test func `a batch that could not be stored is given once the journal can be written again`()
    throws
  {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.webhook("hook", "s")
    try bench.append(["1", "2"], to: "s")
    let consumer = try bench.attach("hook", .webhook) { options in
      options.units = ConsumerOptions.Units(recordsMax: 2, linger: .zero)
      options.credit = 0
    }
    let hold = try consumer.hold()
    bench.disk.setFault { operation, path in
      operation == "write" && path.contains("wal") ? .full : nil
    }
    bench.turns.on(bench.client) { hold.credit(1) }
    #expect(consumer.deliveries().isEmpty)
    bench.disk.setFault(nil)
    bench.turns.advance(by: .seconds(60))
    let unit = try #require(consumer.deliveries().first, "its credit is lost")
    #expect(unit.messages.map(\.value) == ["1", "2"])
    bench.turns.on(bench.client) { hold.settle(unit.lease, .delivered) }
    #expect(try bench.status("hook").counts.acked == 2)
  }

  /// Runs jobs one by one until so many records are leased.
  private func run(_ bench: EngineBench, untilInFlight count: Int) throws {
    let subscription = try #require(
      bench.engine.subscriptions(prefix: "", after: nil, limit: 1).first)
    while try bench.inFlightNow(subscription) != count {
      try #require(bench.turns.run(jobsMax: 1) == 1)
    }
  }

  @Test func `credit counts a batch that is just being stored`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.webhook("hook", "s")
    try bench.append(["1", "2", "3", "4"], to: "s")
    let consumer = try bench.attach("hook", .webhook) { options in
      options.units = ConsumerOptions.Units(recordsMax: 1, linger: .zero)
      options.credit = 0
    }
    let hold = try consumer.hold()
    bench.turns.asCurrent(bench.client) { hold.credit(1) }
    try run(bench, untilInFlight: 1)
    bench.turns.on(bench.client) { hold.credit(2) }
    #expect(consumer.deliveries().count == 2)
  }

  @Test func `a batch that others get before it is stored stays as it was formed`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.webhook("hook", "s")
    try bench.append(["1", "2"], to: "s")
    func attach(bytesMax: Int) throws -> PushedTo {
      try bench.attach("hook", .webhook) { options in
        options.units = ConsumerOptions.Units(recordsMax: 2, linger: .zero)
        options.credit = 0
        options.bytesMax = bytesMax
      }
    }
    let first = try attach(bytesMax: 1000)
    let second = try attach(bytesMax: 1)
    let (hold, other) = (try first.hold(), try second.hold())
    bench.turns.asCurrent(bench.client) { hold.credit(1) }
    try run(bench, untilInFlight: 2)
    bench.turns.on(bench.client) {
      other.credit(1)
      hold.close()
    }
    #expect(first.deliveries().isEmpty)
    #expect(second.deliveries().map { $0.messages.map(\.value) } == [["1", "2"]])
  }

  @Test func `a delivery whose deadline passed while it was read is not made`() throws {
    let bench = try EngineBench { $0.cacheBytes = 0 }
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s") {
      $0.ackDeadline = .set(.milliseconds(100))
    }
    try bench.append(["1"], to: "s")
    #expect(try bench.pull("sub").count == 1)
    bench.turns.advance(by: .seconds(1))
    bench.forgetShelf(subscription)
    let answer = Box<Result<Pulled, SubscriptionError>>()
    bench.turns.asCurrent(bench.client) {
      _ = bench.engine.pull(
        subscription, consumer: "c", max: 1, bytesMax: 1, wait: .seconds(20), on: bench.client
      ) { answer.set($0) }
    }
    try run(bench, untilInFlight: 1)
    #expect(answer.value == nil)
    bench.turns.advance(by: .milliseconds(101))
    let got = try #require(answer.value).get().messages
    #expect(got.map(\.delivery) == [3])
    #expect(try bench.ack("sub", got) == [.ok])
  }

  @Test func `a stream that lost its end is read from where it ends`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.append((0..<5).map(String.init), to: "s")
    try bench.subscription("sub", "s") { $0.start = .set(.tail) }
    // The catalog is there, and the logs are empty.
    let lost = try EngineBench(meta: bench.meta)
    let waiting = try lost.beginPull("sub")
    #expect(waiting.value == nil)
    try lost.append(["a"], to: "s")
    let first = try #require(waiting.value).get().messages
    #expect(first.map(\.value) == ["a"])
    try lost.append(["b"], to: "s")
    try lost.ack("sub", try lost.pull("sub"))
    // It is what the journal says from then on.
    let again = try lost.crashed()
    #expect(try again.status("sub").backlog.records == 1)
    #expect(try again.pull("sub").map(\.value) == ["a"])
  }

  @Test func `a replay after a restart is of all that was settled, fetched since or not`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s") { $0.maxDeliveries = .set(1) }
    try bench.append((0..<10).map(String.init), to: "s")
    let got = try bench.pull("sub")
    try bench.ack("sub", Array(got[1..<9]))
    try bench.settle("sub", Settlement(nak: [.init(got[9].ackID)]))
    for only in [ReplayRequest.Only.all, .failed] {
      let again = try bench.crashed()
      let subscription = try again.subscription("sub")
      let result: Result<[SubscriptionStatus.Replay], SubscriptionError> = try again.call {
        again.engine.replay(
          subscription, ReplayRequest(from: .earliest, to: .tail, only: only), on: again.client,
          reply: $0)
      }
      #expect(try result.get().map(\.left) == [only == .all ? 10 : 1])
      var all: [EngineBench.Message] = []
      while case let some = try again.pull("sub"), !some.isEmpty { all += some }
      #expect(Set(all.map(\.offset)) == (only == .all ? Set(0..<10) : [0, 9]))
    }
  }

  @Test func `what no frame of the journal can hold is refused, and all else goes on`() throws {
    let bench = try EngineBench { $0.walFileBytes = 8 << 10 }
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s") { fields in
      fields.maxInFlight = .set(10_000)
      fields.maxDeliveries = .set(1)
    }
    for _ in 0..<80 { try bench.append((0..<100).map(String.init), to: "s") }
    var got: [EngineBench.Message] = []
    while case let some = try bench.pull("sub", max: 1000), !some.isEmpty { got += some }
    try bench.settle(
      "sub", Settlement(nak: got.filter { $0.offset % 2 == 1 }.map { .init($0.ackID) }))
    let result: Result<[SubscriptionStatus.Replay], SubscriptionError> = try bench.call {
      bench.engine.replay(
        subscription, ReplayRequest(from: .earliest, to: .tail, only: .failed), on: bench.client,
        reply: $0)
    }
    #expect(throws: SubscriptionError.self) { try result.get() }
    bench.turns.advance(by: .seconds(2))
    #expect(try bench.pull("sub", max: 1).map(\.offset) == [0])
  }

  @Test func `a state that no journal of this stream leads to is a fault, not a trap`() {
    let good = DispatchState(places: [Offset(3), Offset(4)])
    #expect(good.fault(shardCount: 2) == nil)
    func letter(_ shard: Int, _ serial: UInt64) -> Condemned {
      Condemned(
        serial: serial, track: nil, shardIndex: shard, offset: .zero, deliveries: 1, reason: "",
        at: Timestamp(milliseconds: 0))
    }
    let changes: [(inout DispatchState) -> Void] = [
      { $0.tracks.removeLast() }, { $0.tracks[0].end = Offset(9) }, { $0.tracks[1].shardIndex = 0 },
      { $0.nextTrack = .max }, { $0.condemned = [letter(2, 0)] }, { $0.condemned = [letter(0, 0)] },
      { $0.history.failed = [OffsetRanges(), OffsetRanges(), OffsetRanges()] },
      {
        $0.tracks.append(
          TrackState(track: TrackID(2), shardIndex: 7, end: Offset(9), only: nil, floor: .zero))
        $0.nextTrack = 3
      },
    ]
    for change in changes {
      var state = good
      change(&state)
      #expect(state.fault(shardCount: 2) != nil)
    }
  }

  @Test func `a state is cut to logs that end before it`() throws {
    var state = DispatchState(places: [Offset(10), Offset(4)])
    state.tracks[1].settled = OffsetRanges(merging: [Offset(5)..<Offset(7), Offset(8)..<Offset(9)])
    state.tracks.append(
      TrackState(track: TrackID(2), shardIndex: 0, end: Offset(8), only: nil, floor: Offset(6)))
    state.units = [
      UnitState(
        id: 0,
        members: [.init(track: TrackID(1), offsets: OffsetRanges(Offset(4)..<Offset(8)))],
        deliveries: 0, failures: 0, notBefore: Timestamp(milliseconds: 0))
    ]
    (state.nextTrack, state.nextUnit) = (3, 1)
    state.history.failed = [OffsetRanges(Offset(2)..<Offset(9))]
    #expect(state.cut(to: [Offset(10), Offset(9)]) == nil)
    let cut = try #require(state.cut(to: [Offset(5), Offset(6)]))
    #expect(cut.tracks.map(\.floor) == [Offset(5), Offset(4)])
    #expect(cut.tracks[1].settled == OffsetRanges(Offset(5)..<Offset(6)))
    #expect(cut.units[0].members[0].offsets == OffsetRanges(Offset(4)..<Offset(6)))
    #expect(cut.history.failed == [OffsetRanges(Offset(2)..<Offset(5))])
  }

  @Test func `a wait that was reckoned by a wrong clock ends all the same`() throws {
    let day = Int64(86_400_000)
    for (years, isReady) in [(Int64(3), false), (-3, true)] {
      var state = DispatchState(places: [.zero])
      state.tracks[0].attempts = [
        TrackState.Attempt(
          offset: .zero, deliveries: 1, failures: 1,
          notBefore: Timestamp(milliseconds: years * 365 * day), isAlone: false)
      ]
      let now = Instants(monotonic: .zero, wall: Timestamp(milliseconds: 0))
      var core = Dispatcher(DispatchPolicy(), epoch: 1, state: state, firstLease: 1, now: now)
      core.arrived(TrackID(0), .zero..<Offset(1), keys: [0], now: now)
      let consumer = core.join(share: nil)
      #expect((core.take(consumer, max: 1, asUnit: false, now: now) != nil) == isReady)
      if !isReady { #expect(try #require(core.nextDue) <= .milliseconds(9 * day)) }
    }
  }
}
