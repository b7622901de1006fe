// The last commit groups of a lane in memory, so that readers near the tail need no disk.
import NIOCore
import Wire

struct GroupCache {
  private struct Group {
    var start: WALAddress
    var bytes: ByteBuffer
  }

  let bytesMax: Int
  /// By address; those before `first` are gone.
  private var groups: [Group] = []
  private var first = 0
  private(set) var byteCount = 0

  init(bytesMax: Int) { self.bytesMax = bytesMax }

  /// Takes the newest group; the oldest ones make room.
  mutating func insert(_ bytes: ByteBuffer, at start: WALAddress) {
    groups.append(Group(start: start, bytes: bytes))
    byteCount += bytes.storageCapacity
    while byteCount > bytesMax, first < groups.count { dropFirst() }
  }

  /// Drops groups that begin before `address`.
  mutating func drop(before address: WALAddress) {
    while first < groups.count, groups[first].start < address { dropFirst() }
  }

  private mutating func dropFirst() {
    byteCount -= groups[first].bytes.storageCapacity
    groups[first].bytes = ByteBuffer()
    first += 1
    guard first > 64, first > groups.count / 2 else { return }
    groups.removeFirst(first)
    first = 0
  }

  /// As many of `entries` as are in memory from the first on, up to `bytesMax` but at least one; nil if the first
  /// is not. An entry ends where the next begins, the last one at `end`.
  func chunk(_ entries: ArraySlice<FrameEntry>, end: Offset, bytesMax: Int) -> FrameChunk? {
    var chunk = FrameChunk(emptyAt: entries.first!.base)
    var next = entries.startIndex
    while next < entries.endIndex, let group = group(holding: entries[next].address) {
      // Neighbours become one slice; a group's header and trailer part those of different groups.
      let first = next
      let start = entries[first].address
      var isOpaque = false
      repeat {
        isOpaque = isOpaque || entries[next].marks.contains(.opaque)
        next += 1
        guard next < entries.endIndex, entries[next].address == entries[next - 1].addressEnd
        else { break }
      } while chunk.byteCount + entries[next].addressEnd.position - start.position <= bytesMax
      let slice = group.bytes.getSlice(
        at: start.position - group.start.position,
        length: entries[next - 1].addressEnd.position - start.position)!
      chunk.append(
        trusted: slice, start: entries[first].base,
        end: next < entries.endIndex ? entries[next].base : end, hasOpaque: isOpaque)
      guard next < entries.endIndex,
        chunk.byteCount + Int(entries[next].byteCount) <= bytesMax
      else { break }
    }
    return chunk.isEmpty ? nil : chunk
  }

  private func group(holding address: WALAddress) -> Group? {
    var low = first
    var high = groups.count
    while low < high {
      let middle = (low + high) / 2
      if groups[middle].start <= address { low = middle + 1 } else { high = middle }
    }
    // Groups go oldest first, so the one that is left begins there if it is left at all.
    return low > first ? groups[low - 1] : nil
  }
}
