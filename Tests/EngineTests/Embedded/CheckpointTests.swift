// Checkpoints and segments: whatever fails in them, records stay; what is spoiled is named; space comes back.
import Engine
import Testing
import Wire

@Suite struct `Checkpoints and segments` {
  private func value(_ number: Int) -> String {
    "\"\(number) " + String(repeating: "v", count: 60 + number % 4 * 70) + "\""
  }

  /// `count` records of one shard, the first `flushed` of them in segments.
  private func filled(_ count: Int, flushed: Int) throws -> (StoreBench, Owner, [String]) {
    let bench = try StoreBench.opened()
    let owner = try bench.owner(1)
    var written: [String] = []
    for number in 0..<count {
      if number == flushed { bench.makeCheckpoint() }
      written.append(value(number))
      #expect(bench.append(owner, [written.last!]) == nil)
    }
    if count == flushed { bench.makeCheckpoint() }
    return (bench, owner, written)
  }

  @Test func `any operation of a checkpoint may fail: nothing is lost, and the next one succeeds`()
    throws
  {
    for number in 0... {
      let (bench, owner, written) = try filled(24, flushed: 8)
      #expect(bench.trim(owner, before: 6) == nil)
      let countdown = Countdown(number)
      bench.disk.setFault { _, _ in countdown.isOver() ? .inputOutput : nil }
      bench.makeCheckpoint()
      let wasReached = countdown.left < 0
      bench.disk.setFault(nil)
      let crashed = bench.crashed()
      try crashed.open()
      #expect(crashed.values(1, from: 6) == Array(written[6...]), "operation \(number)")
      #expect(bench.values(1, from: 6) == Array(written[6...]))
      bench.turns.advance(by: .seconds(30))
      #expect(bench.append(owner, ["\"more\""]) == nil)
      bench.makeCheckpoint()
      #expect(bench.values(1, from: 6) == Array(written[6...]) + ["\"more\""])
      if !wasReached { break }
      #expect(number < 200)
    }
  }

  @Test func `a checkpoint that may not have been recorded comes before anything else`() throws {
    let (bench, owner, written) = try filled(10, flushed: 4)
    bench.checkpoint(of: 0).setFailure(.undecided("the commit went wrong"))
    bench.makeCheckpoint()
    #expect(bench.append(owner, ["\"a\""]) == nil)
    #expect(bench.values(1) == written + ["\"a\""])
    bench.checkpoint(of: 0).setFailure(nil)
    bench.turns.advance(by: .seconds(30))
    let crashed = bench.crashed()
    try crashed.open()
    #expect(crashed.store.report.replayedFrames == 0)
    #expect(crashed.values(1) == written + ["\"a\""])
  }

  @Test func `a log that no checkpoint empties stops appends and says why`() throws {
    let (bench, owner, _) = try filled(4, flushed: 4)
    bench.disk.setFault { operation, path in
      operation == "write" && path.hasPrefix("shards/") ? .inputOutput : nil
    }
    var accepted = 0
    for number in 0..<200 where bench.room(1) > 0 {
      if bench.append(owner, [value(number)]) == nil { accepted += 1 } else { break }
    }
    #expect(accepted > 20 && accepted < 199)
    bench.turns.advance(by: .seconds(5))
    let reason = try #require(bench.store.unready)
    #expect(reason.contains("no checkpoint succeeds") && reason.contains("shards/"))
    guard case .undecided(.device(let told)) = owner.heard.last else {
      Issue.record("who waits for room must hear that there is none: \(owner.heard.suffix(2))")
      return
    }
    #expect(told.contains("no checkpoint succeeds"))
    #expect(bench.values(1).count >= accepted + 4, "reads go on")
    bench.disk.setFault(nil)
    bench.turns.advance(by: .seconds(5))
    #expect(bench.store.unready == nil)
    #expect(bench.append(owner, ["\"again\""]) == nil)
  }

