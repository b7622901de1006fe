// Pulling and acknowledging over a real store: what a consumer may rely on.
import Testing
import Wire

@testable import Engine

struct PullTests {
  @Test func `records come in order, once, until they are acknowledged`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    try bench.append(["1", "2", "3"], to: "s")
    let first = try bench.pull("sub", max: 2)
    #expect(first.map(\.value) == ["1", "2"])
    #expect(first.map(\.delivery) == [1, 1])
    let second = try bench.pull("sub")
    #expect(second.map(\.value) == ["3"])
    #expect(try bench.pull("sub") == [])
    #expect(try bench.ack("sub", first + second) == [.ok, .ok, .ok])
    #expect(try bench.ack("sub", first) == [.stale, .stale])
    let status = try bench.status("sub")
    #expect(status.backlog == Backlog(records: 0, oldestAge: nil))
    #expect(status.shards.map(\.floor) == [Offset(3)])
    #expect(status.counts.acked == 3)
  }

  @Test func `what was acknowledged does not come again after a crash, all else does`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    try bench.append((0..<10).map(String.init), to: "s")
    let got = try bench.pull("sub")
    let settled = got.filter { $0.offset % 3 == 0 }
    try bench.ack("sub", settled)
    let again = try bench.crashed()
    let rest = try again.pull("sub")
    #expect(rest.map(\.offset) == [1, 2, 4, 5, 7, 8])
    // Ids of before the crash are another owner's.
    #expect(try again.ack("sub", [got[1]]) == [.stale])
    try again.ack("sub", rest)
    #expect(try again.crashed().pull("sub") == [])
  }

  @Test func `a long poll is answered when something comes, and empty when nothing does`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    let waiting = try bench.beginPull("sub", wait: .seconds(5))
    bench.turns.advance(by: .seconds(4))
    #expect(waiting.value == nil)
    try bench.append(["x"], to: "s")
    #expect(try waiting.value?.get().messages.map(\.value) == ["x"])
    let idle = try bench.beginPull("sub", wait: .seconds(5))
    bench.turns.advance(by: .seconds(6))
    let empty = try #require(idle.value).get()
    #expect(empty.delivery == nil)
    #expect(empty.backlog.records == 1)
  }

  @Test func `waiting pulls have their turns in the order in which they came`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    let first = try bench.beginPull("sub", as: "a", max: 1)
    let second = try bench.beginPull("sub", as: "b", max: 1)
    try bench.append(["1"], to: "s")
    try bench.append(["2"], to: "s")
    #expect(try first.value?.get().messages.map(\.value) == ["1"])
    #expect(try second.value?.get().messages.map(\.value) == ["2"])
  }

  @Test func `a pull that was given up takes nothing, and what it was leased comes back`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s")
    let answer = Box<Result<Pulled, SubscriptionError>>()
    let ticket = Box<PullTicket>()
    bench.turns.on(bench.client) {
      ticket.set(
        bench.engine.pull(
          subscription, consumer: "a", max: 10, bytesMax: 1 << 20, wait: .seconds(20),
          on: bench.client
        ) { answer.set($0) })
    }
    // The records are leased, and the client is gone before it hears of them.
    let stream = try #require(bench.engine.stream(named: "s"))
    var builder = FrameBuilder(valuesBytesHint: 16)
    [UInt8](arrayLiteral: 49).withUnsafeBytes { builder.appendPlain($0) }
    let draft = builder.finish()
    bench.turns.asCurrent(bench.client) {
      bench.engine.append(draft, to: stream.shards[0], if: .none, on: bench.client) { _ in }
    }
    while try bench.inFlightNow(subscription) == 0 {
      try #require(bench.turns.run(jobsMax: 1) == 1)
    }
    bench.turns.on(bench.client) { ticket.value?.cancel() }
    #expect(answer.value == nil)
    let next = try bench.pull("sub")
    #expect(next.map(\.value) == ["1"])
    #expect(next.map(\.delivery) == [1])
  }

  @Test func `an answer stays within its bytes, and the rest comes with the next`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    for index in 0..<4 { try bench.append(["\"\(index)\(filler(3000))\""], to: "s") }
    let first = try bench.pull("sub", bytesMax: 7000)
    #expect(first.map(\.offset) == [0, 1])
    #expect(try bench.pull("sub", bytesMax: 10).map(\.offset) == [2])
    let last = try bench.pull("sub")
    #expect(last.map(\.offset) == [3])
    #expect(last.map(\.delivery) == [1])
  }

  @Test func `after its deadline a record comes again, counted`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s") { $0.ackDeadline = .set(.seconds(3)) }
    try bench.append(["1"], to: "s")
    let first = try bench.pull("sub")
    let waiting = try bench.beginPull("sub")
    bench.turns.advance(by: .seconds(2))
    #expect(waiting.value == nil)
    bench.turns.advance(by: .seconds(2))
    let second = try #require(waiting.value).get().messages
    #expect(second.map(\.value) == ["1"])
    #expect(second.map(\.delivery) == [2])
    #expect(try bench.ack("sub", first) == [.stale])
    #expect(try bench.ack("sub", second) == [.ok])
    // The count outlives a crash.
    try bench.append(["2"], to: "s")
    _ = try bench.pull("sub")
    bench.turns.advance(by: .seconds(4))
    #expect(try bench.crashed().pull("sub").map(\.delivery) == [2])
  }

  @Test func `records that the shelf has let go of are read again`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s") { $0.maxInFlight = .set(1000) }
    for index in 0..<60 { try bench.append(["\"\(index) \(filler(4000))\""], to: "s") }
    var all: [EngineBench.Message] = []
    while all.count < 60 {
      let some = try bench.pull("sub", max: 1000, bytesMax: 8 << 20)
      try #require(!some.isEmpty)
      all += some
    }
    bench.forgetShelf(try bench.subscription("sub"))
    try bench.settle("sub", Settlement(nak: [Settlement.Nak(all[3].ackID), .init(all[50].ackID)]))
    let again = try bench.pull("sub")
    #expect(again.map(\.offset) == [3, 50])
    #expect(again.map(\.value) == [all[3].value, all[50].value])
  }

  @Test func `a paused subscription takes acks and gives nothing`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s")
    try bench.append(["1", "2"], to: "s")
    let first = try bench.pull("sub", max: 1)
    let paused: Result<Subscription, CatalogError> = try bench.call {
      bench.engine.setState(of: subscription, to: .paused, on: bench.client, reply: $0)
    }
    _ = try paused.get()
    let waiting = try bench.beginPull("sub", wait: .seconds(1))
    #expect(try bench.ack("sub", first) == [.ok])
    bench.turns.advance(by: .seconds(2))
    let empty = try #require(waiting.value).get()
    #expect(empty.delivery == nil)
    #expect(empty.state == .paused)
    let last = try bench.beginPull("sub")
    let resumed: Result<Subscription, CatalogError> = try bench.call {
      bench.engine.setState(
        of: try! bench.subscription("sub"), to: .active, on: bench.client, reply: $0)
    }
    _ = try resumed.get()
    #expect(try last.value?.get().messages.map(\.value) == ["2"])
  }

  @Test func `what retention took is a gap, and the rest goes on`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    for index in 0..<10 { try bench.append([String(index)], to: "s") }
    try bench.trim("s", before: 4)
    #expect(try bench.pull("sub").map(\.offset) == [4, 5, 6, 7, 8, 9])
    let status = try bench.status("sub")
    #expect(status.gaps.map(\.offsets) == [Offset(0)..<Offset(4)])
    #expect(status.counts.missed == 4)
    #expect(try bench.crashed().status("sub").counts.missed == 4)
  }

  @Test func `a deleted subscription and a deleted stream answer whoever waits`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s")
    let other = try bench.subscription("other", "s")
    let waiting = try bench.beginPull("sub")
    let also = try bench.beginPull("other")
    let deleted: Result<Void, CatalogError> = try bench.call {
      bench.engine.deleteSubscription("sub", ifRevision: nil, on: bench.client, reply: $0)
    }
    try deleted.get()
    #expect(throws: SubscriptionError.notFound) { try waiting.value?.get() }
    let late: Result<[SettleStatus], SubscriptionError> = try bench.call {
      bench.engine.settle(subscription, Settlement(), on: bench.client, reply: $0)
    }
    #expect(throws: SubscriptionError.notFound) { try late.get() }
    let gone: Result<Void, CatalogError> = try bench.call {
      bench.engine.deleteStream(
        "s", ifRevision: nil, force: true, on: bench.client, reply: $0)
    }
    try gone.get()
    #expect(throws: SubscriptionError.streamReplaced) { try also.value?.get() }
    try bench.stream("s")
    let after: Result<SubscriptionStatus, SubscriptionError> = try bench.call {
      bench.engine.status(of: other, on: bench.client, reply: $0)
    }
    #expect(throws: SubscriptionError.streamReplaced) { try after.get() }
  }
}

/// So many letters.
func filler(_ count: Int) -> String { String(repeating: "x", count: count) }

extension EngineBench {
  /// Lets go of all chunks, as an owner does when there is no room for them.
  func forgetShelf(_ subscription: Subscription) {
    turns.asCurrent(subscription.journal.executor as? TurnExecutor) {
      (subscription.seat.owner as? SubscriptionOwner)?.shelf?.clear()
    }
  }

  /// How many records are leased just now, without running anything.
  func inFlightNow(_ subscription: Subscription) throws -> Int {
    turns.asCurrent(subscription.journal.executor as? TurnExecutor) {
      (subscription.seat.owner as? SubscriptionOwner)?.core?.inFlight ?? 0
    }
  }
}
