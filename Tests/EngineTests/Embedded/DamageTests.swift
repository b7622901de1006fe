// Damage in a write-ahead log: refused, told beforehand in full, and cut exactly as it was told.
import Engine
import Testing
import Wire

@Suite struct `Damaged logs` {
  private func value(_ shard: UInt64, _ number: Int) -> String {
    "\"\(shard) \(number) " + String(repeating: "z", count: 100 + number % 3 * 90) + "\""
  }

  /// Two shards that took turns, nothing of it in segments yet but for the first few.
  private func filled() throws -> (StoreBench, [UInt64: [String]]) {
    let bench = try StoreBench.opened()
    var written: [UInt64: [String]] = [1: [], 2: []]
    let owners = [try bench.owner(1), try bench.owner(2)]
    for number in 0..<14 {
      for owner in owners {
        let shard = owner.shard.rawValue
        let batch = [value(shard, number), "\(number)"]
        #expect(bench.append(owner, batch) == nil)
        written[shard]! += batch
      }
      if number == 3 { bench.makeCheckpoint() }
    }
    return (bench, written)
  }

  private func damages(_ bench: StoreBench) -> [LogDamage] {
    do throws(StoreOpenError) {
      try bench.open()
      return []
    } catch {
      if case .damaged(let damages) = error { return damages }
      Issue.record("\(error)")
      return []
    }
  }

  @Test func `the log is cut exactly as it was told, and the cut holds`() throws {
    let (bench, written) = try filled()
    var cuts = 0
    for path in bench.disk.paths(below: "lanes/") {
      for position in stride(from: 3, to: bench.disk.bytes(of: path).count, by: 97) {
        let crashed = bench.crashed()
        crashed.disk.spoil(path, at: position)
        let told = damages(crashed)
        guard let damage = told.first else { continue }
        cuts += 1
        let untouched = bench.crashed()
        untouched.disk.spoil(path, at: position)
        for path in bench.disk.paths(below: "") {
          let (one, other) = (crashed.disk.bytes(of: path), untouched.disk.bytes(of: path))
          #expect(one == other, "refused, so nothing was changed: \(path)")
        }
        try crashed.open { $0.truncatesDamaged = true }
        #expect(crashed.store.report.dropped == told)
        for shard in [1, 2] as [UInt64] {
          let loss = damage.losses.first { $0.shard == ShardID(shard) }
          let all = written[shard]!
          let left = crashed.values(shard)
          #expect(left == Array(all.prefix(left.count)), "\(path) \(position)")
          let tail = loss.map { Int($0.offsets.lowerBound.rawValue) } ?? all.count
          let end = loss.map { Int($0.offsets.upperBound.rawValue) } ?? all.count
          // A head that cannot be read hides a batch of two; everything else is told to the last record.
          let hidden = damage.unknownBytes > 0 ? 2 : 0
          #expect(left.count == tail || loss == nil && left.count == all.count - hidden)
          #expect(end == all.count || end == all.count - hidden)
        }
        try goesOn(crashed, told)
      }
    }
    #expect(cuts > 40)
  }

  /// After a cut: new records take the place of the lost ones, and those never come back.
  private func goesOn(_ bench: StoreBench, _ told: [LogDamage]) throws {
    let before = [bench.values(1), bench.values(2)]
    let (one, other) = (try bench.owner(1, epoch: 2), try bench.owner(2, epoch: 2))
    #expect(bench.append(one, ["\"new\""]) == nil)
    bench.makeCheckpoint()
    for number in 0..<4 { #expect(bench.append(other, ["\(number)"]) == nil) }
    let crashed = bench.crashed()
    try crashed.open()
    #expect(crashed.store.report.dropped == [])
    #expect(crashed.values(1) == before[0] + ["\"new\""])
    #expect(crashed.values(2) == before[1] + ["0", "1", "2", "3"])
  }

  @Test func `a file of the log that lost its beginning is named, and what is before it kept`()
    throws
  {
    let (bench, written) = try filled()
    let paths = bench.disk.paths(below: "lanes/")
    var found = 0
    for path in paths {
      let crashed = bench.crashed()
      crashed.disk.replace(
        path, with: [UInt8](repeating: 0, count: 512) + crashed.disk.bytes(of: path)[512...])
      guard let damage = damages(crashed).first else { continue }
      found += 1
      #expect(damage.file == path && damage.position == 0)
      try crashed.open { $0.truncatesDamaged = true }
      for shard in [1, 2] as [UInt64] {
        let values = crashed.values(shard)
        #expect(values == Array(written[shard]!.prefix(values.count)) && values.count >= 8)
      }
    }
    #expect(found >= 1)
  }

  @Test func `segments that held what was cut do not spoil what takes its place`() throws {
    let (bench, _) = try filled()
    // A checkpoint lays everything down and is killed before it is recorded.
    bench.checkpoint(of: 0).setFailure(.failed("killed"))
    bench.makeCheckpoint()
    let crashed = bench.crashed()
    crashed.checkpoint(of: 0).setFailure(nil)
    let log = try #require(
      crashed.disk.paths(below: "lanes/").first {
        damages(spoiled(crashed, $0, at: 600)).first?.losses.isEmpty == false
      })
    let cut = spoiled(crashed, log, at: 600)
    try cut.open { $0.truncatesDamaged = true }
    let owner = try cut.owner(1, epoch: 2)
    var expected = cut.values(1)
    for number in 0..<30 {
      // Of other sizes than before, so that frames begin elsewhere.
      expected.append("\"\(number)" + String(repeating: "w", count: 37 * (number % 4)) + "\"")
      #expect(cut.append(owner, [expected.last!]) == nil)
      if number % 10 == 9 { cut.makeCheckpoint() }
    }
    #expect(cut.values(1) == expected)
    for from in expected.indices {
      #expect(cut.values(1, from: UInt64(from)).first == expected[from])
    }
  }

  private func spoiled(_ bench: StoreBench, _ path: String, at position: Int) -> StoreBench {
    let copy = bench.crashed()
    copy.disk.spoil(path, at: position)
    return copy
  }

  @Test func `damage in two lanes is told and cut in both`() throws {
    let bench = StoreBench()
    try bench.open(lanes: 2)
    for shard in [4, 5] as [UInt64] {
      let owner = try bench.owner(shard)
      for number in 0..<5 { bench.append(owner, [value(shard, number)]) }
    }
    let crashed = bench.crashed()
    for lane in [0, 1] {
      let path = try #require(
        crashed.disk.paths(below: "lanes/\(lane)/").first {
          crashed.disk.bytes(of: $0).contains { $0 != 0 }
        })
      crashed.disk.spoil(path, at: 512 + 80)
    }
    #expect {
      try crashed.open(lanes: 2)
    } throws: { error in
      if case StoreOpenError.damaged(let damages) = error { damages.count == 2 } else { false }
    }
    try crashed.open(lanes: 2) { $0.truncatesDamaged = true }
    #expect(crashed.store.report.dropped.count == 2)
    for shard in [4, 5] as [UInt64] { #expect(crashed.values(shard) == [value(shard, 0)]) }
  }
}