  @Test func `on a disk that is full to the last byte, trimming still makes room`() throws {
    let (bench, owner, written) = try filled(30, flushed: 30)
    let other = try bench.owner(2)
    bench.append(other, ["\"other\""])
    // Nothing can be written to segments until something is removed there.
    let removals = Countdown(0)
    bench.disk.setFreeBytes(0)
    bench.disk.setFault { operation, path in
      guard path.hasPrefix("shards/") else { return nil }
      if operation == "remove" { _ = removals.isOver() }
      return operation == "write" && removals.left == 0 ? .full : nil
    }
    bench.makeCheckpoint()
    #expect(bench.store.unready == "the disk is full")
    #expect(bench.append(owner, ["1"]) == .full)
    #expect(bench.values(1) == written && bench.values(2) == ["\"other\""])
    #expect(bench.trim(owner, before: 25) == nil, "trims are the way out")
    bench.makeCheckpoint()
    #expect(removals.left < 0)
    bench.disk.setFreeBytes(1 << 30)
    bench.turns.advance(by: .seconds(5))
    #expect(bench.store.unready == nil)
    #expect(bench.append(owner, ["1"]) == nil)
    let crashed = bench.crashed()
    try crashed.open()
    #expect(crashed.values(1, from: 25) == Array(written[25...]) + ["1"])
    #expect(crashed.values(2) == ["\"other\""])
  }

