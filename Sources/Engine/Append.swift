// The words of an append: what a caller asks beside the records, and what comes back.
import Wire

/// Conditions beside a frame's own stamps.
public struct AppendCondition: Sendable, Equatable {
  /// Append only when the shard's tail is this.
  public var expectedTail: Offset?
  /// Refuse a producer's skipped sequence: on a shard's own URL.
  public var refusesGap: Bool
  public init(expectedTail: Offset? = nil, refusesGap: Bool = false) {
    self.expectedTail = expectedTail
    self.refusesGap = refusesGap
  }
  public static let none = AppendCondition()
}

/// Where a batch's records are, once durable.
public struct Appended: Sendable, Equatable {
  public var offsets: Range<Offset>
  /// The same batch had been appended before, here.
  public var isDuplicate: Bool
  public init(offsets: Range<Offset>, isDuplicate: Bool) {
    self.offsets = offsets
    self.isDuplicate = isDuplicate
  }
}

/// Whether a failed append took effect.
public enum Applied: String, Sendable { case no, maybe, yes }

public enum AppendError: Error, Sendable, Equatable {
  case tailMoved(tail: Offset)
  case sequenceReused
  case sequenceTooOld(oldest: UInt64)
  case sequenceGap(expected: UInt64)
  case staleProducer(current: UInt64)
  /// The shard remembers as many producers as it may; the oldest is not yet idle for long enough.
  case producersFull
  case idempotencyMismatch
  case idempotencyInProgress
  case idempotencyFull
  /// One shard's part of the batch is larger than any frame of its log may be.
  case tooLarge(bytes: Int, bytesMax: Int)
  /// Another owner has the shard; nothing was appended.
  case fenced
  /// The queue to disk is full; try again after a moment.
  case busy
  case diskFull
  case device(String, applied: Applied)
  /// The stream was deleted; nothing was appended.
  case gone
  /// The engine is stopping; nothing was appended.
  case stopping
}

public typealias AppendReply = @Sendable (Result<Appended, AppendError>) -> Void
