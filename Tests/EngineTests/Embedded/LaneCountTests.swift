// Starting with another number of lanes: everything moves, whole, whenever it is interrupted.
import Engine
import Testing
import Wire

@Suite struct `Another number of lanes` {
  private func check(_ bench: StoreBench, _ written: [UInt64: [String]]) {
    for (shard, values) in written { #expect(bench.values(shard) == values, "shard \(shard)") }
  }

  private func filled() throws -> (StoreBench, [UInt64: [String]]) {
    let bench = StoreBench()
    try bench.open(lanes: 2)
    var written: [UInt64: [String]] = [:]
    for shard in 1...5 as ClosedRange<UInt64> {
      let owner = try bench.owner(shard)
      for number in 0..<8 {
        let value = "\"\(shard) \(number) " + String(repeating: "l", count: 40 * number) + "\""
        let extras = number == 6 ? FrameExtras.producer("p", 6) : .none
        #expect(bench.append(owner, [value], extras: extras) == nil)
        written[shard, default: []].append(value)
        if shard == 3, number == 3 { bench.makeCheckpoint() }
      }
    }
    return (bench, written)
  }

  @Test func `records, epochs and stamps move along, up and down, and appends go on`() throws {
    var (bench, written) = try filled()
    for (round, lanes) in [3, 1, 4, 2, 2].enumerated() {
      bench = bench.crashed()
      try bench.open(lanes: lanes)
      check(bench, written)
      for shard in 1...5 as ClosedRange<UInt64> {
        let owner = try bench.owner(shard, epoch: UInt64(round) + 2)
        #expect(bench.append(owner, ["\(round)"]) == nil)
        written[shard]!.append("\(round)")
        #expect(throws: LogError.self) { try bench.owner(shard, epoch: UInt64(round) + 1) }
      }
      check(bench, written)
      let names = Set(bench.disk.paths(below: "lanes/").map { $0.split(separator: "/")[1] })
      #expect(names.count == lanes, "the former lanes' files are gone: \(names)")
    }
    let executor = bench.executor(of: 4)
    let recovered = Box<ShardRecovery>()
    let owner = Owner(
      bench.store, ShardID(4), epoch: Epoch(99), tail: .zero, time: Timestamp(milliseconds: 0))
    bench.turns.on(executor) {
      bench.store.open(ShardID(4), epoch: Epoch(99), client: owner) { result in
        if case .success(let recovery) = result { recovered.set(recovery) }
      }
    }
    #expect(recovered.value?.stamps.map(\.extras) == [.producer("p", 6)])
  }

  @Test func `a move that is interrupted anywhere is done again or was done`() throws {
    let (bench, written) = try filled()
    for number in 0... {
      let crashed = bench.crashed()
      let countdown = Countdown(number)
      crashed.disk.setFault { _, _ in countdown.isOver() ? .inputOutput : nil }
      try? crashed.open(lanes: 3)
      let wasReached = countdown.left < 0
      crashed.disk.setFault(nil)
      for lanes in [3, 2] {
        let next = crashed.crashed()
        try next.open(lanes: lanes)
        check(next, written)
      }
      if !wasReached { break }
      #expect(number < 1000)
    }
  }
}
