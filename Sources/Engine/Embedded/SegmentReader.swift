// Reads records back from segments by offset or time, through a bounded number of open files. Blocks.
import NIOCore
import Synchronization
import Wire

/// Why a segment could not be read.
enum SegmentReadError: Error {
  /// Its file is not there: trimmed away while the reader was on its way.
  case gone
  case failed(LogError)
}

/// Used from several executors at once; the mutex is never held while something blocks.
final class SegmentReader: Sendable {
  private struct Key: Hashable {
    var shard: ShardID
    var base: Offset
  }
  private struct Open {
    var segment: OpenSegment
    var lastUse: UInt64
  }
  private struct State {
    var open: [Key: Open] = [:]
    var uses: UInt64 = 0
    /// Reads still under way keep their files to themselves.
    var isClosed = false
  }

  private let disk: any Disk
  private let options: StoreOptions
  private let state = Mutex(State())

  init(disk: any Disk, options: StoreOptions) {
    self.disk = disk
    self.options = options
  }

  var openFiles: Int { state.withLock { $0.open.count } }

  /// Frames of `segment` from the one that holds `from` on; one large read as a rule.
  func read(_ segment: SegmentCheckpoint, from: Offset, bytesMax: Int) throws(SegmentReadError)
    -> FrameChunk
  {
    try file(of: segment).read(segment, from: from, bytesMax: bytesMax)
  }

  /// The base offset of the first frame at or after `time`; the segment's end if there is none.
  func find(_ time: Timestamp, in segment: SegmentCheckpoint) throws(SegmentReadError) -> Offset {
    try file(of: segment).find(time, in: segment)
  }

  /// Lets go of a segment whose file was removed, so that its space comes free.
  func forget(_ segment: SegmentCheckpoint) {
    let key = Key(shard: segment.shard, base: segment.baseOffset)
    // Closed here, outside the lock, unless somebody is reading.
    _ = state.withLock { $0.open.removeValue(forKey: key) }
  }

  func forgetAll() {
    _ = state.withLock { state in
      defer { state.open = [:] }
      state.isClosed = true
      return state.open
    }
  }

  private func file(of segment: SegmentCheckpoint) throws(SegmentReadError) -> OpenSegment {
    let key = Key(shard: segment.shard, base: segment.baseOffset)
    let known = state.withLock { state -> OpenSegment? in
      state.uses += 1
      state.open[key]?.lastUse = state.uses
      return state.open[key]?.segment
    }
    if let known { return known }
    let opened: OpenSegment
    do {
      opened = try OpenSegment(segment, disk: disk, options: options)
    } catch {
      throw error.kind == .notFound ? .gone : .failed(LogError(error))
    }
    let (kept, dropped) = state.withLock { state -> (OpenSegment, OpenSegment?) in
      if let other = state.open[key] { return (other.segment, nil) }
      if state.isClosed { return (opened, nil) }
      var dropped: OpenSegment?
      if state.open.count >= options.openFilesMax,
        let oldest = state.open.min(by: { $0.value.lastUse < $1.value.lastUse })
      {
        dropped = state.open.removeValue(forKey: oldest.key)?.segment
      }
      // Others may have come and gone meanwhile: no two have the same last use, so which is oldest is never open.
      state.uses += 1
      state.open[key] = Open(segment: opened, lastUse: state.uses)
      return (opened, dropped)
    }
    withExtendedLifetime(dropped) {}
    return kept
  }
}

/// A segment file held open, with what is known of the places in it.
private final class OpenSegment: Sendable {
  private struct Place {
    var offset: Offset
    var position: Int
  }
  private struct Known {
    /// Entry k of the index file; holes never.
    var index: [SegmentIndexEntry] = []
    /// Where the last readers stopped: a reader that goes on needs no search.
    var stops: [Place] = []
  }
  private static let stopsMax = 16
  /// How much is read at a time when only headers are wanted.
  private static let walkBytes = 64 << 10

  private let handle: SharedFile
  private let path: String
  private let disk: any Disk
  private let indexer: SegmentIndexer
  private let known = Mutex(Known())

  init(_ segment: SegmentCheckpoint, disk: any Disk, options: StoreOptions) throws(DiskError) {
    path = SegmentFiles.records(segment.shard, segment.baseOffset)
    handle = SharedFile(try disk.open(path, create: false))
    self.disk = disk
    indexer = SegmentIndexer(every: options.indexEveryBytes)
  }

  // MARK: By offset

