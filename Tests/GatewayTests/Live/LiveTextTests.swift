// The exact text of events, as API.md shows it.
import NIOCore
import Testing
import Wire

@testable import Engine
@testable import Gateway

@Suite struct LiveTextTests {
  private let cursor = Cursor(incarnation: 7, place: .allShards([Offset(1044)]))

  private func text(_ write: (inout ByteBuffer) -> Void) -> String {
    var buffer = ByteBuffer()
    write(&buffer)
    return String(buffer: buffer)
  }

  @Test func `open names the stream and tells when to come back`() {
    let text = text {
      LiveText.writeOpen(
        stream: "orders", heartbeat: .seconds(15), retry: .seconds(2), at: cursor, into: &$0)
    }
    #expect(
      text == """
        event: open
        data: {"stream":"orders","heartbeat_ms":15000}
        retry: 2000
        id: \(cursor.encoded())


        """)
  }

  @Test func `a record event ends with its id, which goes on after it`() throws {
    let stage = LiveStage()
    stage.append(1)
    let exchange = stage.read(from: [0])
    stage.executor.run()
    let after = Cursor(incarnation: 7, place: .allShards([Offset(1)]))
    #expect(
      exchange.text == """
        event: record
        data: {"shard":0,"offset":"0","timestamp":"2026-01-01T00:00:00.000Z","value":{"n":1}}
        id: \(after.encoded())


        """)
  }

  @Test func `a reader of one shard gets cursors of that shard`() throws {
    let stage = LiveStage(shards: 3)
    stage.append(2, shard: 2)
    let exchange = stage.read(from: [0], shardIndex: 2)
    stage.executor.run()
    #expect(exchange.records == ["2:0", "2:1"])
    #expect(try exchange.events[1].cursor.place == .shard(2, Offset(2)))
  }

  @Test func `a problem says when to come back and has no id`() {
    let text = text {
      LiveText.writeProblem(
        Problem(.stopping, "bye"), requestID: "r", retry: .milliseconds(1500), into: &$0)
    }
    #expect(text.hasPrefix("event: problem\ndata: {\"type\":"))
    #expect(text.hasSuffix("}\nretry: 1500\n\n"))
    #expect(!text.contains("id: "))
  }

  @Test func `a heartbeat is one comment line, or a blank line of NDJSON`() {
    #expect(String(buffer: LiveText.heartbeat(.events(EventShape())).bytes) == ": hb\n")
    #expect(String(buffer: LiveText.heartbeat(.lines).bytes) == "\n")
  }

  @Test func `batches close before they grow without bound`() {
    let stage = LiveStage()
    stage.log.append(Array(repeating: "1", count: 1200), to: stage.shard)
    let exchange = stage.read(from: [0], shape: .events(EventShape(isBatched: true)))
    stage.executor.run()
    let counts = exchange.events.map { $0.data.split(separator: "},{").count }
    #expect(counts == [500, 500, 200])
  }
}

@Suite struct HistoryWalkTests {
  @Test func `shards take turns until each is at its stop`() {
    var walk = HistoryWalk(
      from: [Offset(0), Offset(5), Offset(0)], to: [Offset(2), Offset(5), Offset(3)])
    var order: [Int] = []
    while let slot = walk.nextSlot() {
      order.append(slot)
      walk.move(slot, to: walk.places[slot] + 1)
      walk.endTurn(of: slot)
    }
    #expect(order == [0, 2, 0, 2, 2])
    #expect(walk.isAtStops)
  }

  @Test func `a shard keeps its turn until it is ended`() {
    var walk = HistoryWalk(from: [Offset(0), Offset(0)], to: [Offset(2), Offset(1)])
    #expect(walk.nextSlot() == 0)
    walk.move(0, to: Offset(1))
    #expect(walk.nextSlot() == 0)
    walk.endTurn(of: 0)
    #expect(walk.nextSlot() == 1)
  }
}

@Suite struct RosterTests {
  private final class Member: RosterMember {
    var rosterSlot = 0
    let name: Int
    init(_ name: Int) { self.name = name }
  }

  @Test(arguments: UInt64(1)...20)
  func `coming and going keeps the order and the slots right`(seed: UInt64) {
    var random = Random(seed: seed)
    var roster = Roster<Member>()
    var model: [Member] = []
    for name in 0..<500 {
      if random.oneIn(2) || model.isEmpty {
        let member = Member(name)
        roster.add(member)
        model.append(member)
      } else {
        roster.remove(model.remove(at: random.below(model.count)))
      }
      if random.oneIn(10) { roster.compact() }
      #expect(roster.count == model.count)
      #expect((0..<roster.end).compactMap { roster[$0]?.name } == model.map(\.name))
      #expect(model.allSatisfy { roster[$0.rosterSlot] === $0 })
      #expect(roster.end <= 2 * max(1, model.count) + 8 + 30)
    }
  }
}
