// The owner's mind: gives batches their offsets, tells repeated ones, and takes back what never became durable.
//
// No clocks, stores or waiters: `ShardOwner` brings those.
import Wire

/// Limits of what one shard remembers.
public struct ShardLimits: Sendable {
  public var producersMax = 100_000
  public var producerIdleMin = Duration.seconds(86_400)
  public var idempotencyKeysMax = 100_000
  public var idempotencyKept = Duration.seconds(600)
  public init() {}
}

struct ShardCore {
  let shard: ShardID
  let epoch: Epoch
  /// The next offset to be given.
  private(set) var tail: Offset
  /// Everything before it is durable.
  private(set) var durable: Offset
  private(set) var lastTimestamp: Timestamp
  private let limits: ShardLimits
  /// Made on first use: most shards see no stamps.
  private var producers: ProducerTable?
  private var idempotency: IdempotencyTable?

  init(shard: ShardID, epoch: Epoch, recovery: ShardRecovery, limits: ShardLimits) {
    self.shard = shard
    self.epoch = epoch
    self.limits = limits
    tail = recovery.summary.tail
    durable = recovery.summary.tail
    lastTimestamp = recovery.lastTimestamp
    for stamp in recovery.stamps {
      remember(stamp.extras, at: stamp.offsets, timestamp: stamp.timestamp)
    }
  }

  enum Staged {
    /// A new frame; append it to the log. Its records are the shard's next.
    case frame(Frame)
    /// The batch stands here already, perhaps not durable yet.
    case duplicate(Range<Offset>)
  }

  /// Gives `draft` the next offsets, unless its stamps say that it is not new or `condition` does not hold.
  /// Refused batches change nothing.
  mutating func stage(
    _ draft: consuming FrameDraft, if condition: AppendCondition, now: Timestamp
  ) throws(AppendError) -> Staged {
    precondition(durable <= tail, "durable \(durable), tail \(tail)")
    let isStamped = !draft.flags.isDisjoint(with: [.producer, .idempotency])
    let extras = isStamped ? draft.extras : .none
    if isStamped, let known = try judge(extras, condition, now: now) { return .duplicate(known) }
    if let expected = condition.expectedTail, expected != tail { throw .tailMoved(tail: tail) }
    if let producer = extras.producer { try producers?.makeRoom(for: producer.id, now: now) }

    let timestamp = max(now, lastTimestamp)
    let frame = draft.seal(shard: shard, baseOffset: tail, epoch: epoch, timestamp: timestamp)
    if isStamped { remember(extras, at: tail..<frame.endOffset, timestamp: timestamp) }
    lastTimestamp = timestamp
    tail = frame.endOffset
    return .frame(frame)
  }

  private mutating func judge(
    _ extras: FrameExtras, _ condition: AppendCondition, now: Timestamp
  ) throws(AppendError) -> Range<Offset>? {
    guard let digest = extras.digest else { return nil }
    if let producer = extras.producer, let producers,
      case .duplicate(let offsets) = try producers.judge(
        producer, digest, refusesGap: condition.refusesGap)
    {
      return offsets
    }
    if let key = extras.idempotencyKey, idempotency != nil,
      case .duplicate(let offsets) = try idempotency!.judge(
        key, digest, durable: durable, now: now)
    {
      return offsets
    }
    return nil
  }

  private mutating func remember(
    _ extras: FrameExtras, at offsets: Range<Offset>, timestamp: Timestamp
  ) {
    guard let digest = extras.digest else { return }
    if let producer = extras.producer {
      if producers == nil {
        producers = ProducerTable(
          producersMax: limits.producersMax, idleMin: limits.producerIdleMin)
      }
      producers!.remember(producer, digest, at: offsets, durable: durable, now: timestamp)
    }
    if let key = extras.idempotencyKey {
      if idempotency == nil {
        idempotency = IdempotencyTable(
          keysMax: limits.idempotencyKeysMax, kept: limits.idempotencyKept)
      }
      idempotency!.remember(key, digest, at: offsets, timestamp: timestamp)
    }
  }

  /// The idempotency keys under which records of this shard were appended.
  var rememberedKeys: [IdempotencyTable.Entry] { idempotency?.remembered ?? [] }

  /// The log holds everything before `offset`.
  mutating func commit(upTo offset: Offset) {
    precondition(durable <= offset && offset <= tail, "\(durable), \(offset), \(tail)")
    durable = offset
  }

  /// Takes back what was staged and is not durable: the next batch gets those offsets.
  mutating func takeBack() {
    producers?.forget(from: durable)
    idempotency?.forget(from: durable)
    tail = durable
  }
}
