// What outlives a crash, what a failing disk may do, and what thousands of subscriptions cost.
import Testing
import Wire

@testable import Engine

struct OwnerTests {
  @Test func `a thousand acks of many requests cost one sync`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s") { $0.maxInFlight = .set(2000) }
    for start in stride(from: 0, to: 1000, by: 100) {
      try bench.append((start..<(start + 100)).map(String.init), to: "s")
    }
    var got: [EngineBench.Message] = []
    while got.count < 1000 { got += try bench.pull("sub", max: 1000) }
    try bench.ack("sub", [])
    bench.disk.forgetOperations()
    let tail = subscription.journal.tail
    let answers = Countdown(100)
    bench.turns.on(bench.client) {
      for start in stride(from: 0, to: 1000, by: 10) {
        let ids = got[start..<(start + 10)].map(\.ackID)
        bench.engine.settle(subscription, Settlement(ack: ids), on: bench.client) { result in
          if case .success(let statuses) = result, statuses.allSatisfy({ $0 == .ok }) {
            _ = answers.isOver()
          }
        }
      }
    }
    #expect(answers.left == 0)
    #expect(subscription.journal.tail == tail + 1)
    #expect(bench.disk.operations.count { $0.hasPrefix("sync ") } == 1)
  }

  @Test func `the journal is cut behind a snapshot, and says as much as before`() throws {
    var settings = EngineSettings()
    settings.subscriptions.snapshotAfterBytes = 8 << 10
    let bench = try EngineBench(settings: settings)
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s") { $0.maxInFlight = .set(1_000_000) }
    var values: [String] = []
    for index in 0..<200 { values.append(String(index)) }
    var settled: Set<UInt64> = []
    var lasting: [UInt64] = []
    for round in 0..<24 {
      try bench.append(values, to: "s")
      let some = try bench.pull("sub", max: 200)
      // Every other one, so that there are many ranges; naks make attempts to be kept.
      try bench.settle(
        "sub",
        Settlement(
          ack: some.filter { $0.offset % 2 == 0 }.map(\.ackID),
          nak: some.filter { $0.offset % 2 == 1 }.map {
            Settlement.Nak($0.ackID, delay: .seconds(3600))
          }))
      for message in some where message.offset % 2 == 0 { settled.insert(message.offset) }
      lasting += some.filter { $0.offset % 2 == 1 }.map(\.offset)
      if round % 8 == 7 { bench.bench.makeCheckpoint() }
    }
    #expect(subscription.journal.earliest > .zero)
    let again = try bench.crashed()
    #expect(try again.status("sub").shards[0].settledAbove == settled.count - 1)
    #expect(try again.pull("sub", max: 1).isEmpty)
    again.turns.advance(by: .seconds(4000))
    var rest: [EngineBench.Message] = []
    while case let some = try again.pull("sub", max: 10_000), !some.isEmpty { rest += some }
    #expect(rest.map(\.offset).sorted() == lasting)
    #expect(rest.allSatisfy { $0.delivery == 2 })
  }

  @Test func `a dead letter is appended once, whatever crashes on the way`() throws {
    var bench = try EngineBench()
    try bench.stream("s")
    try bench.stream("dead", shards: 2)
    try bench.subscription("sub", "s") { fields in
      fields.deadLetter = .set("dead")
      fields.maxDeliveries = .set(2)
    }
    try bench.append((0..<9).map(String.init), to: "s")
    var crashes = 0
    // A crash after every job in turn, until there are no more jobs.
    let started = try bench.pull("sub")
    #expect(started.count == 9)
    let termed = try bench.settle(
      "sub", Settlement(term: started.map { .init($0.ackID, reason: "bad") }))
    #expect(termed.allSatisfy { $0 == .ok })
    let subscription = try bench.subscription("sub")
    bench.turns.asCurrent(bench.client) {
      _ = bench.engine.pull(
        subscription, consumer: "x", max: 1, bytesMax: 1, wait: .zero, on: bench.client
      ) { _ in }
    }
    var steps = 0
    while crashes < 12 {
      // The journal says that they are condemned; what comes of it stops somewhere.
      bench = try bench.crashed()
      let current = try bench.subscription("sub")
      bench.turns.asCurrent(bench.client) {
        _ = bench.engine.pull(
          current, consumer: "x", max: 1, bytesMax: 1, wait: .zero, on: bench.client
        ) { _ in }
      }
      steps += 3
      bench.turns.run(jobsMax: steps)
      crashes += 1
    }
    bench = try bench.crashed()
    #expect(try bench.pull("sub") == [])
    bench.turns.advance(by: .seconds(60))
    let letters = try bench.values("dead", shard: 0) + bench.values("dead", shard: 1)
    #expect(letters.sorted() == (0..<9).map(String.init))
    let status = try bench.status("sub")
    #expect(status.counts.deadLetters == 9)
    #expect(status.shards[0].floor == Offset(9))
    let list: Result<ListPage<DeadLetter, String>, SubscriptionError> = try bench.call {
      bench.engine.deadLetters(
        of: try! bench.subscription("sub"), after: nil, limit: 4, on: bench.client, reply: $0)
    }
    let page = try list.get()
    #expect(page.items.map(\.offset.rawValue) == [0, 1, 2, 3])
    #expect(page.items.allSatisfy { $0.place != nil && $0.reason == "bad" })
    #expect(page.next == "3")
  }

  @Test func `after so many failures a record is buried or dropped, and its key goes on`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.stream("dead")
    try bench.subscription("buries", "s") { fields in
      fields.deadLetter = .set("dead")
      fields.maxDeliveries = .set(2)
    }
    try bench.subscription("drops", "s") { $0.maxDeliveries = .set(1) }
    try bench.append(["1", "2"], key: "k", to: "s")
    for name in ["buries", "drops"] {
      for _ in 0..<(name == "drops" ? 1 : 2) {
        let first = try bench.pull(name, max: 1)
        #expect(first.map(\.value) == ["1"])
        try bench.settle(name, Settlement(nak: [.init(first[0].ackID)]))
      }
      #expect(try bench.pull(name).map(\.value) == ["2"])
    }
    #expect(try bench.values("dead") == ["1"])
    #expect(try bench.status("drops").counts.dropped == 1)
    #expect(try bench.status("buries").counts.deadLetters == 1)
  }

  @Test func `a dead letter without its stream waits, says so, and goes there once it can`() throws
  {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.stream("dead")
    try bench.subscription("sub", "s") { $0.deadLetter = .set("dead") }
    try bench.append(["1", "2"], to: "s")
    let deleted: Result<Void, CatalogError> = try bench.call {
      bench.engine.deleteStream(
        "dead", ifRevision: nil, force: true, on: bench.client, reply: $0)
    }
    try deleted.get()
    let got = try bench.pull("sub")
    try bench.settle("sub", Settlement(term: [.init(got[0].ackID, reason: "bad")]))
    try bench.ack("sub", [got[1]])
    bench.turns.advance(by: .seconds(10))
    let status = try bench.status("sub")
    #expect(status.blockedBy == .deadLetter("there is no stream dead"))
    #expect(status.shards[0].floor == .zero)
    try bench.stream("dead")
    bench.turns.advance(by: .seconds(40))
    #expect(try bench.values("dead") == ["1"])
    #expect(try bench.status("sub").shards[0].floor == Offset(2))
    #expect(try bench.status("sub").blockedBy == nil)
  }

  @Test func `a full disk is said, storms nothing, and goes on when there is room`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s")
    try bench.append(["1", "2"], to: "s")
    let got = try bench.pull("sub", max: 1)
    bench.disk.setFault { operation, path in
      operation == "write" && path.contains("wal") ? .full : nil
    }
    let failed: Result<[SettleStatus], SubscriptionError> = try bench.call {
      bench.engine.settle(
        subscription, Settlement(ack: [got[0].ackID]), on: bench.client, reply: $0)
    }
    #expect(throws: SubscriptionError.diskFull) { try failed.get() }
    let waiting = try bench.beginPull("sub", max: 1)
    #expect(waiting.value == nil)
    if case .journal = try bench.status("sub").blockedBy {} else { Issue.record("not blocked") }
    bench.disk.forgetOperations()
    for _ in 0..<60 {
      bench.turns.advance(by: .seconds(1))
      if let pulled = try waiting.value?.get(), let first = pulled.messages.first {
        let _: Box<Result<[SettleStatus], SubscriptionError>> = bench.begin {
          bench.engine.settle(
            subscription, Settlement(ack: [first.ackID]), on: bench.client, reply: $0)
        }
        break
      }
    }
    // A minute of a full disk: a handful of attempts, not thousands.
    #expect(bench.disk.operations.count { $0.hasPrefix("write") } < 50)
    bench.disk.setFault(nil)
    bench.turns.advance(by: .seconds(60))
    var left: [EngineBench.Message] = []
    for _ in 0..<3 { left += try bench.pull("sub") }
    #expect(Set(left.map(\.value)).isSubset(of: ["1", "2"]))
    bench.turns.advance(by: .seconds(40))
    left = try bench.pull("sub")
    try bench.ack("sub", left)
    #expect(try bench.status("sub").backlog.records == 0)
  }

  @Test func `a damaged journal is named, with its subscription and offset`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s")
    var builder = FrameBuilder(valuesBytesHint: 16)
    [UInt8](arrayLiteral: 1, 9).withUnsafeBytes { builder.appendPlain($0) }
    let draft = builder.finish()
    let written: Result<Appended, AppendError> = try bench.call {
      bench.engine.append(
        draft, to: subscription.journal, if: .none, on: bench.client, reply: $0)
    }
    _ = try written.get()
    let result: Result<SubscriptionStatus, SubscriptionError> = try bench.call {
      bench.engine.status(of: subscription, on: bench.client, reply: $0)
    }
    guard case .failure(.storage(let what, .no)) = result else {
      Issue.record("\(result)")
      return
    }
    #expect(what.contains("subscription sub"))
    #expect(what.contains("damaged at offset 0"))
  }

  @Test func `a seek makes old deliveries stale, and outlives a crash`() throws {
    let bench = try EngineBench()
    try bench.stream("s", shards: 2)
    let subscription = try bench.subscription("sub", "s")
    for shard in 0..<2 { try bench.append(["1", "2", "3"], to: "s", shard: shard) }
    var got: [EngineBench.Message] = []
    while got.count < 6 { got += try bench.pull("sub") }
    try bench.ack("sub", Array(got[..<4]))
    let places: Result<[Offset], SubscriptionError> = try bench.call {
      bench.engine.seek(
        subscription, to: .offsets([0: Offset(1)]), on: bench.client, reply: $0)
    }
    let floors = try places.get()
    #expect(floors[0] == Offset(1))
    #expect(try bench.ack("sub", Array(got[4...])) == [.stale, .stale])
    func all(_ bench: EngineBench) throws -> [EngineBench.Message] {
      var all: [EngineBench.Message] = []
      while case let some = try bench.pull("sub"), !some.isEmpty { all += some }
      return all
    }
    for bench in [try bench.crashed(), bench] {
      let rest = try all(bench)
      #expect(rest.filter { $0.shard == 0 }.map(\.offset) == [1, 2])
      #expect(rest.filter { $0.shard == 1 }.map(\.offset) == Array(floors[1].rawValue..<3))
    }
    let wrong: Result<[Offset], SubscriptionError> = try bench.call {
      bench.engine.seek(
        subscription, to: .offsets([1: Offset(4)]), on: bench.client, reply: $0)
    }
    #expect(throws: SubscriptionError.badPlace(shard: 1, tail: Offset(3))) { try wrong.get() }
    let tail: Result<[Offset], SubscriptionError> = try bench.call {
      bench.engine.seek(subscription, to: .tail, on: bench.client, reply: $0)
    }
    #expect(try tail.get() == [Offset(3), Offset(3)])
    #expect(try all(bench) == [])
  }

  @Test func `a replay delivers again beside what goes on, and says how far it is`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s") { $0.maxDeliveries = .set(1) }
    try bench.append((0..<6).map(String.init), to: "s")
    let got = try bench.pull("sub")
    try bench.settle(
      "sub",
      Settlement(
        ack: got.filter { $0.offset % 2 == 0 }.map(\.ackID),
        nak: got.filter { $0.offset % 2 == 1 }.map { .init($0.ackID) }))
    #expect(try bench.status("sub").counts.dropped == 3)
    func replay(_ only: ReplayRequest.Only) throws -> [SubscriptionStatus.Replay] {
      let result: Result<[SubscriptionStatus.Replay], SubscriptionError> = try bench.call {
        bench.engine.replay(
          subscription, ReplayRequest(from: .earliest, to: .tail, only: only), on: bench.client,
          reply: $0)
      }
      return try result.get()
    }
    let failed = try replay(.failed)
    #expect(failed.map(\.left) == [3])
    #expect(try replay(.failed) == [])
    try bench.append(["6"], to: "s")
    let again = try bench.crashed()
    #expect(try again.status("sub").replays.map(\.left) == [3])
    var rest: [EngineBench.Message] = []
    while case let some = try again.pull("sub"), !some.isEmpty { rest += some }
    #expect(rest.map(\.offset).sorted() == [1, 3, 5, 6])
    try again.ack("sub", rest)
    #expect(try again.status("sub").replays == [])
    #expect(try again.pull("sub") == [])
  }

  @Test func `consumers are listed, and those that pull vanish when they were idle`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s")
    _ = try bench.pull("sub", as: "w1")
    _ = try bench.pull("sub", as: "w2")
    let attached = try bench.attach("sub")
    func names() throws -> [String] {
      let page: Result<ListPage<ConsumerInfo, String>, SubscriptionError> = try bench.call {
        bench.engine.consumers(
          of: subscription, after: nil, limit: 10, on: bench.client, reply: $0)
      }
      return try page.get().items.map(\.name)
    }
    #expect(try names() == ["w1", "w2", "pushed"])
    bench.turns.advance(by: .seconds(70))
    #expect(try names() == ["pushed"])
    let hold = try attached.hold()
    bench.turns.on(bench.client) { hold.close() }
    #expect(try names() == [])
  }

  @Test func `ten thousand idle subscriptions are ordinary, and fall asleep`() throws {
    let bench = try EngineBench(lanes: 2)
    try bench.stream("s")
    for index in 0..<10_000 { try bench.subscription("sub-\(index)", "s") }
    try bench.append(["1"], to: "s")
    #expect(try bench.pull("sub-77").map(\.value) == ["1"])
    bench.turns.advance(by: .seconds(5))
    // Nothing but the subscription in use has a timer.
    #expect(bench.turns.timersWaiting < 20)
    let samples = bench.engine.metrics.filter { $0.name.hasSuffix("subscription_backlog_records") }
    #expect(samples.count == 201)
    #expect(samples.last?.labels.first?.value == "_other")
    #expect(samples.reduce(0) { $0 + $1.value } == 10_000)
    bench.turns.run()
    let ages = bench.engine.metrics.filter { $0.name.hasSuffix("subscription_backlog_seconds") }
    #expect(ages.count == 201)
    #expect(ages.allSatisfy { $0.value >= 5 })
    bench.turns.advance(by: .seconds(300))
    let owner = try bench.subscription("sub-77").seat
    bench.turns.asCurrent(bench.bench.executor(of: try bench.subscription("sub-77").incarnation)) {
      #expect((owner.owner as? SubscriptionOwner)?.core == nil)
    }
    #expect(try bench.pull("sub-77").map(\.delivery) == [2])
  }
}