  @Test func `a full disk gets back the log files that nobody needs`() throws {
    let (bench, owner, written) = try filled(200, flushed: 200)
    let files = { bench.disk.paths(below: "lanes/0/").count }
    #expect(files() > 2)
    bench.disk.setFreeBytes(0)
    #expect(bench.append(owner, ["1"]) == nil)
    bench.makeCheckpoint()
    #expect(bench.store.unready == "the disk is full")
    #expect(files() == 2, "the one that is written, and the next")
    #expect(bench.trim(owner, before: 100) == nil)
    bench.disk.setFreeBytes(1 << 30)
    bench.turns.advance(by: .seconds(5))
    for number in 0..<200 { #expect(bench.append(owner, [value(number)]) == nil) }
    #expect(files() > 2)
    let crashed = bench.crashed()
    try crashed.open()
    #expect(crashed.values(1, from: 100).prefix(101) == (written[100...] + ["1"])[...])
  }

  @Test
  func `what must stay free grows with the lanes: each log is still to be laid into segments`()
    throws
  {
    for (lanes, isFull) in [(1, false), (2, true)] {
      let bench = StoreBench()
      bench.disk.setFreeBytes(StoreBench.options.reserveBytes * 3 / 2)
      try bench.open(lanes: lanes)
      #expect((bench.store.unready != nil) == isFull)
      bench.disk.setFreeBytes(StoreBench.options.reserveBytes * 3)
      bench.turns.advance(by: .seconds(5))
      #expect(bench.store.unready == nil)
    }
  }

  @Test func `a disk that fills while checkpoints are recorded is a full disk`() throws {
    let (bench, owner, _) = try filled(10, flushed: 4)
    bench.disk.setFreeBytes(0)
    bench.checkpoint(of: 0).setFailure(.failed("database or disk is full"))
    bench.makeCheckpoint()
    #expect(bench.append(owner, ["1"]) == .full)
    bench.checkpoint(of: 0).setFailure(nil)
    bench.disk.setFreeBytes(1 << 30)
    bench.turns.advance(by: .seconds(5))
    #expect(bench.append(owner, ["1"]) == nil)
  }

  @Test func `retention lets whole segments go, by age and by bytes`() throws {
    let bench = try StoreBench.opened()
    let owner = try bench.owner(1)
    let expired = { (policy: Retention) in
      bench.turns.on(bench.executor(of: 1)) {
        bench.store.expired(ShardID(1), policy: policy, now: bench.turns.time.now)
      }
    }
    let policy = Retention(age: .seconds(800), bytes: nil)
    _ = expired(policy)
    for number in 0..<40 {
      #expect(bench.append(owner, [value(number)]) == nil)
      bench.turns.advance(by: .seconds(30))
    }
    let files = bench.disk.paths(below: "shards/").filter { $0.hasSuffix(".seg") }.count
    let cut = try #require(expired(policy))
    // 1,200 s have passed; what is older than 800 s may go, and a segment spans an eighth of that.
    #expect(cut.rawValue <= 14 && cut.rawValue >= 8)
    #expect(bench.trim(owner, before: cut.rawValue) == nil)
    #expect(expired(policy) == nil)
    bench.makeCheckpoint()
    let left = bench.disk.paths(below: "shards/").filter { $0.hasSuffix(".seg") }.count
    #expect(left < files)
    let surplus = try #require(expired(Retention(age: nil, bytes: 3000)))
    #expect(bench.trim(owner, before: surplus.rawValue) == nil)
    #expect(expired(Retention(age: nil, bytes: 3000)) == nil)
    guard case .trimmed(_, let bytes) = owner.heard.last else {
      Issue.record("\(owner.heard)")
      return
    }
    #expect(bytes >= 3000 && bytes < 3000 + 2048)
    bench.makeCheckpoint()
    let crashed = bench.crashed()
    try crashed.open()
    #expect(crashed.values(1, from: surplus.rawValue).count == 40 - Int(surplus.rawValue))
  }

  @Test func `a trim survives a crash at once, before any checkpoint`() throws {
    let (bench, owner, written) = try filled(20, flushed: 12)
    #expect(bench.trim(owner, before: 15) == nil)
    let crashed = bench.crashed()
    try crashed.open()
    #expect(crashed.read(1, from: 14).name == "trimmed up to 15")
    #expect(crashed.values(1, from: 15) == Array(written[15...]))
  }

  // MARK: Spoiled segments

  @Test func `a flipped bit in a segment is named when it is read; the rest goes on`() throws {
    let (bench, _, written) = try filled(40, flushed: 40)
    let neighbour = try bench.owner(2)
    bench.append(neighbour, ["\"fine\""])
    bench.makeCheckpoint()
    let paths = bench.disk.paths(below: "shards/0/1/").filter { $0.hasSuffix(".seg") }
    #expect(paths.count > 2)
    for path in paths {
      let size = bench.disk.bytes(of: path).count
      for position in stride(from: 0, to: size, by: 41) {
        let crashed = bench.crashed()
        crashed.disk.spoil(path, at: position)
        try crashed.open()
        var failed = 0
        for offset in written.indices {
          switch crashed.read(1, from: UInt64(offset), bytesMax: 1) {
          case .frames(let chunk):
            #expect(chunk.values(from: Offset(UInt64(offset))).first == written[offset])
          case .failed(.damaged(let file, _, _)):
            failed += 1
            #expect(file == path)
          case let other: Issue.record("offset \(offset): \(other.name)")
          }
        }
        #expect(failed > 0, "\(path) \(position)")
        #expect(crashed.values(2) == ["\"fine\""])
        let owner = try crashed.owner(1, epoch: 2)
        #expect(crashed.append(owner, ["\"goes on\""]) == nil)
      }
    }
  }

  @Test func `an index is never believed: spoiled, stale or gone, reads are the same`() throws {
    let (bench, _, written) = try filled(40, flushed: 40)
    for path in bench.disk.paths(below: "shards/").filter({ $0.hasSuffix(".idx") }) {
      let bytes = bench.disk.bytes(of: path)
      for position in stride(from: 0, to: bytes.count, by: 7) {
        let crashed = bench.crashed()
        crashed.disk.spoil(path, at: position)
        try crashed.open()
        for offset in stride(from: 0, to: 40, by: 7) {
          #expect(crashed.values(1, from: UInt64(offset)) == Array(written[offset...]))
        }
      }
      let gone = bench.crashed()
      try gone.disk.remove(path)
      try gone.open()
      #expect(gone.values(1) == written)
    }
  }

  @Test func `a segment that is missing or short is damage, not a trim`() throws {
    let (bench, _, written) = try filled(40, flushed: 40)
    let path = try #require(bench.disk.paths(below: "shards/").first { $0.hasSuffix(".seg") })
    for size in [0, 100, nil] as [Int?] {
      let crashed = bench.crashed()
      if let size {
        crashed.disk.replace(path, with: Array(crashed.disk.bytes(of: path).prefix(size)))
      } else {
        try crashed.disk.remove(path)
      }
      try crashed.open()
      guard case .failed(.damaged(let file, _, _)) = crashed.read(1, from: 0, bytesMax: 1) else {
        Issue.record("\(crashed.read(1, from: 0).name)")
        continue
      }
      #expect(file == path)
      #expect(crashed.values(1, from: 39) == [written[39]])
    }
  }
}
