// The journal's bytes: read back as they were written, refused in any other form, and never a reason to trap.
import NIOCore
import Testing
import Wire

@testable import Engine

struct JournalTests {
  private static func ranges(_ random: inout Random, _ countMax: Int = 6) -> OffsetRanges {
    var ranges = OffsetRanges()
    for _ in 0..<random.below(countMax) {
      let start = Offset(UInt64(random.below(1 << 20)))
      ranges.insert(start..<(start + 1 + random.below(300)))
    }
    return ranges
  }

  private static func letter(_ random: inout Random) -> Condemned {
    Condemned(
      serial: random.next() >> 3, track: random.oneIn(3) ? nil : TrackID(UInt32(random.below(9))),
      shardIndex: random.below(9), offset: Offset(UInt64(random.below(1 << 40))),
      deliveries: random.below(20), reason: random.oneIn(2) ? "deadline" : "schlecht ✗",
      at: Timestamp(milliseconds: Int64(random.below(1 << 50)) - 7))
  }

  private static func unit(_ random: inout Random) -> UnitState {
    UnitState(
      id: random.next() >> 5,
      members: [UnitState.Members(track: TrackID(1), offsets: ranges(&random))],
      deliveries: random.below(9), failures: random.below(9),
      notBefore: Timestamp(milliseconds: Int64(random.below(1 << 44))))
  }

  private static func attempts(_ random: inout Random) -> [TrackState.Attempt] {
    (0..<random.below(5)).map { index in
      TrackState.Attempt(
        offset: Offset(UInt64(index * 7 + random.below(7))), deliveries: random.below(300),
        failures: random.below(300), notBefore: Timestamp(milliseconds: Int64(random.below(9))),
        isAlone: random.oneIn(2))
    }
  }

  private static func track(_ id: Int, _ random: inout Random) -> TrackState {
    var state = TrackState(
      track: TrackID(UInt32(id)), shardIndex: random.below(4),
      end: random.oneIn(2) ? Offset(UInt64(random.below(1 << 30))) : nil,
      only: random.oneIn(2) ? ranges(&random) : nil, floor: Offset(UInt64(random.below(1 << 30))))
    state.settled = ranges(&random)
    state.attempts = attempts(&random)
    return state
  }

  private static func changes(_ random: inout Random) -> DispatchChanges {
    var changes = DispatchChanges()
    for _ in 0..<random.below(12) {
      let track = TrackID(UInt32(random.below(5)))
      let event: DispatchEvent
      switch random.below(10) {
      case 0:
        event = .attempted(
          track,
          attempts(&random).first
            ?? .init(
              offset: .zero, deliveries: 1, failures: 0, notBefore: Timestamp(milliseconds: 0),
              isAlone: false))
      case 1: event = .condemned(letter(&random))
      case 2:
        event = .buried(
          serial: random.next() >> 9,
          at: random.oneIn(2) ? nil : BurialPlace(shard: 3, offset: Offset(12)))
      case 3:
        event = .dropped(
          track, shardIndex: 2, offset: Offset(9), deliveries: 4, reason: "no",
          at: Timestamp(milliseconds: -1))
      case 4: event = .missing(track, ranges(&random), below: Offset(5))
      case 5: event = .unitFormed(unit(&random))
      case 6:
        event = .unitTried(
          7, deliveries: 3, failures: 2, notBefore: Timestamp(milliseconds: 1_700_000_000_000))
      case 7: event = .unitEnded(random.next() >> 1)
      case 8: event = .trackAdded(Self.track(7, &random))
      default: event = .trackRemoved(track)
      }
      changes.events.append(event)
    }
    for id in 0..<random.below(4) {
      changes.settled.append(
        DispatchChanges.Settled(track: TrackID(UInt32(id)), offsets: ranges(&random)))
    }
    return changes
  }

  private static func state(_ random: inout Random) -> DispatchState {
    var state = DispatchState(places: [])
    state.tracks = (0..<random.below(5)).map { track($0, &random) }
    state.condemned = (0..<random.below(4)).map { _ in letter(&random) }
    state.units = (0..<random.below(4)).map { _ in unit(&random) }
    state.nextBurial = random.next() >> 1
    state.nextUnit = random.next() >> 1
    state.nextTrack = UInt32(random.below(1 << 31))
    for _ in 0..<random.below(4) {
      state.history.deadLetters.append(
        DispatchHistory.DeadLetter(
          serial: random.oneIn(2) ? nil : 4, shardIndex: 1, offset: Offset(8), deliveries: 2,
          reason: "x", at: Timestamp(milliseconds: 5),
          place: random.oneIn(2) ? nil : BurialPlace(shard: 0, offset: Offset(3))))
      state.history.gaps.append(
        DispatchHistory.Gap(shardIndex: 1, offsets: Offset(3)..<Offset(9)))
      state.history.failed.append(ranges(&random))
    }
    state.history.buriedCount = random.below(99)
    state.history.droppedCount = random.below(99)
    state.history.gapRecords = random.below(99)
    return state
  }