  func read(_ segment: SegmentCheckpoint, from: Offset, bytesMax: Int) throws(SegmentReadError)
    -> FrameChunk
  {
    var place = try start(of: from, in: segment)
    // The frame sought may begin anywhere in the stretch that an index entry covers.
    var count = bytesMax + (place.offset == from ? 0 : indexer.every)
    while place.position < segment.bytes {
      count = min(max(count, FrameLayout.headerBytes), segment.bytes - place.position)
      var bytes = ByteBufferAllocator().buffer(capacity: count)
      try fill(&bytes, at: place.position, count: count)
      var next = place
      var found: Int?
      try walk(bytes, segment, &next) { header, _ in
        found = header.endOffset > from ? header.frameBytes : nil
        return found != nil
      }
      let skipped = next.position - place.position
      let frameBytes = found ?? FrameLayout.headerBytes + Int(UInt16.max)
      guard found != nil, skipped + frameBytes <= count else {
        guard count < segment.bytes - place.position else { break }
        // Cut off: read again, from the frame sought on, as much as it takes.
        place = next
        count = max(bytesMax, frameBytes)
        continue
      }
      place = next
      bytes.moveReaderIndex(forwardBy: skipped)
      let slice = bytes.readSlice(length: min(bytes.readableBytes, max(bytesMax, frameBytes)))!
      var chunk = FrameChunk(emptyAt: place.offset)
      do {
        let taken = try chunk.append(checking: slice)
        remember(Place(offset: chunk.end, position: place.position + taken))
        return chunk
      } catch {
        throw damage(at: place.position, "\(error)")
      }
    }
    throw damage(at: place.position, "offset \(from) is missing")
  }

  /// A frame's place at or before `offset`: exact where a reader stopped, else from the index.
  private func start(of offset: Offset, in segment: SegmentCheckpoint) throws(SegmentReadError)
    -> Place
  {
    let stop = known.withLock { known -> Place? in
      guard let index = known.stops.lastIndex(where: { $0.offset == offset }) else { return nil }
      return known.stops.remove(at: index)
    }
    if let stop { return stop }
    let index = try index(of: segment)
    let after = index.partitionIndex { $0.offset > offset }
    guard after > 0 else { return Place(offset: segment.baseOffset, position: 0) }
    return Place(offset: index[after - 1].offset, position: index[after - 1].position)
  }

  private func remember(_ stop: Place) {
    known.withLock { known in
      if known.stops.count == Self.stopsMax { known.stops.removeFirst() }
      known.stops.append(stop)
    }
  }

  // MARK: By time

  func find(_ time: Timestamp, in segment: SegmentCheckpoint) throws(SegmentReadError) -> Offset {
    let index = try index(of: segment)
    let after = index.partitionIndex { $0.timestamp >= time }
    var place = Place(offset: segment.baseOffset, position: 0)
    if after > 0 {
      place = Place(offset: index[after - 1].offset, position: index[after - 1].position)
    }
    try walkFile(segment, &place) { header, _ in header.timestamp >= time }
    return place.offset
  }

  // MARK: Headers

  /// Moves `place` from frame to frame through `bytes`, which begin there, until `stop` says so or a header is cut
  /// off.
  private func walk(
    _ bytes: ByteBuffer, _ segment: SegmentCheckpoint, _ place: inout Place,
    until stop: (FrameHeader, Int) -> Bool
  ) throws(SegmentReadError) {
    let start = place.position
    while place.position - start < bytes.readableBytes {
      let header: FrameHeader
      do {
        header = try bytes.withUnsafeReadableBytes { raw throws(FrameDamage) in
          try FrameHeader(
            checking: UnsafeRawBufferPointer(rebasing: raw[(place.position - start)...]))
        }
      } catch .cutOff {
        return
      } catch {
        throw damage(at: place.position, "\(error)")
      }
      guard header.shard == segment.shard, header.baseOffset == place.offset else {
        throw damage(
          at: place.position, "a frame of shard \(header.shard), offset \(header.baseOffset)")
      }
      if stop(header, place.position) { return }
      place.position += header.frameBytes
      place.offset = header.endOffset
    }
  }

  /// The same through the whole file.
  private func walkFile(
    _ segment: SegmentCheckpoint, _ place: inout Place,
    until stop: (FrameHeader, Int) -> Bool
  ) throws(SegmentReadError) {
    var hasStopped = false
    while !hasStopped, place.position < segment.bytes {
      let start = place.position
      let count = min(Self.walkBytes, segment.bytes - start)
      var bytes = ByteBufferAllocator().buffer(capacity: count)
      try fill(&bytes, at: start, count: count)
      try walk(bytes, segment, &place) { header, position in
        hasStopped = stop(header, position)
        return hasStopped
      }
      if place.position == start, !hasStopped {
        throw damage(at: start, "a header reaches past the segment's end")
      }
    }
  }

