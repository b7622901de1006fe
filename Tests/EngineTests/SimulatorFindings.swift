// What the simulator found once, as tests of the part that was wrong.
import NIOCore
import Testing
import Wire

@testable import Engine

@Suite struct `Found by the simulator` {
  /// Seed 31: the group that followed was written over an acknowledged one.
  @Test func `a group that lands after another file was removed moves its own file on`() throws {
    let disk = MemoryDisk()
    var log = LaneLog(fileBytes: 8192)
    for slot in 0..<3 {
      log.addFile(
        lane: 0, slot: slot, try LaneLog.makeFile(disk, lane: 0, slot: slot, bytes: 8192))
    }
    let first = log.file(forGroupOf: 8192)!
    log.committed(bytes: 8192, slot: log.files[first].slot)
    let second = log.file(forGroupOf: 4096)!
    let slot = log.files[second].slot
    #expect(slot != log.files[first].slot)
    log.checkpointed(upTo: 1)
    log.files.removeAll { $0.slot == 0 }
    log.committed(bytes: 4096, slot: slot)
    let active = try #require(log.active)
    #expect(log.files[active].slot == slot)
    #expect(log.files[active].position == 4096)
    #expect(log.durable == 2)
  }

  /// Seed 1: whoever repeated a trimmed batch after a restart was not told.
  @Test func `a stamp outlives the trim of its frame`() {
    let shard = ShardLog(new: ShardID(1))
    func commit(_ base: UInt64, _ flags: FrameFlags) {
      shard.commitRecords(
        FrameEntry(
          base: Offset(base), timestamp: Timestamp(milliseconds: Int64(base)), flags: flags,
          address: WALAddress(generation: 1, position: Int(base) * 100), byteCount: 100),
        end: Offset(base + 1))
    }
    commit(0, [.producer])
    commit(1, [])
    commit(2, [.idempotency])
    shard.commitTrim(before: Offset(2))
    #expect(shard.bytes == 100)
    #expect(shard.stamped.map(\.base) == [Offset(0), Offset(2)])

    let plan = shard.beginFlush(StoreOptions(salt: 1))
    #expect(plan.trimmed.map(\.base) == [Offset(0)])
    #expect(plan.entries.map(\.base) == [Offset(2)])
    commit(3, [.producer])
    shard.commitTrim(before: Offset(4))
    #expect(shard.stamped.map(\.base) == [Offset(0), Offset(2), Offset(3)])

    // The checkpoint fails: everything is to be stored by the next one, in order.
    shard.undoFlush()
    #expect(shard.bytes == 0)
    #expect(
      shard.beginFlush(StoreOptions(salt: 1)).trimmed.map(\.base) == [0, 2, 3].map(Offset.init))
    shard.endFlush(written: [], removed: [])
    #expect(shard.stamped.isEmpty)
  }

  /// Seed 23: the torn copy stood for the group, and an acknowledged record was lost.
  @Test func `a start that was cut off while it wrote the last group anew loses nothing`() throws {
    var builder = FrameBuilder(extras: .none, valuesBytesHint: 8)
    Array("1".utf8).withUnsafeBytes { builder.appendPlain($0) }
    let frame = builder.finish().seal(
      shard: ShardID(1), baseOffset: .zero, epoch: Epoch(1), timestamp: Timestamp(milliseconds: 5))
    func group(generation: UInt64) -> ByteBuffer {
      GroupHeader(
        generation: generation, sequence: 1, payloadBytes: frame.byteCount, frameCount: 1, lane: 0
      ).group(of: CollectionOfOne(frame.bytes), block: 4096, salt: 7)
    }
    let disk = MemoryDisk()
    let torn = try #require(group(generation: 2).getSlice(at: 0, length: 512))
    for (slot, bytes) in [group(generation: 1), torn].enumerated() {
      let file = try LaneLog.makeFile(disk, lane: 0, slot: slot, bytes: 8192)
      try file.file.write([bytes], at: 0)
    }
    let recovery = WALRecovery(disk: disk, lane: 0, salt: 7, block: 4096, checkpointed: 0)
    let outcome = try recovery.run(refuse: { _ in nil }) { _ in }
    #expect(outcome.damage?.reason == nil)
    #expect(outcome.last?.sequence == 1)
    #expect(outcome.last?.frames.count == 1)
    #expect(outcome.blankSlots == [1])
    #expect(outcome.nextGeneration == 3)
  }
}