  private func read(_ record: ByteBuffer) throws -> JournalEntry {
    let result: Result<JournalEntry, JournalFault> = record.withUnsafeReadableBytes { raw in
      do throws(JournalFault) { return .success(try JournalReader.entry(raw)) } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  @Test(arguments: UInt64(0)..<200)
  func `changes are read back as they were written`(seed: UInt64) throws {
    var random = Random(seed: seed)
    let changes = Self.changes(&random)
    let records = JournalFormat.records(of: changes, bytesMax: 1 << 20)
    #expect(records.count == 1)
    #expect(try read(records[0]) == .changes(changes))
    // In small records: the same, one after the other, and what is settled comes last.
    var joined = DispatchChanges()
    for record in JournalFormat.records(of: changes, bytesMax: 40) {
      guard case .changes(let part) = try read(record) else {
        throw JournalFault(position: 0, what: "")
      }
      if !part.settled.isEmpty {
        #expect(joined.events.count + part.events.count == changes.events.count)
      }
      joined.events += part.events
      for settled in part.settled {
        if joined.settled.last?.track == settled.track {
          joined.settled[joined.settled.count - 1].offsets.formUnion(settled.offsets.ranges)
        } else {
          joined.settled.append(settled)
        }
      }
    }
    #expect(joined == changes)
  }

  @Test(arguments: UInt64(0)..<200)
  func `a snapshot is read back from its parts`(seed: UInt64) throws {
    var random = Random(seed: seed)
    let state = Self.state(&random)
    var bytes: [UInt8] = []
    let parts = JournalFormat.snapshot(of: state, partBytesMax: 1 + random.below(100))
    for (index, part) in parts.enumerated() {
      guard case .snapshotPart(index, parts.count, let some) = try read(part) else {
        throw JournalFault(position: index, what: "not this part")
      }
      bytes += some
    }
    #expect(try JournalReader.state(bytes) == state)
  }

  @Test(arguments: UInt64(0)..<60)
  func `bytes cut off or changed never trap, and never read as what they were`(seed: UInt64) {
    var random = Random(seed: seed)
    let record = JournalFormat.records(of: Self.changes(&random), bytesMax: 1 << 20)[0]
    let whole = Array(record.readableBytesView)
    var state = ByteBuffer()
    JournalFormat.write(Self.state(&random), into: &state)
    let stateBytes = Array(state.readableBytesView)
    for _ in 0..<300 {
      var bytes = whole
      bytes[random.below(bytes.count)] ^= UInt8(1 << random.below(8))
      _ = try? read(ByteBuffer(bytes: bytes))
      _ = try? read(ByteBuffer(bytes: bytes.prefix(random.below(bytes.count))))
      var other = stateBytes
      other[random.below(other.count)] = UInt8(random.below(256))
      _ = try? JournalReader.state(other)
      _ = try? JournalReader.state((0..<random.below(40)).map { _ in UInt8(random.below(256)) })
    }
    for count in stateBytes.indices {
      #expect(throws: JournalFault.self) { try JournalReader.state(Array(stateBytes[..<count])) }
    }
    #expect(throws: JournalFault.self) { try JournalReader.state(stateBytes + [0]) }
  }

  // Made from docs/formats.md alone by an encoder in another language.
  @Test func `the journal's bytes are what they were`() throws {
    let time = Timestamp(milliseconds: 1_767_225_600_000)
    var changes = DispatchChanges()
    changes.settled = [
      DispatchChanges.Settled(
        track: TrackID(0),
        offsets: OffsetRanges(merging: [Offset(4)..<Offset(7), Offset(10)..<Offset(300)]))
    ]
    changes.events = [
      .attempted(
        TrackID(0),
        TrackState.Attempt(
          offset: Offset(7), deliveries: 2, failures: 1, notBefore: time, isAlone: false)),
      .condemned(
        Condemned(
          serial: 3, track: TrackID(0), shardIndex: 0, offset: Offset(9), deliveries: 16,
          reason: "deadline", at: time)),
      .buried(serial: 2, at: BurialPlace(shard: 1, offset: Offset(5))),
    ]
    #expect(
      hex(JournalFormat.records(of: changes, bytesMax: 1 << 20)[0]) == """
        0101010002040303a202010007020180a0d5edee66000203010000091008646561646c\
        696e6580a0d5edee660302010105
        """)
    var state = DispatchState(places: [Offset(100)])
    state.tracks[0].settled = OffsetRanges(Offset(102)..<Offset(104))
    state.tracks[0].attempts = [
      TrackState.Attempt(
        offset: Offset(101), deliveries: 1, failures: 1, notBefore: Timestamp(milliseconds: 0),
        isAlone: true)
    ]
    state.tracks.append(
      TrackState(
        track: TrackID(1), shardIndex: 0, end: Offset(50),
        only: OffsetRanges(Offset(8)..<Offset(9)), floor: Offset(8)))
    state.units = [
      UnitState(
        id: 6,
        members: [
          UnitState.Members(
            track: TrackID(0), offsets: OffsetRanges(Offset(105)..<Offset(107)))
        ], deliveries: 1, failures: 1, notBefore: time)
    ]
    (state.nextBurial, state.nextUnit, state.nextTrack) = (3, 7, 2)
    state.history.deadLetters = [
      DispatchHistory.DeadLetter(
        serial: 2, shardIndex: 0, offset: Offset(8), deliveries: 16, reason: "term", at: time,
        place: BurialPlace(shard: 0, offset: Offset(1)))
    ]
    (state.history.buriedCount, state.history.droppedCount) = (3, 1)
    state.history.gaps = [DispatchHistory.Gap(shardIndex: 0, offsets: Offset(2)..<Offset(5))]
    state.history.gapRecords = 3
    state.history.failed = [OffsetRanges(Offset(8)..<Offset(9))]
    #expect(
      hex(JournalFormat.snapshot(of: state, partBytesMax: 1 << 20)[0]) == """
        010200010200000064016602016501010001010003320108010800000001060100016902010180a0d5ed\
        ee66030702010102000810047465726d80a0d5edee660100010301010002030301010801
        """)
  }

  private func hex(_ buffer: ByteBuffer) -> String {
    buffer.readableBytesView.map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }
}
