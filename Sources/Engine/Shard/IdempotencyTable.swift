// What a shard remembers of idempotency keys: the same key and body within ten minutes answers as the first did.
import Wire

struct IdempotencyTable {
  struct Entry: Equatable {
    var key: String
    var digest: BodyDigest
    var offsets: Range<Offset>
    var timestamp: Timestamp
  }

  private var entries: [String: Entry] = [:]
  /// Entries in the order they came, which is the order they end; those before `oldest` are gone.
  private var order: [Entry] = []
  private var oldest = 0
  private let keysMax: Int
  private let kept: Duration

  init(keysMax: Int, kept: Duration) {
    self.keysMax = keysMax
    self.kept = kept
  }

  enum Verdict: Equatable {
    case new
    case duplicate(Range<Offset>)
  }

  /// Says whether a request is new; first lets go of keys whose time is over.
  /// - Throws: `.idempotencyInProgress` while the first one is not durable.
  mutating func judge(
    _ key: String, _ digest: BodyDigest, durable: Offset, now: Timestamp
  ) throws(AppendError) -> Verdict {
    expire(now: now)
    if let known = entries[key] {
      guard known.digest == digest else { throw .idempotencyMismatch }
      guard known.offsets.upperBound <= durable else { throw .idempotencyInProgress }
      return .duplicate(known.offsets)
    }
    guard entries.count < keysMax else { throw .idempotencyFull }
    return .new
  }

  mutating func remember(
    _ key: String, _ digest: BodyDigest, at offsets: Range<Offset>, timestamp: Timestamp
  ) {
    let entry = Entry(key: key, digest: digest, offsets: offsets, timestamp: timestamp)
    entries[key] = entry
    order.append(entry)
  }

  /// Forgets what was staged at or after `offset` and never became durable.
  mutating func forget(from offset: Offset) {
    while order.count > oldest, let last = order.last, last.offsets.upperBound > offset {
      order.removeLast()
      entries[last.key] = nil
    }
  }

  private mutating func expire(now: Timestamp) {
    let horizon = now.milliseconds - kept.milliseconds
    while oldest < order.count, order[oldest].timestamp.milliseconds < horizon {
      let old = order[oldest]
      oldest += 1
      // The log may hold a key twice: used again when its time was over.
      if entries[old.key] == old { entries[old.key] = nil }
    }
    if oldest > 1024, oldest * 2 > order.count {
      order.removeFirst(oldest)
      oldest = 0
    }
  }

  var count: Int { entries.count }

  /// Those not yet let go of, in the order they came.
  var remembered: [Entry] { order[oldest...].filter { entries[$0.key] == $0 } }
}
