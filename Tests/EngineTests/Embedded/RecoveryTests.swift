// Coming up after a crash: torn writes, recycled files, flipped bits, and names that were not durable.
import Engine
import Testing
import Wire

@Suite struct `Recovery` {
  /// Frames of a few hundred bytes, so that the tiny log files go round quickly.
  private func value(_ number: Int) -> String {
    "\"\(number) " + String(repeating: "x", count: 150 + number % 5 * 130) + "\""
  }

  /// A store whose log files were recycled several times; its owner, and all that it appended.
  private func wornBench(_ frames: Int = 60) throws -> (StoreBench, Owner, [String]) {
    let bench = try StoreBench.opened()
    let owner = try bench.owner(1)
    var written: [String] = []
    for number in 0..<frames {
      written.append(value(number))
      #expect(bench.append(owner, [written.last!]) == nil)
    }
    return (bench, owner, written)
  }

  private func logs(_ bench: StoreBench) -> [String: [UInt8]] {
    Dictionary(
      uniqueKeysWithValues: bench.disk.paths(below: "lanes/").map { ($0, bench.disk.bytes(of: $0)) }
    )
  }

  /// The one log file that differs, and the stretch that was written.
  private func difference(_ before: [String: [UInt8]], _ after: [String: [UInt8]]) throws -> (
    path: String, range: Range<Int>
  ) {
    let path = try #require(
      before.keys.sorted().first { before[$0] != after[$0] })
    let (old, new) = (try #require(before[path]), try #require(after[path]))
    let changed = new.indices.filter { old[$0] != new[$0] }
    let start = try #require(changed.first) / 512 * 512
    return (path, start..<(try #require(changed.last) + 1))
  }

  @Test(arguments: [0, 13, 29, 60])
  func `a last group torn at any byte is not there, and everything before it is`(frames: Int) throws
  {
    let (bench, owner, written) = try wornBench(frames)
    let before = logs(bench)
    #expect(bench.append(owner, ["\"a\"", value(frames)]) == nil)
    let after = logs(bench)
    let (path, range) = try difference(before, after)
    for cut in range {
      let crashed = bench.crashed()
      crashed.disk.replace(path, with: Array(after[path]![..<cut] + before[path]![cut...]))
      try crashed.open()
      #expect(crashed.values(1) == written, "cut at \(cut)")
    }
    let whole = bench.crashed()
    try whole.open()
    #expect(whole.values(1) == written + ["\"a\"", value(frames)])
  }

  @Test func `sectors of a torn group may reach the disk in any order`() throws {
    let (bench, owner, written) = try wornBench()
    let before = logs(bench)
    #expect(bench.append(owner, (0..<8).map { value($0) }) == nil)
    let after = logs(bench)
    let (path, range) = try difference(before, after)
    let sectors = Array(stride(from: range.lowerBound, to: range.upperBound, by: 512))
    #expect(sectors.count >= 4)
    for missing in 1..<(1 << sectors.count) {
      var bytes = after[path]!
      for (index, start) in sectors.enumerated() where missing >> index & 1 == 1 {
        bytes.replaceSubrange(start..<(start + 512), with: before[path]![start..<(start + 512)])
      }
      let crashed = bench.crashed()
      crashed.disk.replace(path, with: bytes)
      try crashed.open()
      #expect(crashed.values(1) == written, "without sectors \(missing)")
    }
  }

  @Test func `a stale frame of a recycled file never comes back`() throws {
    let bench = try StoreBench.opened()
    var written: [UInt64: [String]] = [:]
    let owners = try (1...3).map { try bench.owner($0) }
    var random = Random(seed: 11)
    for number in 0..<250 {
      let owner = owners[Int(random.next() % 3)]
      let size = Int(random.next() % 900)
      let record = "\"\(number) " + String(repeating: "y", count: size) + "\""
      #expect(bench.append(owner, [record]) == nil)
      written[owner.shard.rawValue, default: []].append(record)
      if random.next() % 9 == 0 { bench.makeCheckpoint() }
      guard number % 3 == 0 else { continue }
      let crashed = bench.crashed()
      try crashed.open()
      for (shard, records) in written { #expect(crashed.values(shard) == records) }
    }
    let used = bench.disk.paths(below: "lanes/").count
    #expect(used <= StoreBench.options.walFilesPerLane, "the files were recycled, not added to")
  }

  @Test func `the same store opened again and again without a word stays the same`() throws {
    let (bench, _, written) = try wornBench(33)
    var last = bench
    for _ in 0..<8 {
      last = last.crashed()
      try last.open()
      #expect(last.values(1) == written)
    }
  }

  @Test func `a flipped bit in the log is found, or harmless; what is read is true either way`()
    throws
  {
    let (bench, _, written) = try wornBench(9)
    let log = logs(bench)
    var refused = 0
    var shortened = 0
    for (path, bytes) in log.sorted(by: { $0.key < $1.key }) {
      for position in stride(from: 0, to: bytes.count, by: 5) {
        let crashed = bench.crashed()
        crashed.disk.spoil(path, at: position, by: 1 << (position / 5 % 8))
        do throws(StoreOpenError) {
          try crashed.open()
          let found = crashed.values(1)
          // The last group may never have been synced: a flaw there cannot be told from a torn write.
          #expect(found == written || found == written.dropLast(), "\(path) \(position)")
          if found != written { shortened += 1 }
        } catch {
          refused += 1
          guard case .damaged(let damages) = error, let damage = damages.first else {
            Issue.record("\(path) \(position): \(error)")
            continue
          }
          #expect(damages.count == 1 && damage.file == path)
          #expect(damage.position <= position && position < damage.position + 1536)
        }
      }
    }
    #expect(refused > 300 && shortened > 30)
  }

  @Test func `the last group is written anew at start: the page cache is not believed`() throws {
    let (bench, _, written) = try wornBench(5)
    let crashed = bench.crashed()
    crashed.disk.forgetOperations()
    let before = logs(crashed)
    try crashed.open()
    let changed = logs(crashed).filter { path, bytes in
      before[path] != bytes && bytes.contains { $0 != 0 }
    }
    #expect(changed.count == 1)
    let path = try #require(changed.keys.first)
    #expect(before[path]?.contains { $0 != 0 } != true, "another file than where it was")
    #expect(crashed.disk.operations.contains("sync \(path)"))
    #expect(crashed.values(1) == written)
  }

  /// A store killed with a log that no checkpoint could empty, and what was acknowledged.
  private func stuckBench() throws -> (StoreBench, [String]) {
    let bench = try StoreBench.opened()
    let owner = try bench.owner(1)
    bench.disk.setFault(refusesSegments)
    var written: [String] = []
    while bench.room(1) > 0, bench.append(owner, [value(written.count)]) == nil {
      written.append(value(written.count))
    }
    return (bench.crashed(), written)
  }

  private let refusesSegments: MemoryDisk.Fault = { operation, path in
    operation == "write" && path.hasPrefix("shards/") ? .inputOutput : nil
  }

  @Test func `a start with a full log is ready before that lies in segments`() throws {
    let (bench, written) = try stuckBench()
    let files = { bench.disk.paths(below: "lanes/0/").count }
    #expect(files() == StoreBench.options.walFilesPerLane)
    bench.disk.setFault(refusesSegments)
    try bench.open()
    let owner = try bench.owner(1, epoch: 2)
    #expect(bench.append(owner, ["\"at once\""]) == nil)
    #expect(bench.values(1) == written + ["\"at once\""])
    let again = bench.crashed()
    try again.open()
    #expect(again.values(1) == written + ["\"at once\""])

    bench.disk.setFault(nil)
    bench.turns.advance(by: .seconds(5))
    for number in 0..<60 { #expect(bench.append(owner, [value(number)]) == nil) }
    bench.makeCheckpoint()
    #expect(files() <= StoreBench.options.walFilesPerLane, "the one beyond the limit is gone")
  }

  @Test func `with a full log and a full disk a start lays the log down first`() throws {
    let (bench, written) = try stuckBench()
    bench.disk.setFault { operation, _ in operation == "prewrite" ? .full : nil }
    try bench.open()
    #expect(bench.values(1) == written)
    #expect(bench.store.report.replayedFrames > 0)
  }

  @Test func `names that a killed process left are made durable before anything relies on them`()
    throws
  {
    let (bench, _, _) = try wornBench(5)
    let crashed = bench.crashed()
    crashed.disk.forgetOperations()
    try crashed.open()
    let operations = crashed.disk.operations
    let firstWrite = operations.firstIndex { $0.hasPrefix("write") } ?? operations.count
    for directory in ["lanes/0", "lanes", ""] {
      let synced = operations.firstIndex(of: "syncDirectory \(directory)")
      #expect(try #require(synced) < firstWrite)
    }
  }

  @Test func `any operation of a start may fail, and the next start has everything`() throws {
    let (bench, _, written) = try wornBench(9)
    for number in 0... {
      let crashed = bench.crashed()
      let countdown = Countdown(number)
      crashed.disk.setFault { _, _ in countdown.isOver() ? .inputOutput : nil }
      try? crashed.open()
      let wasReached = countdown.left < 0
      crashed.disk.setFault(nil)
      let next = crashed.crashed()
      try next.open()
      #expect(next.values(1) == written, "operation \(number)")
      if !wasReached { break }
      #expect(number < 500)
    }
  }

  @Test func `checkpoints older than the log are refused, and nothing may be cut`() throws {
    let (bench, _, _) = try wornBench()
    let crashed = StoreBench(disk: bench.disk.copy())
    #expect {
      try crashed.open { $0.truncatesDamaged = true }
    } throws: { error in
      guard case StoreOpenError.mismatched(let file, _) = error else { return false }
      return file.hasPrefix("lanes/0/")
    }
  }

  @Test func `a catalog that never heard of a shard with records is refused`() throws {
    let (bench, _, written) = try wornBench(9)
    for isCheckpointed in [false, true] {
      if isCheckpointed { bench.makeCheckpoint() }
      let crashed = bench.crashed()
      #expect {
        try crashed.open(liveShards: isCheckpointed ? [] : [ShardID(1)]) {
          $0.shardsBelow = ShardID(1)
        }
      } throws: { error in
        if case StoreOpenError.mismatched("catalog.db", _) = error { true } else { false }
      }
      try crashed.open(liveShards: [ShardID(1)]) { $0.shardsBelow = ShardID(2) }
      #expect(crashed.values(1) == written)
    }
  }

  @Test func `records that deleted streams left are removed`() throws {
    let (bench, _, _) = try wornBench()
    bench.makeCheckpoint()
    let crashed = bench.crashed()
    try crashed.open(liveShards: []) { $0.shardsBelow = ShardID(2) }
    #expect(crashed.store.report.removedShards == [ShardID(1)])
    crashed.makeCheckpoint()
    #expect(crashed.disk.paths(below: "shards/") == [])
  }
}