  private func fill(_ bytes: inout ByteBuffer, at position: Int, count: Int)
    throws(SegmentReadError)
  {
    let got: Int
    do {
      got = try handle.file.read(at: position, count: count, into: &bytes)
    } catch {
      throw .failed(LogError(error))
    }
    guard got == count else { throw damage(at: position + got, "\(count - got) bytes are missing") }
  }

  private func damage(at position: Int, _ reason: String) -> SegmentReadError {
    .failed(.damaged(file: path, position: position, reason))
  }

  // MARK: Index

  /// The index up to the segment's size as given; what the file lacks or has wrong is found by walking.
  private func index(of segment: SegmentCheckpoint) throws(SegmentReadError)
    -> [SegmentIndexEntry]
  {
    var index = known.withLock { $0.index }
    let count = indexer.count(bytes: segment.bytes)
    guard index.count < count else { return index }
    readIndexFile(segment, into: &index)
    if index.count > count { index.removeLast(index.count - count) }
    if try !endIsTrue(of: index, segment) { index = [] }
    if index.count < count {
      let found = index.count
      try walkIndex(segment, into: &index)
      writeIndexFile(segment, index, from: found)
    }
    let whole = index
    known.withLock { known in
      if known.index.count < whole.count { known.index = whole }
    }
    return whole
  }

  /// Takes entries over as long as they are plausible; nothing here may fail a read.
  private func readIndexFile(_ segment: SegmentCheckpoint, into index: inout [SegmentIndexEntry]) {
    let path = SegmentFiles.index(segment.shard, segment.baseOffset)
    guard let file = try? disk.open(path, create: false) else { return }
    defer { file.close() }
    let missing = indexer.count(bytes: segment.bytes) - index.count
    var bytes = ByteBuffer()
    _ = try? file.read(
      at: index.count * SegmentIndexEntry.bytes, count: missing * SegmentIndexEntry.bytes,
      into: &bytes)
    for place in stride(from: 0, to: bytes.readableBytes, by: SegmentIndexEntry.bytes) {
      guard let entry = SegmentIndexEntry(in: bytes, at: place),
        entry.position <= (index.count + 1) * indexer.every,
        entry.position >= index.last?.position ?? 0,
        entry.offset >= index.last?.offset ?? segment.baseOffset,
        entry.offset < segment.endOffset
      else { return }
      index.append(entry)
    }
  }

  /// Whether the last entry points at the frame that it names: an index of another life of the file does not.
  private func endIsTrue(of index: [SegmentIndexEntry], _ segment: SegmentCheckpoint)
    throws(SegmentReadError) -> Bool
  {
    guard let last = index.last else { return true }
    guard last.position + FrameLayout.headerBytes <= segment.bytes else { return false }
    let count = min(segment.bytes - last.position, FrameLayout.headerBytes + Int(UInt16.max))
    var bytes = ByteBuffer()
    try fill(&bytes, at: last.position, count: count)
    let header = bytes.withUnsafeReadableBytes { try? FrameHeader(checking: $0) }
    return header?.shard == segment.shard && header?.baseOffset == last.offset
      && header?.timestamp == last.timestamp
  }

  private func walkIndex(_ segment: SegmentCheckpoint, into index: inout [SegmentIndexEntry])
    throws(SegmentReadError)
  {
    var place = Place(offset: segment.baseOffset, position: 0)
    if let last = index.last { place = Place(offset: last.offset, position: last.position) }
    var found = index
    try walkFile(segment, &place) { header, position in
      for entry in indexer.entries(position: position, frameBytes: header.frameBytes)
      where entry == found.count {
        found.append(
          SegmentIndexEntry(
            offset: header.baseOffset, position: position, timestamp: header.timestamp))
      }
      return false
    }
    index = found
  }

  /// For the next one who opens this segment; if it fails, he walks again.
  private func writeIndexFile(
    _ segment: SegmentCheckpoint, _ index: [SegmentIndexEntry], from first: Int
  ) {
    let path = SegmentFiles.index(segment.shard, segment.baseOffset)
    guard let file = try? disk.open(path, create: true) else { return }
    defer { file.close() }
    var bytes = ByteBuffer()
    for entry in index[first...] { entry.write(into: &bytes) }
    try? file.write([bytes], at: first * SegmentIndexEntry.bytes)
  }
}

extension Array {
  /// The first index whose element fits, or the end; those that fit come last.
  func partitionIndex(where fits: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if fits(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
