// Group commit: nobody hears of a record before its sync, what waits shares the next one, and failures are told truly.
import Engine
import Testing
import Wire

@Suite struct `Commits` {
  /// Groups that were written and synced; files that are made ready meanwhile do not count.
  private func syncs(_ bench: StoreBench) -> Int {
    let operations = bench.disk.operations
    return zip(operations, operations.dropFirst()).count { one, next in
      one.hasPrefix("write lanes/0/wal") && next == "sync" + one.dropFirst("write".count)
    }
  }

  @Test func `nothing is heard or read before the sync`() throws {
    let bench = try StoreBench.opened()
    let owner = try bench.owner(1)
    let before = syncs(bench)
    bench.turns.asCurrent(bench.executor(of: 1)) { owner.append(["1"]) }
    var steps = 0
    while bench.turns.run(jobsMax: 1) > 0 {
      steps += 1
      #expect(owner.heard.isEmpty || syncs(bench) > before)
    }
    #expect(steps > 2 && owner.heard == [.committed(Offset(0)..<Offset(1))])
    #expect(syncs(bench) == before + 1)
  }

  @Test func `what is staged while a commit is on its way shares the next sync`() throws {
    let bench = try StoreBench.opened()
    let (one, other) = (try bench.owner(1), try bench.owner(2))
    let before = syncs(bench)
    bench.turns.asCurrent(bench.executor(of: 1)) { one.append(["1"]) }
    bench.turns.run(jobsMax: 1)  // the flush: the first group is on its way
    bench.turns.asCurrent(bench.executor(of: 1)) {
      for value in 2...10 { one.append(["\(value)"]) }
      other.append(["\"other\""])
    }
    bench.turns.run()
    #expect(syncs(bench) == before + 2)
    #expect(bench.values(1) == (1...10).map { "\($0)" })
    #expect(bench.values(2) == ["\"other\""])
  }

  @Test func `a failed sync is not tried again: waiters hear maybe, the lane goes on elsewhere`()
    throws
  {
    let bench = try StoreBench.opened()
    let (owner, other) = (try bench.owner(1), try bench.owner(2))
    bench.append(owner, ["1"])
    bench.disk.forgetOperations()
    bench.disk.setFault { operation, path in
      operation == "sync" && path.contains("wal") ? .inputOutput : nil
    }
    bench.turns.on(bench.executor(of: 1)) {
      owner.append(["2"])
      other.append(["\"b\""])
    }
    #expect(syncs(bench) == 1)
    for one in [owner, other] {
      guard case .undecided(.device) = one.heard.last else {
        Issue.record("\(one.heard)")
        continue
      }
    }
    #expect(bench.values(1) == ["1"], "what is undecided is not shown")
    let crashed = bench.crashed()
    try crashed.open()
    #expect([["1"], ["1", "2"]].contains(crashed.values(1)), "either, but whole")

    bench.disk.setFault(nil)
    bench.turns.advance(by: .seconds(30))
    #expect(bench.append(owner, ["3"]) == nil)
    #expect(bench.values(1) == ["1", "3"])
    let again = bench.crashed()
    try again.open()
    #expect(again.values(1) == ["1", "3"] && again.values(2) == [])
  }

  @Test func `syncs that fail again and again lose nothing that was acknowledged`() throws {
    let bench = try StoreBench.opened()
    let owner = try bench.owner(1)
    var written: [String] = []
    for round in 0..<40 {
      bench.disk.setFault { operation, path in
        round % 3 == 1 && operation == "sync" && path.contains("wal") ? .inputOutput : nil
      }
      if bench.append(owner, ["\(round)"]) == nil { written.append("\(round)") }
      bench.disk.setFault(nil)
      if round % 7 == 0 { bench.makeCheckpoint() }
      #expect(bench.values(1) == written)
      let crashed = bench.crashed()
      try crashed.open()
      let found = crashed.values(1)
      #expect(found == written || found == written + ["\(round)"])
    }
    #expect(written.count == 27)
  }

  @Test func `a write that finds no room had no effect, and says so`() throws {
    let bench = try StoreBench.opened()
    let owner = try bench.owner(1)
    bench.append(owner, ["1"])
    bench.disk.setFault { operation, path in
      operation == "write" && path.contains("wal") ? .full : nil
    }
    #expect(bench.append(owner, ["2"]) == .full)
    #expect(bench.store.unready == "the disk is full")
    bench.disk.setFault(nil)
    let crashed = bench.crashed()
    try crashed.open()
    #expect(crashed.values(1) == ["1"])
    #expect(bench.append(owner, ["3"]) == .full, "until free space was seen")
    bench.turns.advance(by: .seconds(3))
    #expect(bench.store.unready == nil)
    #expect(bench.append(owner, ["4"]) == nil)
    #expect(bench.values(1) == ["1", "4"])
  }

  @Test func `whoever hears of a failure may append at once to a shard that has not heard yet`()
    throws
  {
    let bench = try StoreBench.opened()
    let (one, other) = (try bench.owner(1), try bench.owner(2))
    bench.disk.setFault { operation, path in
      operation == "sync" && path.contains("wal") ? .inputOutput : nil
    }
    let answers = Countdown(3)
    let next = Confined((one, other), to: bench.executor(of: 1))
    bench.turns.on(bench.executor(of: 1)) {
      // As on a connection that sends its next request as soon as this one is answered.
      one.append(["1"]) { _ in next.value.1.append(["\"after 1\""]) { _ in _ = answers.isOver() } }
      other.append(["2"]) { _ in
        _ = answers.isOver()
        next.value.0.append(["\"after 2\""]) { _ in _ = answers.isOver() }
      }
    }
    #expect(answers.left == 0, "each is answered once")
    bench.disk.setFault(nil)
    bench.turns.advance(by: .seconds(3))
    #expect(bench.append(one, ["\"3\""]) == nil && bench.append(other, ["\"4\""]) == nil)
    #expect(bench.values(1).last == "\"3\"" && bench.values(2).last == "\"4\"")
    let crashed = bench.crashed()
    try crashed.open()
    #expect(crashed.values(1) == bench.values(1) && crashed.values(2) == bench.values(2))
  }

  @Test func `a clock that goes back does not stop appends, and times do not fall`() throws {
    let bench = try StoreBench.opened()
    let owner = try bench.owner(1)
    bench.turns.on(bench.executor(of: 1)) {
      owner.append(["1"], at: Timestamp(milliseconds: 90_000_000))
      owner.append(["2"], at: Timestamp(milliseconds: 5))
    }
    #expect(bench.values(1) == ["1", "2"])
    bench.makeCheckpoint()
    let crashed = bench.crashed()
    try crashed.open()
    let policy = Retention(age: .seconds(1), bytes: nil)
    let expired = crashed.turns.on(crashed.executor(of: 1)) {
      crashed.store.expired(ShardID(1), policy: policy, now: Timestamp(milliseconds: 6))
    }
    #expect(expired == nil, "records of the future are not old")
  }
}
