// The owner's mind, on its own: offsets, producers, idempotency keys, and taking back what failed.
import NIOCore
import Testing
import Wire

@testable import Engine

private func draft(
  _ values: [String] = ["1"], producer: ProducerStamp? = nil, key: String? = nil, digest: UInt64 = 1
) -> FrameDraft {
  let isStamped = producer != nil || key != nil
  var builder = FrameBuilder(
    extras: FrameExtras(
      producer: producer, idempotencyKey: key,
      digest: isStamped ? BodyDigest(high: digest, low: 0) : nil),
    valuesBytesHint: 64)
  for value in values {
    Array(value.utf8).withUnsafeBytes { builder.appendPlain($0) }
  }
  return builder.finish()
}

private func stamp(_ sequence: UInt64, epoch: UInt64 = 1, id: String = "p") -> ProducerStamp {
  ProducerStamp(id: id, epoch: epoch, sequence: sequence)
}

private func core(
  tail: UInt64 = 0, limits: ShardLimits = ShardLimits(), stamps: [StampedRange] = []
) -> ShardCore {
  ShardCore(
    shard: ShardID(7), epoch: Epoch(3),
    recovery: ShardRecovery(
      summary: ShardSummary(earliest: .zero, tail: Offset(tail), bytes: 0),
      lastTimestamp: Timestamp(milliseconds: 0), stamps: stamps),
    limits: limits)
}

private let noon = Timestamp(milliseconds: 43_200_000)

extension ShardCore {
  /// Stages and says where: offsets, and whether they were there before.
  fileprivate mutating func place(
    _ draft: consuming FrameDraft, if condition: AppendCondition = .none, now: Timestamp = noon
  ) throws(AppendError) -> Appended {
    switch try stage(draft, if: condition, now: now) {
    case .frame(let frame):
      Appended(offsets: frame.baseOffset..<frame.endOffset, isDuplicate: false)
    case .duplicate(let offsets): Appended(offsets: offsets, isDuplicate: true)
    }
  }
}

private func range(_ lower: UInt64, _ upper: UInt64) -> Range<Offset> {
  Offset(lower)..<Offset(upper)
}

struct ShardCoreTests {
  @Test func `batches get dense offsets from the recovered tail on`() throws {
    var core = core(tail: 10)
    #expect(try core.place(draft(["1", "2", "3"])).offsets == range(10, 13))
    #expect(try core.place(draft()).offsets == range(13, 14))
    #expect(core.tail == Offset(14))
    #expect(core.durable == Offset(10))
  }

  @Test func `a sealed frame says its place, epoch and time`() throws {
    var core = core(tail: 5)
    guard case .frame(let frame) = try core.stage(draft(["{}"]), if: .none, now: noon) else {
      Issue.record("not staged")
      return
    }
    #expect(frame.shard == ShardID(7))
    #expect(frame.epoch == Epoch(3))
    #expect(frame.timestamp == noon)
    #expect(throws: Never.self) { try Frame(checking: frame.bytes) }
  }

  @Test func `time never falls within a shard, whatever the clock does`() throws {
    var core = core()
    _ = try core.place(draft(), now: noon)
    let earlier = Timestamp(milliseconds: noon.milliseconds - 5000)
    guard case .frame(let frame) = try core.stage(draft(), if: .none, now: earlier) else {
      Issue.record("not staged")
      return
    }
    #expect(frame.timestamp == noon)
  }

  @Test func `a batch sent again has its first offsets and moves nothing`() throws {
    var core = core()
    #expect(try core.place(draft(["1", "2"], producer: stamp(0))).offsets == range(0, 2))
    let again = try core.place(draft(["1", "2"], producer: stamp(0)))
    #expect(again == Appended(offsets: range(0, 2), isDuplicate: true))
    #expect(core.tail == Offset(2))
  }

