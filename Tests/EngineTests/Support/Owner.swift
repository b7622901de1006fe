// The owner of a shard, as a test plays it: seals frames one after another and writes down what it hears.
import Engine
import NIOCore
import Synchronization
import Wire

/// Everything but `heard` belongs to the shard's executor.
final class Owner: LogClient {
  enum Word: Sendable, Equatable {
    case committed(Range<Offset>)
    case undecided(LogError)
    case trimmed(Offset, bytes: Int)
  }

  let store: any LogStore
  let shard: ShardID
  let epoch: Epoch
  private(set) var tail: Offset
  private(set) var durable: Offset
  private var time: Timestamp
  private(set) var heard: [Word] = []
  private var waiters: [(end: Offset, reply: @Sendable (LogError?) -> Void)] = []
  private var trimmers: [@Sendable (LogError?) -> Void] = []

  init(_ store: any LogStore, _ shard: ShardID, epoch: Epoch, tail: Offset, time: Timestamp) {
    self.store = store
    self.shard = shard
    self.epoch = epoch
    self.tail = tail
    durable = tail
    self.time = max(time, Timestamp(milliseconds: 0))
  }

  /// Takes over what the store knows.
  func begin(_ recovery: ShardRecovery) {
    tail = recovery.summary.tail
    durable = tail
    time = max(recovery.lastTimestamp, Timestamp(milliseconds: 0))
  }

  func append(
    _ values: [String], extras: FrameExtras = .none, at now: Timestamp? = nil,
    reply: @escaping @Sendable (LogError?) -> Void = { _ in }
  ) {
    var builder = FrameBuilder(extras: extras, valuesBytesHint: 64)
    for value in values {
      Array(value.utf8).withUnsafeBytes { builder.appendPlain($0) }
    }
    time = max(time, now ?? time)
    let frame = builder.finish().seal(
      shard: shard, baseOffset: tail, epoch: epoch, timestamp: time)
    tail = frame.endOffset
    waiters.append((tail, reply))
    store.append(frame)
  }

  func trim(before: Offset, reply: @escaping @Sendable (LogError?) -> Void = { _ in }) {
    trimmers.append(reply)
    store.trim(shard, before: before, epoch: epoch)
  }

  func log(_ shard: ShardID, committed frames: [Frame]) {
    precondition(shard == self.shard && !frames.isEmpty)
    for frame in frames {
      precondition(frame.baseOffset == durable, "committed out of order")
      durable = frame.endOffset
    }
    heard.append(.committed(frames[0].baseOffset..<durable))
    while let first = waiters.first, first.end <= durable {
      waiters.removeFirst()
      first.reply(nil)
    }
  }

  func log(_ shard: ShardID, undecided error: LogError) {
    heard.append(.undecided(error))
    tail = durable
    let failed = waiters.map(\.reply) + trimmers
    waiters = []
    trimmers = []
    for reply in failed { reply(error) }
  }

  func log(_ shard: ShardID, trimmed earliest: Offset, bytes: Int) {
    heard.append(.trimmed(earliest, bytes: bytes))
    let done = trimmers
    trimmers = []
    for reply in done { reply(nil) }
  }
}

extension FrameChunk {
  /// Its records' values from `first` on.
  func values(from first: Offset? = nil) -> [String] {
    var values: [String] = []
    forEachRecord(from: first ?? start) { record in
      values.append(String(decoding: record.value, as: UTF8.self))
      return true
    }
    return values
  }
}

extension FrameExtras {
  static func producer(_ id: String, _ sequence: UInt64) -> FrameExtras {
    FrameExtras(
      producer: ProducerStamp(id: id, epoch: 1, sequence: sequence),
      digest: BodyDigest(high: 1, low: sequence))
  }
  static func key(_ key: String) -> FrameExtras {
    FrameExtras(idempotencyKey: key, digest: BodyDigest(high: 2, low: 2))
  }
}

extension ReadOutcome {
  /// In words, to be compared.
  var name: String {
    switch self {
    case .frames(let chunk): "frames \(chunk.start) to \(chunk.end)"
    case .atTail: "at tail"
    case .trimmed(let earliest): "trimmed up to \(earliest)"
    case .beyondTail(let tail): "beyond tail \(tail)"
    case .failed(let error): "failed: \(error)"
    }
  }
}
