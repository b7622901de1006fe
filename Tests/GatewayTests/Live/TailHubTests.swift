// Live tails without sockets: who gets what, when, and that nobody misses or repeats a record.
import Testing
import Wire

@testable import Engine
@testable import Gateway

@Suite struct TailHubTests {
  private func offsets(_ range: Range<Int>, shard: Int = 0) -> [String] {
    range.map { "\(shard):\($0)" }
  }

  @Test func `history comes first and the live tail joins without a hole`() {
    let stage = LiveStage()
    stage.append(5)
    let exchange = stage.read(from: [2])
    stage.executor.run()
    #expect(exchange.records == offsets(2..<5))
    stage.append(3)
    stage.executor.run()
    #expect(exchange.records == offsets(2..<8))
  }

  @Test func `records that commit while a reader is joining reach it once`() {
    for turns in 0..<24 {
      let stage = LiveStage()
      stage.append(3)
      let exchange = stage.read(from: [0])
      for _ in 0..<turns { _ = stage.executor.turn() }
      stage.append(1)
      _ = stage.executor.turn()
      stage.append(1)
      stage.executor.run()
      #expect(exchange.records == offsets(0..<5), "after \(turns) turns")
    }
  }

  @Test func `level readers are written the same buffer`() {
    let stage = LiveStage()
    let exchanges = (0..<10).map { _ in stage.read() }
    stage.executor.run()
    stage.append(1)
    stage.executor.run()
    let first = exchanges[0].chunks.last!.bytes
    for exchange in exchanges {
      #expect(exchange.records == ["0:0"])
      let isShared = exchange.chunks.last!.bytes.withUnsafeReadableBytes { bytes in
        first.withUnsafeReadableBytes { $0.baseAddress == bytes.baseAddress }
      }
      #expect(isShared)
    }
    #expect(stage.log.followerCount == 1)
  }

  @Test func `commits of one turn go out as one chunk`() {
    let stage = LiveStage()
    let exchange = stage.read()
    stage.executor.run()
    let before = exchange.chunks.count
    stage.append(16)
    stage.executor.run()
    #expect(exchange.chunks.count == before + 1)
    #expect(exchange.records == offsets(0..<16))
  }

  @Test func `a reader of a later slice gets the earlier chunk before the later one`() {
    var settings = TailSettings()
    settings.sliceReadersMax = 3
    let stage = LiveStage(settings: settings)
    var exchanges = (0..<10).map { _ in stage.read() }
    stage.executor.run()
    stage.append(1)
    // The round begins, and while it is under way more commits and another reader come.
    while exchanges[0].records.isEmpty { _ = stage.executor.turn() }
    #expect(exchanges[9].records.isEmpty)
    stage.append(2)
    exchanges.append(stage.read(from: [0]))
    exchanges[4].goAway()
    stage.executor.run()
    for (index, exchange) in exchanges.enumerated() where index != 4 {
      #expect(exchange.records == offsets(0..<3), "reader \(index)")
    }
    #expect(exchanges[4].records.isEmpty)
  }

  @Test func `a slow reader goes to the log, holds nobody up, and loses nothing`() {
    var settings = TailSettings()
    settings.unsentBytesMax = 100
    let stage = LiveStage(settings: settings)
    let slow = stage.read()
    let fast = stage.read()
    stage.executor.run()
    slow.takes = false
    stage.append(1)
    stage.executor.run()
    for _ in 0..<50 {
      stage.append(1)
      stage.executor.run()
    }
    #expect(fast.records == offsets(0..<51))
    #expect(slow.records == offsets(0..<1))
    let readsBefore = stage.log.reads
    slow.takes = true
    slow.drain()
    stage.executor.run()
    #expect(stage.log.reads > readsBefore)
    #expect(slow.records == offsets(0..<51))
    // Level again: the next record needs no read.
    let readsAfter = stage.log.reads
    stage.append(1)
    stage.executor.run()
    #expect(slow.records == offsets(0..<52))
    #expect(stage.log.reads == readsAfter)
  }

