// Live tails under chance: readers of every kind come, stall and go while shards grow; each must get exactly its part.
import Testing
import Wire

@testable import Engine
@testable import Gateway

@Suite struct TailHubRandomTests {
  private struct Reader {
    let exchange: FakeExchange
    let places: [UInt64]
    let shape: LiveShape
    let key: String?
    let limit: Int?
    let shardIndex: Int?
    var isGone = false
  }

  @Test(arguments: UInt64(1)...30)
  func `every reader gets every record once and in order`(seed: UInt64) throws {
    var random = Random(seed: seed)
    var settings = TailSettings()
    settings.sliceReadersMax = 1 + random.below(5)
    settings.unsentBytesMax = 200 + random.below(2000)
    settings.feedBytesMax = 300 + random.below(3000)
    settings.roundBytesMax = 200 + random.below(2000)
    settings.pendingBytesMax = 1000 + random.below(8000)
    let stage = LiveStage(shards: 1 + random.below(4), settings: settings)
    stage.log.repliesAtOnce = random.oneIn(3)
    // Of each record by shard and offset.
    var keys: [[String?]] = Array(repeating: [], count: stage.stream.shards.count)
    var readers: [Reader] = []

    func append() {
      let shard = random.below(keys.count)
      let key: String? = random.oneIn(3) ? nil : random.oneIn(2) ? "a" : "b"
      let count = 1 + random.below(6)
      stage.log.append(
        (0..<count).map { "{\"n\":\($0)}" }, key: key, to: stage.stream.shards[shard])
      for _ in 0..<count { keys[shard].append(key) }
    }

    for _ in 0..<random.below(30) { append() }
    for _ in 0..<400 {
      switch random.below(10) {
      case 0 where readers.count < 25: readers.append(makeReader(stage, keys, &random))
      case 1: if !readers.isEmpty { readers[random.below(readers.count)].exchange.takes.toggle() }
      case 2: if let reader = readers.randomElement(using: &random) { reader.exchange.drain() }
      case 3 where random.oneIn(4):
        if !readers.isEmpty {
          let index = random.below(readers.count)
          readers[index].isGone = true
          readers[index].exchange.goAway()
        }
      case 4, 5, 6: append()
      case 7: stage.executor.run(for: .milliseconds(random.below(3000)))
      default: for _ in 0..<random.below(4) { _ = stage.executor.turn() }
      }
    }
    for _ in 0..<20 {
      for reader in readers {
        reader.exchange.takes = true
        reader.exchange.drain()
      }
      stage.executor.run(for: .milliseconds(1100))
    }
    for reader in readers { try check(reader, keys, stage) }
  }

  private func makeReader(
    _ stage: LiveStage, _ keys: [[String?]], _ random: inout Random
  ) -> Reader {
    let shardIndex: Int? = random.oneIn(3) ? random.below(keys.count) : nil
    let parts = shardIndex.map { [keys[$0]] } ?? keys
    let places = parts.map { UInt64(random.oneIn(2) ? $0.count : random.below($0.count + 1)) }
    let shapes: [LiveShape] = [
      .events(EventShape()), .events(EventShape(name: .message)),
      .events(EventShape(isBatched: true)), .lines,
    ]
    let shape = shapes[random.below(shapes.count)]
    let key: String? = random.oneIn(3) ? "a" : nil
    let limit: Int? = random.oneIn(6) ? 1 + random.below(60) : nil
    var filter: RecordFilter?
    if key != nil || limit != nil {
      filter = RecordFilter(key: key.map { Array($0.utf8) }, remaining: limit)
    }
    let exchange = stage.read(
      from: places, shape: shape, filter: filter, shardIndex: shardIndex)
    return Reader(
      exchange: exchange, places: places, shape: shape, key: key, limit: limit,
      shardIndex: shardIndex)
  }

  private func check(_ reader: Reader, _ keys: [[String?]], _ stage: LiveStage) throws {
    var next = reader.places
    var count = 0
    /// The shard's offsets up to the one given that the reader must have been given before it.
    func advance(_ place: String) throws {
      let parts = place.split(separator: ":").map { Int($0)! }
      let slot = reader.shardIndex == nil ? parts[0] : 0
      #expect(reader.shardIndex == nil || parts[0] == reader.shardIndex)
      if let key = reader.key {
        while next[slot] < parts[1], keys[parts[0]][Int(next[slot])] != key { next[slot] += 1 }
        #expect(keys[parts[0]][parts[1]] == key)
      }
      try #require(Int(next[slot]) == parts[1], "shard \(parts[0])")
      next[slot] += 1
      count += 1
    }
    switch reader.shape {
    case .lines: for place in reader.exchange.lines { try advance(place) }
    case .events:
      for event in reader.exchange.events {
        switch event.name {
        case "record", "message": try advance(event.place)
        case "batch":
          for part in event.data.split(separator: "},{") {
            let isFirst = part.hasPrefix("[")
            try advance(SeenEvent(data: isFirst ? String(part.dropFirst()) : "{" + part).place)
          }
        default: continue
        }
        let cursor = try event.cursor
        #expect(cursor.incarnation == stage.stream.incarnation)
        // A cursor may be past records that do not match, never past one that does.
        for (slot, position) in cursor.positions.enumerated() {
          #expect(position.rawValue >= next[slot] || reader.key != nil)
          if reader.key == nil { #expect(position.rawValue == next[slot]) }
        }
      }
    }
    if reader.isGone { return }
    if let limit = reader.limit, count == limit {
      #expect(reader.exchange.isFinished)
      return
    }
    #expect(!reader.exchange.isFinished && !reader.exchange.isAborted)
    for (slot, place) in next.enumerated() {
      let rest = keys[reader.shardIndex ?? slot][Int(place)...]
      #expect(
        reader.key == nil ? rest.isEmpty : !rest.contains(reader.key), "unread in slot \(slot)")
    }
  }
}
