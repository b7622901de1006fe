// What a stream's idempotency keys were used for, whichever of its shards took the records. No clocks or executors.
import Wire

/// A shard's own table knows what lies in that shard: it answers repeats, but cannot see that a key was used for
/// records of another shard. So on a stream of several shards each key has a home, the shard that its hash chooses, and
/// a request claims its key there before anything is appended. Nothing is written for it: the records' own frames carry
/// key and digest, and after a start the registry is filled from what all shards remember of them.
/// - SeeAlso: docs/decisions/007-idempotency-keys.md
struct KeyRegistry {
  private struct Entry {
    var digest: BodyDigest
    var timestamp: Timestamp
    var isInProgress: Bool
    /// Records may have been appended under it.
    var isUsed: Bool
  }

  private var entries: [String: Entry] = [:]
  /// Keys in the order in which their time ends; one that was used again stands here twice, first in vain.
  private var order: [(key: String, timestamp: Timestamp)] = []
  private var oldest = 0
  private let keysMax: Int
  private let kept: Duration

  init(keysMax: Int, kept: Duration) {
    self.keysMax = keysMax
    self.kept = kept
  }

  /// Takes in what a shard remembers.
  mutating func remember(_ key: String, _ digest: BodyDigest, timestamp: Timestamp) {
    if let known = entries[key], known.timestamp >= timestamp { return }
    entries[key] = Entry(digest: digest, timestamp: timestamp, isInProgress: false, isUsed: true)
  }

  /// Brings in order what was remembered from several shards.
  mutating func filled() { sortOrder() }

  private mutating func sortOrder() {
    // Keys of one moment by name: expiry may stop between them, and is to stop at the same one in every process.
    order = entries.map { ($0.key, $0.value.timestamp) }.sorted {
      ($0.timestamp, $0.key) < ($1.timestamp, $1.key)
    }
    oldest = 0
  }

  /// Lets a request go on; every claim is to be settled.
  /// - Throws: `.idempotencyMismatch`, `.idempotencyInProgress` until the first one is settled, `.idempotencyFull`.
  mutating func claim(_ key: String, _ digest: BodyDigest, now: Timestamp) throws(AppendError) {
    expire(now: now)
    guard var entry = entries[key] else {
      guard entries.count < keysMax else { throw .idempotencyFull }
      entries[key] = Entry(digest: digest, timestamp: now, isInProgress: true, isUsed: false)
      order.append((key, now))
      // Refused requests free their keys and leave their places.
      if placeCount > 2 * entries.count + 1024 { sortOrder() }
      return
    }
    guard entry.digest == digest else { throw .idempotencyMismatch }
    guard !entry.isInProgress else { throw .idempotencyInProgress }
    entry.isInProgress = true
    entries[key] = entry
  }

  /// A claimed request is over. If nothing of it can have been appended, now or before, its key is free again.
  mutating func settle(_ key: String, _ outcome: KeyOutcome, now: Timestamp) {
    guard var entry = entries[key] else { return }
    if outcome == .nothing, !entry.isUsed {
      entries[key] = nil
      return
    }
    entry.isInProgress = false
    entry.isUsed = true
    if outcome == .appended {
      entry.timestamp = max(now, entry.timestamp)
      order.append((key, entry.timestamp))
    }
    entries[key] = entry
  }

  private mutating func expire(now: Timestamp) {
    let horizon = now.milliseconds - kept.milliseconds
    while oldest < order.count, order[oldest].timestamp.milliseconds < horizon {
      let (key, timestamp) = order[oldest]
      oldest += 1
      guard let entry = entries[key], entry.timestamp == timestamp else { continue }
      if entry.isInProgress {
        // Whoever still waits for the disk settles it later.
        order.append((key, timestamp))
        break
      }
      entries[key] = nil
    }
    if oldest > 1024, oldest * 2 > order.count {
      order.removeFirst(oldest)
      oldest = 0
    }
  }

  var count: Int { entries.count }
  /// Keys in order, those that are free again and those that stand there twice included.
  var placeCount: Int { order.count - oldest }
}

/// What became of a request that had claimed its key.
public enum KeyOutcome: Sendable, Equatable {
  /// Records were appended, or may have been.
  case appended
  /// All of it that stands had been appended before.
  case known
  case nothing
}