  @Test func `when more commits than can be served the readers go to the log`() {
    var settings = TailSettings()
    settings.sliceReadersMax = 1
    settings.pendingBytesMax = 1000
    let stage = LiveStage(settings: settings)
    let exchanges = (0..<5).map { _ in stage.read() }
    stage.executor.run()
    stage.append(1)
    while exchanges[0].records.isEmpty { _ = stage.executor.turn() }
    stage.append(40)
    stage.executor.run()
    for exchange in exchanges { #expect(exchange.records == offsets(0..<41)) }
    #expect(stage.log.reads > 0)
  }

  @Test func `retention that overtakes a reader is told as a gap`() throws {
    let stage = LiveStage()
    stage.append(10)
    stage.log.trim(stage.shard, before: Offset(6))
    let exchange = stage.read(from: [2])
    stage.executor.run()
    let gap = exchange.events[0]
    #expect(gap.name == "gap")
    #expect(gap.data == #"{"shard":0,"from":"2","to":"6","reason":"trimmed"}"#)
    #expect(try gap.cursor.positions == [Offset(6)])
    #expect(exchange.records == offsets(6..<10))
  }

  @Test func `lines that retention overtook are broken off`() {
    let stage = LiveStage()
    stage.append(10)
    stage.log.trim(stage.shard, before: Offset(6))
    let exchange = stage.read(from: [2], shape: .lines)
    stage.executor.run()
    #expect(exchange.isAborted)
    #expect(exchange.text.isEmpty)
  }

  @Test func `only records with the key come, and the place is told when nothing matches`() throws {
    let stage = LiveStage()
    stage.append(2, key: "a")
    stage.append(2, key: "b")
    let filter = RecordFilter(key: Array("a".utf8))
    let exchange = stage.read(from: [0], filter: filter)
    stage.executor.run()
    #expect(exchange.records == ["0:0", "0:1"])
    stage.append(1, key: "a")
    stage.append(3, key: "b")
    stage.append(1)
    stage.executor.run()
    #expect(exchange.records == ["0:0", "0:1", "0:4"])
    stage.executor.run(for: .seconds(16))
    let last = exchange.events.last!
    #expect(last.name == "checkpoint")
    #expect(last.data == #"{"up_to_date":true}"#)
    #expect(try last.cursor.positions == [Offset(9)])
    // Told once; from then on it is a heartbeat.
    let count = exchange.events.count
    stage.executor.run(for: .seconds(16))
    #expect(exchange.events.count == count)
    #expect(exchange.heartbeats == 1)
  }

  @Test func `an answer ends after its limit, and its last id says so`() throws {
    let stage = LiveStage()
    stage.append(3)
    let exchange = stage.read(from: [0], filter: RecordFilter(remaining: 5))
    stage.executor.run()
    stage.append(4)
    stage.executor.run()
    #expect(exchange.records == offsets(0..<5))
    let end = exchange.events.last!
    #expect(end.name == "end")
    #expect(end.data == #"{"reason":"limit"}"#)
    #expect(try end.cursor.isEnded)
    #expect(try end.cursor.positions == [Offset(5)])
    #expect(exchange.isFinished)
  }

  @Test func `an answer ends before its until offset`() {
    let stage = LiveStage()
    stage.append(3)
    let exchange = stage.read(from: [1], filter: RecordFilter(until: .offset(Offset(4))))
    stage.executor.run()
    #expect(!exchange.isFinished)
    stage.log.append(["1", "2", "3"], to: stage.shard)
    stage.executor.run()
    #expect(exchange.records == offsets(1..<4))
    #expect(exchange.isFinished)
  }

  @Test func `an until offset that is reached already ends at once`() {
    let stage = LiveStage()
    stage.append(3)
    let exchange = stage.read(from: [3], filter: RecordFilter(until: .offset(Offset(2))))
    #expect(exchange.events.map(\.name) == ["end"])
    #expect(exchange.isFinished)
  }

  @Test func `until a time ends each shard at its first later record`() {
    let stage = LiveStage(shards: 2)
    let until = Timestamp(milliseconds: TurnClock.start.milliseconds + 100)
    let later = Timestamp(milliseconds: TurnClock.start.milliseconds + 200)
    let exchange = stage.read(from: [0, 0], filter: RecordFilter(until: .time(until)))
    stage.executor.run()
    stage.log.append(["1"], to: stage.stream.shards[0])
    stage.log.append(["2"], to: stage.stream.shards[0], at: later)
    stage.log.append(["3"], to: stage.stream.shards[1])
    stage.executor.run()
    #expect(!exchange.isFinished)
    stage.log.append(["4"], to: stage.stream.shards[1])
    stage.log.append(["5"], to: stage.stream.shards[1], at: later)
    stage.executor.run()
    #expect(exchange.records == ["0:0", "1:0", "1:1"])
    #expect(exchange.isFinished)
  }

  @Test func `until a time that passes without a record ends after a while`() {
    let stage = LiveStage()
    let until = Timestamp(milliseconds: TurnClock.start.milliseconds + 2000)
    let exchange = stage.read(filter: RecordFilter(until: .time(until)))
    stage.executor.run(for: .seconds(4))
    #expect(!exchange.isFinished)
    stage.executor.run(for: .seconds(6))
    #expect(exchange.events.last?.name == "end")
    #expect(exchange.isFinished)
  }

  @Test func `a deleted stream ends its readers after what was committed`() throws {
    let stage = LiveStage()
    let level = stage.read()
    let keyed = stage.read(filter: RecordFilter(key: Array("a".utf8)))
    let lines = stage.read(shape: .lines)
    stage.executor.run()
    stage.append(1, key: "a")
    stage.log.delete(stage.stream)
    stage.executor.run()
    for exchange in [level, keyed] {
      #expect(exchange.records == ["0:0"])
      #expect(exchange.events.last?.data == #"{"reason":"deleted"}"#)
      #expect(try exchange.events.last!.cursor.isEnded)
      #expect(exchange.isFinished)
    }
    #expect(lines.lines == ["0:0"])
    #expect(lines.isFinished)
  }

  @Test func `a server that stops tells its readers when to come back`() {
    let stage = LiveStage()
    let level = stage.read()
    let lines = stage.read(shape: .lines)
    stage.executor.run()
    stage.log.stop(stage.stream)
    stage.executor.run()
    let problem = level.events.last!
    #expect(problem.name == "problem")
    #expect(problem.data.contains(#""code":"stopping""#))
    #expect(problem.retry == "5000")
    #expect(problem.id == nil)
    #expect(level.isFinished)
    // Lines cannot say it, but nothing is missing: they end whole.
    #expect(lines.isFinished)
  }

  @Test func `draining reaches readers that are far behind`() {
    var settings = TailSettings()
    settings.unsentBytesMax = 10
    let stage = LiveStage(settings: settings)
    stage.append(100)
    let exchange = stage.read(from: [0])
    exchange.takes = false
    stage.executor.run()
    #expect(!exchange.isFinished)
    stage.hub.drain()
    stage.executor.run()
    #expect(exchange.events.last?.name == "problem")
    #expect(exchange.isFinished)
  }

  @Test func `a failing disk is told as a problem and the stream closes`() {
    let stage = LiveStage()
    stage.append(3)
    stage.log.readFailure = .device("EIO")
    let exchange = stage.read(from: [0])
    stage.executor.run()
    #expect(exchange.events.last?.name == "problem")
    #expect(exchange.isFinished)
  }

  @Test func `silence is broken by a heartbeat every 15 seconds`() {
    let stage = LiveStage()
    let exchange = stage.read()
    let lines = stage.read(shape: .lines)
    stage.executor.run(for: .seconds(14))
    #expect(exchange.heartbeats == 0)
    stage.executor.run(for: .seconds(2))
    #expect(exchange.heartbeats == 1)
    #expect(lines.text == "\n")
    stage.append(1)
    stage.executor.run(for: .seconds(14))
    #expect(exchange.heartbeats == 1)
    stage.executor.run(for: .seconds(2))
    #expect(exchange.heartbeats == 2)
    #expect(exchange.text.contains("\n\n: hb\n"), "a comment line without a blank line after it")
  }

  @Test func `a tail without readers lets go of its shards`() {
    let stage = LiveStage(shards: 3)
    let exchange = stage.read()
    stage.executor.run()
    #expect(stage.log.followerCount == 3)
    exchange.goAway()
    stage.executor.run(for: .seconds(5))
    #expect(stage.log.followerCount == 0)
    #expect(exchange.onClose == nil && exchange.onDrain == nil)
  }

  @Test func `a batch event carries an array and one id`() throws {
    let stage = LiveStage()
    let shape = LiveShape.events(EventShape(name: nil, isBatched: true))
    let exchange = stage.read(shape: shape)
    stage.executor.run()
    stage.append(3)
    stage.executor.run()
    let event = exchange.events[0]
    #expect(exchange.events.count == 1)
    #expect(event.name == "batch")
    #expect(event.data.hasPrefix(#"[{"shard":0,"offset":"0","#))
    #expect(event.data.hasSuffix("}]"))
    #expect(try event.cursor.positions == [Offset(3)])
  }

  @Test func `events are named as asked`() {
    let stage = LiveStage()
    let exchange = stage.read(shape: .events(EventShape(name: .message)))
    stage.executor.run()
    stage.append(1)
    stage.executor.run()
    #expect(exchange.events.map(\.name) == ["message"])
  }

  @Test func `a long poll is woken once by the next record`() {
    let stage = LiveStage()
    var wakes = 0
    let tail = stage.hub.tail(of: stage.stream, shardIndex: nil)
    let poller = TailPoller(places: [.zero]) { wakes += 1 }
    #expect(tail.add(poller))
    stage.executor.run()
    #expect(wakes == 0)
    stage.append(2)
    stage.executor.run()
    #expect(wakes == 1)
    #expect(!tail.add(TailPoller(places: [Offset(1)]) {}), "there is more already")
  }

  @Test func `an idle level reader keeps neither place nor read buffers`() {
    let stage = LiveStage()
    stage.append(3)
    let exchange = stage.read(from: [0])
    stage.executor.run()
    let reads = stage.log.reads
    for _ in 0..<100 { stage.append(1) }
    stage.executor.run()
    #expect(stage.log.reads == reads)
    #expect(exchange.records.count == 103)
  }
}
