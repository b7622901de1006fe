// What a shard remembers of its producers, so that a batch sent twice is appended once.
import Wire

/// Each producer's epoch and its last batches. Sequences of one producer only grow within a shard, so that the order of
/// sequences is the order of offsets, and what is forgotten is always the oldest.
struct ProducerTable {
  struct Batch: Equatable {
    var epoch: UInt64
    var sequence: UInt64
    var digest: BodyDigest
    var offsets: Range<Offset>
  }
  private struct Producer {
    /// In offset order. The last one's epoch is the producer's.
    var batches: [Batch] = []
    var lastSeen: Timestamp
  }

  /// Durable batches remembered for each producer; Kafka's number, for the same reason: requests in flight.
  static let batchesKept = 5

  private var producers: [String: Producer] = [:]
  private let producersMax: Int
  /// A producer may be forgotten to make room once it was silent this long.
  private let idleMin: Duration

  init(producersMax: Int, idleMin: Duration) {
    self.producersMax = producersMax
    self.idleMin = idleMin
  }

  enum Verdict: Equatable {
    case new
    case duplicate(Range<Offset>)
  }

  /// Says whether a batch is new. Changes nothing.
  func judge(
    _ stamp: ProducerStamp, _ digest: BodyDigest, refusesGap: Bool
  ) throws(AppendError) -> Verdict {
    guard let batches = producers[stamp.id]?.batches, let last = batches.last else { return .new }
    guard stamp.epoch >= last.epoch else { throw .staleProducer(current: last.epoch) }
    guard stamp.epoch == last.epoch else { return .new }
    if let known = batches.last(where: { $0.epoch == stamp.epoch && $0.sequence == stamp.sequence })
    {
      guard known.digest == digest else { throw .sequenceReused }
      return .duplicate(known.offsets)
    }
    guard stamp.sequence > last.sequence else {
      let oldest = batches.first { $0.epoch == stamp.epoch } ?? last
      throw .sequenceTooOld(oldest: oldest.sequence)
    }
    if refusesGap, stamp.sequence != last.sequence + 1 {
      throw .sequenceGap(expected: last.sequence + 1)
    }
    return .new
  }

  /// Makes room for one more producer if `id` is unknown, forgetting those idle for long.
  mutating func makeRoom(for id: String, now: Timestamp) throws(AppendError) {
    guard producers.count >= producersMax, producers[id] == nil else { return }
    let horizon = now.milliseconds - idleMin.milliseconds
    // Only a full table pays for this walk, and it frees many places or none.
    producers = producers.filter { $0.value.lastSeen.milliseconds > horizon }
    guard producers.count < producersMax else { throw .producersFull }
  }

  /// Remembers a batch that was given `offsets`. Batches beyond the last five durable ones are forgotten.
  mutating func remember(
    _ stamp: ProducerStamp, _ digest: BodyDigest, at offsets: Range<Offset>, durable: Offset,
    now: Timestamp
  ) {
    var producer = producers.removeValue(forKey: stamp.id) ?? Producer(lastSeen: now)
    let settled = producer.batches.reduce(0) { $0 + ($1.offsets.upperBound <= durable ? 1 : 0) }
    if settled > Self.batchesKept {
      producer.batches.removeFirst(settled - Self.batchesKept)
    }
    producer.batches.append(
      Batch(epoch: stamp.epoch, sequence: stamp.sequence, digest: digest, offsets: offsets))
    producer.lastSeen = now
    producers[stamp.id] = producer
  }

  /// Forgets what was staged at or after `offset` and never became durable.
  mutating func forget(from offset: Offset) {
    for (id, var producer) in producers {
      guard let last = producer.batches.last, last.offsets.upperBound > offset else { continue }
      producer.batches.removeAll { $0.offsets.upperBound > offset }
      producers[id] = producer.batches.isEmpty ? nil : producer
    }
  }

  var count: Int { producers.count }
}
