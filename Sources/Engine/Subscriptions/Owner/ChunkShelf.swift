// Chunks that a subscription fetched lately, so that delivering them, and delivering them again, needs no read.
import Synchronization
import Wire

/// Bytes that all shelves of a node hold together.
final class ShelfBudget: Sendable {
  static let bytesMax = 256 << 20
  private let bytes = Atomic<Int>(0)
  func add(_ count: Int) { bytes.wrappingAdd(count, ordering: .relaxed) }
  var isExceeded: Bool { bytes.load(ordering: .relaxed) > Self.bytesMax }
}

/// A few chunks of each shard, by offset; the ones put there longest ago go first. What was delivered holds its own
/// chunks, so that anything may leave at any time.
struct ChunkShelf {
  private struct Entry {
    var chunk: FrameChunk
    /// When it came, in puts.
    var age: UInt64
  }
  private struct Row {
    /// By start; they do not overlap.
    var entries: [Entry] = []
  }

  private let budget: ShelfBudget
  private let bytesMax: Int
  private var rows: [Row]
  /// The order in which chunks came; those that are gone are passed over.
  private var arrivals: [(shard: Int, start: Offset, age: UInt64)] = []
  private var arrivalsDone = 0
  private var puts: UInt64 = 0
  private var entryCount = 0
  private(set) var byteCount = 0

  init(shardCount: Int, bytesMax: Int, budget: ShelfBudget) {
    rows = Array(repeating: Row(), count: shardCount)
    self.bytesMax = bytesMax
    self.budget = budget
  }

  /// The chunk that holds the record at `offset`.
  func chunk(_ shard: Int, at offset: Offset) -> FrameChunk? {
    let entries = rows[shard].entries
    let index = entries.partitionPoint { $0.chunk.end <= offset }
    guard index < entries.count, entries[index].chunk.start <= offset else { return nil }
    return entries[index].chunk
  }

  mutating func put(_ chunk: FrameChunk, _ shard: Int) {
    guard !chunk.isEmpty else { return }
    let entries = rows[shard].entries
    // One that overlaps others takes their place: reads of the same records may cut them otherwise.
    let first = entries.partitionPoint { $0.chunk.end <= chunk.start }
    var last = first
    while last < entries.count, entries[last].chunk.start < chunk.end { last += 1 }
    for entry in entries[first..<last] { count(-entry.chunk.byteCount) }
    entryCount += 1 - (last - first)
    puts += 1
    rows[shard].entries.replaceSubrange(
      first..<last, with: CollectionOfOne(Entry(chunk: chunk, age: puts)))
    arrivals.append((shard, chunk.start, puts))
    count(chunk.byteCount)
    while byteCount > bytesMax || budget.isExceeded && byteCount > chunk.byteCount {
      guard dropOldest(but: puts) else { break }
    }
    if arrivals.count > 2 * entryCount + 64 { forgetGone() }
  }

  /// Another `bytes` would push out what may still be needed.
  func isFull(for bytes: Int) -> Bool { byteCount + bytes > bytesMax }

  /// Lets everything below `offset` go.
  mutating func drop(_ shard: Int, below offset: Offset) {
    let gone = rows[shard].entries.partitionPoint { $0.chunk.end <= offset }
    guard gone > 0 else { return }
    for entry in rows[shard].entries[..<gone] { count(-entry.chunk.byteCount) }
    rows[shard].entries.removeFirst(gone)
    entryCount -= gone
  }

  mutating func clear() {
    for index in rows.indices { rows[index].entries = [] }
    arrivals = []
    arrivalsDone = 0
    entryCount = 0
    count(-byteCount)
  }

  private mutating func dropOldest(but newest: UInt64) -> Bool {
    while arrivalsDone < arrivals.count {
      let (shard, start, age) = arrivals[arrivalsDone]
      guard age != newest else { return false }
      arrivalsDone += 1
      if arrivalsDone > 64, arrivalsDone * 2 > arrivals.count {
        arrivals.removeFirst(arrivalsDone)
        arrivalsDone = 0
      }
      let entries = rows[shard].entries
      let index = entries.partitionPoint { $0.chunk.start < start }
      guard index < entries.count, entries[index].age == age else { continue }
      count(-entries[index].chunk.byteCount)
      rows[shard].entries.remove(at: index)
      entryCount -= 1
      return true
    }
    return false
  }

  /// Arrivals of what is there no more, once they are the most.
  private mutating func forgetGone() {
    arrivals.removeFirst(arrivalsDone)
    arrivalsDone = 0
    arrivals.removeAll { [rows] arrival in
      let entries = rows[arrival.shard].entries
      let index = entries.partitionPoint { $0.chunk.start < arrival.start }
      return index == entries.count || entries[index].age != arrival.age
    }
  }

  private mutating func count(_ bytes: Int) {
    byteCount += bytes
    budget.add(bytes)
  }
}

extension FrameChunk {
  /// The XXH64 of each record's key from `first` on; 0 for a record without one.
  func keyHashes(from first: Offset) -> [UInt64] {
    var hashes: [UInt64] = []
    hashes.reserveCapacity(end.distance(from: first))
    forEachFrame { header, frame in
      guard header.endOffset > first else { return }
      guard !header.flags.contains(.plain) else {
        let count = header.endOffset.distance(from: max(first, header.baseOffset))
        for _ in 0..<count { hashes.append(0) }
        return
      }
      _ = header.forEachRecord(in: frame, from: first) { record in
        // 0 stands for no key: the one key in 2^64 that has this hash shares another's line.
        hashes.append(record.key.map { max(1, KeyHash.xxh64($0)) } ?? 0)
        return true
      }
    }
    return hashes
  }
}