  @Test func `a sequence used for another body is refused`() throws {
    var core = core()
    _ = try core.place(draft(producer: stamp(0), digest: 1))
    #expect(throws: AppendError.sequenceReused) {
      try core.place(draft(producer: stamp(0), digest: 2))
    }
  }

  @Test func `the last five batches are remembered and older ones are too old`() throws {
    var core = core()
    for sequence in 0..<9 {
      let offsets = try core.place(draft(producer: stamp(UInt64(sequence)))).offsets
      core.commit(upTo: offsets.upperBound)
    }
    // One more than five may be held until the next batch, never fewer.
    #expect(try core.place(draft(producer: stamp(4))).isDuplicate)
    #expect(throws: AppendError.sequenceTooOld(oldest: 3)) {
      try core.place(draft(producer: stamp(0)))
    }
  }

  @Test func `a lower epoch is stale and a higher one starts afresh`() throws {
    var core = core()
    _ = try core.place(draft(producer: stamp(4, epoch: 2)))
    #expect(throws: AppendError.staleProducer(current: 2)) {
      try core.place(draft(producer: stamp(5, epoch: 1)))
    }
    #expect(try core.place(draft(producer: stamp(0, epoch: 3))).offsets == range(1, 2))
  }

  @Test func `a skipped sequence is refused where gaps are refused`() throws {
    var core = core()
    _ = try core.place(draft(producer: stamp(0)))
    #expect(throws: AppendError.sequenceGap(expected: 1)) {
      try core.place(draft(producer: stamp(2)), if: AppendCondition(refusesGap: true))
    }
    #expect(try core.place(draft(producer: stamp(2))).offsets == range(1, 2))
  }

  @Test func `an expected tail holds only at that tail`() throws {
    var core = core(tail: 3)
    #expect(throws: AppendError.tailMoved(tail: Offset(3))) {
      try core.place(draft(), if: AppendCondition(expectedTail: Offset(2)))
    }
    let appended = try core.place(draft(), if: AppendCondition(expectedTail: Offset(3)))
    #expect(appended.offsets == range(3, 4))
  }

  @Test func `a repeat is told before its expected tail is looked at`() throws {
    var core = core(tail: 3)
    let condition = AppendCondition(expectedTail: Offset(3))
    _ = try core.place(draft(producer: stamp(0)), if: condition)
    #expect(try core.place(draft(producer: stamp(0)), if: condition).isDuplicate)
  }

  @Test func `what failed is taken back with its stamps`() throws {
    var core = core()
    let first = try core.place(draft(producer: stamp(0), key: "a"))
    core.commit(upTo: first.offsets.upperBound)
    _ = try core.place(draft(["1", "2"], producer: stamp(1), key: "b"))
    core.takeBack()
    #expect(core.tail == Offset(1))
    #expect(try core.place(draft(producer: stamp(0), key: "a")).isDuplicate)
    let again = try core.place(draft(["1", "2"], producer: stamp(1), key: "b"))
    #expect(again == Appended(offsets: range(1, 3), isDuplicate: false))
  }

  @Test func `an idempotency key answers as the first did for ten minutes`() throws {
    var core = core()
    let first = try core.place(draft(key: "k"))
    #expect(throws: AppendError.idempotencyInProgress) { try core.place(draft(key: "k")) }
    core.commit(upTo: first.offsets.upperBound)
    #expect(try core.place(draft(key: "k")).isDuplicate)
    #expect(throws: AppendError.idempotencyMismatch) {
      try core.place(draft(key: "k", digest: 2))
    }
    let nine = Timestamp(milliseconds: noon.milliseconds + 9 * 60_000)
    let eleven = Timestamp(milliseconds: noon.milliseconds + 11 * 60_000)
    #expect(try core.place(draft(key: "k"), now: nine).isDuplicate)
    #expect(try core.place(draft(key: "k"), now: eleven).isDuplicate == false)
  }

  @Test func `a key that was used again when its time was over is known in its next life, too`()
    throws
  {
    func used(_ offset: UInt64, at milliseconds: Int64) -> StampedRange {
      StampedRange(
        extras: FrameExtras(idempotencyKey: "k", digest: BodyDigest(high: 1, low: 0)),
        offsets: range(offset, offset + 1), timestamp: Timestamp(milliseconds: milliseconds))
    }
    // The log keeps keys a little longer than they hold, so that it has both.
    let again = noon.milliseconds
    var core = core(tail: 2, stamps: [used(0, at: again - 605_000), used(1, at: again)])
    let now = Timestamp(milliseconds: again + 5000)
    #expect(try core.place(draft(key: "k"), now: now).offsets == range(1, 2))
    #expect(try core.place(draft(key: "k"), now: now).isDuplicate)
  }

  @Test func `a full table of keys refuses new ones and lets go of old ones`() throws {
    var limits = ShardLimits()
    limits.idempotencyKeysMax = 2
    var core = core(limits: limits)
    _ = try core.place(draft(key: "a"))
    _ = try core.place(draft(key: "b"))
    #expect(throws: AppendError.idempotencyFull) { try core.place(draft(key: "c")) }
    let later = Timestamp(milliseconds: noon.milliseconds + 700_000)
    #expect(try core.place(draft(key: "c"), now: later).isDuplicate == false)
  }

  @Test func `a full table of producers forgets only the idle`() throws {
    var limits = ShardLimits()
    limits.producersMax = 2
    var core = core(limits: limits)
    _ = try core.place(draft(producer: stamp(0, id: "a")))
    _ = try core.place(draft(producer: stamp(0, id: "b")))
    #expect(throws: AppendError.producersFull) {
      try core.place(draft(producer: stamp(0, id: "c")))
    }
    #expect(core.tail == Offset(2))
    let tomorrow = Timestamp(milliseconds: noon.milliseconds + 90_000_000)
    #expect(
      try core.place(draft(producer: stamp(0, id: "c")), now: tomorrow).offsets == range(2, 3))
  }

  @Test func `stamps of an earlier life still tell repeats`() throws {
    let known = StampedRange(
      extras: FrameExtras(
        producer: stamp(8), idempotencyKey: "k", digest: BodyDigest(high: 1, low: 0)),
      offsets: range(4, 6), timestamp: noon)
    var core = core(tail: 6, stamps: [known])
    #expect(try core.place(draft(["1", "2"], producer: stamp(8), key: "k")).offsets == range(4, 6))
    #expect(throws: AppendError.sequenceReused) {
      try core.place(draft(producer: stamp(8), digest: 9))
    }
  }

  @Test(arguments: [1, 2, 3, 5, 64, 1000, 1024])
  func `key ranges cover every hash once`(shardCount: Int) {
    let executor = Idle()
    let shards = (0..<shardCount).map { index in
      Shard(
        id: ShardID(UInt64(index)), index: index, shardCount: shardCount, executor: executor,
        summary: ShardSummary(earliest: .zero, tail: .zero, bytes: 0))
    }
    let stream = Stream(
      name: "s", incarnation: 0, spec: StreamSpec(shardCount: shardCount),
      createdAt: noon, revision: Revision(1), shards: shards)
    #expect(shards.first!.keyRange.lowerBound == 0)
    #expect(shards.last!.keyRange.upperBound == .max)
    for (index, shard) in shards.enumerated() {
      #expect(stream.shard(forKeyHash: shard.keyRange.lowerBound).index == index)
      #expect(stream.shard(forKeyHash: shard.keyRange.upperBound).index == index)
    }
    for (left, right) in zip(shards, shards.dropFirst()) {
      #expect(left.keyRange.upperBound + 1 == right.keyRange.lowerBound)
    }
  }
}

/// An executor that is never asked to run anything.
private final class Idle: Executor {
  var isCurrent: Bool { true }
  func execute(_ job: @escaping @Sendable () -> Void) { preconditionFailure("not asked for") }
  func schedule(after delay: Duration, _ job: @escaping @Sendable () -> Void) -> ScheduledJob {
    preconditionFailure("not asked for")
  }
}
