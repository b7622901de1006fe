// What every log store promises, whatever stands behind it.
import Engine
import Testing
import Wire

@Suite struct LogStoreContract {
  private func withStore(
    _ kind: LogStoreKind, _ body: (any LogStoreFixture, any LogStore) async throws -> any LogStore
  ) async throws {
    let fixture = try kind.make()
    let last = try await body(fixture, fixture.open())
    await fixture.close(last)
  }

  private func withStore(_ kind: LogStoreKind, _ body: (any LogStore) async throws -> Void)
    async throws
  {
    try await withStore(kind) { _, store in
      try await body(store)
      return store
    }
  }

  private func reopened(_ store: any LogStore, _ fixture: any LogStoreFixture) async throws
    -> any LogStore
  {
    await fixture.close(store)
    return try await fixture.open()
  }

  @Test(arguments: LogStoreKind.all)
  func `what was appended is read back in order`(kind: LogStoreKind) async throws {
    try await withStore(kind) { store in
      let (shard, recovery) = try await Session.open(store, 5)
      #expect(recovery.summary == ShardSummary(earliest: .zero, tail: .zero, bytes: 0))
      #expect(recovery.stamps == [])
      var written: [String] = []
      for batch in 0..<60 {
        let values = (0...(batch % 4)).map { "{\"batch\":\(batch),\"place\":\($0)}" }
        #expect(await shard.append(values) == nil)
        written += values
      }
      #expect(try await shard.values(from: 0) == written)
      #expect(try await shard.values(from: 0, bytesMax: 300) == written)
      #expect(try await shard.values(from: 77, bytesMax: 1) == Array(written[77...]))
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `the client hears of every frame once and in order`(kind: LogStoreKind) async throws {
    try await withStore(kind) { store in
      let (shard, _) = try await Session.open(store, 1)
      await shard.appendEach((0..<200).map { "\($0)" })
      var next = Offset.zero
      for word in await shard.on({ $0.heard }) {
        guard case .committed(let offsets) = word else {
          Issue.record("\(word)")
          continue
        }
        #expect(offsets.lowerBound == next)
        next = offsets.upperBound
      }
      #expect(next == Offset(200))
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `reads at the tail, beyond it and in unknown shards say so`(kind: LogStoreKind)
    async throws
  {
    try await withStore(kind) { store in
      let (shard, _) = try await Session.open(store, 2)
      #expect(await shard.read(from: 0).name == "at tail")
      await shard.append(["1", "2"])
      #expect(await shard.read(from: 2).name == "at tail")
      #expect(await shard.read(from: 3).name == "beyond tail 2")
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `a read brings whole frames, one at least`(kind: LogStoreKind) async throws {
    try await withStore(kind) { store in
      let (shard, _) = try await Session.open(store, 3)
      let long = String(repeating: "7", count: 3000)
      await shard.append(["1", "2", "3"])
      await shard.append([long, "5"])
      await shard.append(["6"])
      #expect(await shard.read(from: 1, bytesMax: 1).name == "frames 0 to 3")
      #expect(await shard.read(from: 4, bytesMax: 10).name == "frames 3 to 5")
      #expect(try await shard.values(from: 3) == [long, "5", "6"])
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `a store opened again has every record and knows its shards`(kind: LogStoreKind)
    async throws
  {
    try await withStore(kind) { fixture, store in
      var store = store
      for round in 0..<3 {
        for id in 0..<4 as Range<UInt64> {
          let (shard, recovery) = try await Session.open(store, id, epoch: UInt64(round) + 1)
          let tail = UInt64(round) * (id + 1)
          #expect(recovery.summary.tail == Offset(tail))
          #expect(store.recovered[ShardID(id)]?.tail ?? .zero == Offset(tail))
          if round > 0 { #expect(recovery.lastTimestamp.milliseconds == 1000 + Int64(round)) }
          for place in 0...id {
            await shard.append(["\"\(round) \(place)\""], at: 1001 + Int64(round))
          }
        }
        store = try await reopened(store, fixture)
      }
      for id in 0..<4 as Range<UInt64> {
        let (shard, _) = try await Session.open(store, id, epoch: 9)
        let written = (0..<3).flatMap { round in (0...id).map { "\"\(round) \($0)\"" } }
        #expect(try await shard.values(from: 0) == written)
      }
      return store
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `a lower epoch is fenced, also after the store was opened again`(kind: LogStoreKind)
    async throws
  {
    try await withStore(kind) { fixture, first in
      let (shard, _) = try await Session.open(first, 8, epoch: 7)
      await #expect(throws: LogError.fenced(by: Epoch(7))) {
        try await Session.open(first, 8, epoch: 6)
      }
      await shard.append(["1"])
      let second = try await reopened(first, fixture)
      await #expect(throws: LogError.fenced(by: Epoch(7))) {
        try await Session.open(second, 8, epoch: 6)
      }
      return second
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `a new owner takes over where the former one was heard last`(kind: LogStoreKind)
    async throws
  {
    try await withStore(kind) { store in
      let (former, _) = try await Session.open(store, 4, epoch: 1)
      await former.append(["1"])
      let (owner, recovery) = try await Session.open(store, 4, epoch: 2)
      #expect(recovery.summary.tail == Offset(1))
      #expect(await former.on { $0.heard.last } == .undecided(.fenced(by: Epoch(2))))
      await former.on { $0.append(["\"too late\""]) }
      #expect(await owner.append(["2"]) == nil)
      #expect(try await owner.values(from: 0) == ["1", "2"])
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `trimmed records are gone at once and stay gone`(kind: LogStoreKind) async throws {
    try await withStore(kind) { fixture, first in
      let (shard, _) = try await Session.open(first, 6)
      await shard.appendEach((0..<100).map { "\($0)" })
      #expect(await shard.trim(before: 40) == nil)
      #expect(await shard.read(from: 39).name == "trimmed up to 40")
      #expect(try await shard.values(from: 40) == (40..<100).map { "\($0)" })
      guard case .trimmed(Offset(40), let bytes) = await shard.on({ $0.heard.last }) else {
        Issue.record("the trim was not heard")
        return first
      }
      #expect(bytes > 0)
      let second = try await reopened(first, fixture)
      let (again, recovery) = try await Session.open(second, 6, epoch: 2)
      #expect(recovery.summary.earliest == Offset(40) && recovery.summary.tail == Offset(100))
      #expect(await again.trim(before: 100) == nil)
      #expect(await again.read(from: 100).name == "at tail")
      #expect(await again.append(["100"]) == nil)
      #expect(try await again.values(from: 100) == ["100"])
      let third = try await reopened(second, fixture)
      #expect(third.recovered[ShardID(6)]?.earliest == Offset(100))
      #expect(third.recovered[ShardID(6)]?.tail == Offset(101))
      return third
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `a time is found at the first record that is not older`(kind: LogStoreKind) async throws {
    try await withStore(kind) { store in
      let (shard, _) = try await Session.open(store, 9)
      for place in 0..<80 as Range<Int64> {
        await shard.append(["\(place)"], at: 1000 + place * 10)
      }
      for place in [0, 1, 17, 40, 63, 79] as [Int64] {
        #expect(await shard.find(1000 + place * 10) == .success(Offset(UInt64(place))))
        #expect(await shard.find(1000 + place * 10 - 9) == .success(Offset(UInt64(place))))
      }
      #expect(await shard.find(1791) == .success(Offset(80)))
      #expect(await shard.trim(before: 30) == nil)
      #expect(await shard.find(0) == .success(Offset(30)))
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `stamps come back in offset order, five of each producer`(kind: LogStoreKind) async throws {
    try await withStore(kind) { fixture, store in
      var store = store
      let now = SystemTime().now.milliseconds
      for round in 0..<3 as Range<UInt64> {
        let (shard, recovery) = try await Session.open(store, 11, epoch: round + 1)
        let offsets = recovery.stamps.map(\.offsets.lowerBound)
        #expect(offsets == offsets.sorted())
        if round > 0 {
          let sequences = recovery.stamps.compactMap(\.extras.producer).filter { $0.id == "p" }
            .map(\.sequence)
          #expect(sequences.suffix(5) == Array(0..<round * 4).suffix(5))
          let keys = recovery.stamps.compactMap(\.extras.idempotencyKey)
          #expect(Set(keys) == Set((0..<round).map { "key \($0)" }))
          let last = try #require(recovery.stamps.last)
          #expect(last.extras == .key("key \(round - 1)"))
          #expect(last.offsets == Offset(round * 6 - 1)..<Offset(round * 6))
          #expect(last.timestamp.milliseconds == now)
        }
        for sequence in (round * 4)..<(round * 4 + 4) {
          await shard.append(["1"], extras: .producer("p", sequence), at: now)
        }
        await shard.append(["2"], at: now)
        await shard.append(["3"], extras: .key("key \(round)"), at: now)
        store = try await reopened(store, fixture)
      }
      return store
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `a removed shard is forgotten and its neighbours are not`(kind: LogStoreKind) async throws {
    try await withStore(kind) { fixture, first in
      let (gone, _) = try await Session.open(first, 12)
      let (kept, _) = try await Session.open(first, 14)
      await gone.appendEach((0..<50).map { "\($0)" })
      await kept.appendEach((0..<50).map { "\($0)" })
      await gone.on { $0.store.remove($0.shard) }
      #expect(await kept.append(["50"]) == nil)
      let second = try await reopened(first, fixture)
      #expect(second.recovered[ShardID(12)] == nil)
      let (again, _) = try await Session.open(second, 14, epoch: 2)
      #expect(try await again.values(from: 0) == (0...50).map { "\($0)" })
      return second
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `nothing young expires, and what expires leaves no more than it must`(kind: LogStoreKind)
    async throws
  {
    try await withStore(kind) { store in
      let (shard, _) = try await Session.open(store, 13)
      for place in 0..<50 as Range<Int64> { await shard.append(["\(place)"], at: place * 1000) }
      let expired = { (retention: Retention, now: Int64) in
        await shard.on {
          $0.store.expired($0.shard, policy: retention, now: Timestamp(milliseconds: now))
        }
      }
      #expect(await expired(Retention(age: nil, bytes: nil), 1 << 50) == nil)
      #expect(await expired(Retention(age: .seconds(100), bytes: nil), 60_000) == nil)
      #expect(await expired(Retention(age: nil, bytes: 1 << 40), 60_000) == nil)
      // What may go is older than the age: the store says how much of it lies in whole segments.
      if let cut = await expired(Retention(age: .seconds(20), bytes: nil), 60_000) {
        #expect(cut <= Offset(40))
        #expect(await shard.trim(before: cut.rawValue) == nil)
        #expect(try await shard.values(from: cut.rawValue).last == "49")
      }
    }
  }

  @Test(arguments: LogStoreKind.all)
  func `many shards append at once and each keeps its own order`(kind: LogStoreKind) async throws {
    try await withStore(kind) { store in
      try await withThrowingTaskGroup { group in
        for id in 100..<140 as Range<UInt64> {
          group.addTask {
            let (shard, _) = try await Session.open(store, id)
            for round in 0..<5 {
              await shard.appendEach((0..<4).map { "\"\(id) \(round) \($0)\"" })
            }
            let written = (0..<5).flatMap { round in (0..<4).map { "\"\(id) \(round) \($0)\"" } }
            #expect(try await shard.values(from: 0, bytesMax: 500) == written)
          }
        }
        try await group.waitForAll()
      }
    }
  }
}
