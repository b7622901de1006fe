// Reads committed frames back from a lane's log files, until they are in segments.
import NIOCore
import Wire

/// An open file that is closed when the last one who uses it lets go, even if it was removed meanwhile.
final class SharedFile: Sendable {
  let file: any DiskFile
  init(_ file: any DiskFile) { self.file = file }
  deinit { file.close() }
}

/// The log files as they were when it was made. Whoever holds one keeps them from being recycled, or waits for
/// nothing that comes after.
struct WALReader: Sendable {
  struct File: Sendable {
    var generation: UInt64
    var path: String
    var handle: SharedFile
  }
  var files: [File] = []

  /// The next frames that lie one behind another in one file: about `bytesMax` bytes, but at least one frame.
  /// nil if there is none, or no byte to spare.
  func nextRun(of entries: ArraySlice<FrameEntry>, bytesMax: Int) -> ArraySlice<FrameEntry>? {
    guard let first = entries.first, bytesMax > 0 else { return nil }
    var end = first.addressEnd
    var bytes = Int(first.byteCount)
    let rest = entries.dropFirst().prefix { entry in
      guard entry.address == end, bytes + Int(entry.byteCount) <= bytesMax else { return false }
      bytes += Int(entry.byteCount)
      end = entry.addressEnd
      return true
    }
    return entries[entries.startIndex..<rest.endIndex]
  }

  /// Reads one run's bytes, unchecked, into the end of `buffer`.
  func read(_ run: ArraySlice<FrameEntry>, into buffer: inout ByteBuffer) throws(LogError) {
    let start = run.first!.address
    let count = run.last!.addressEnd.position - start.position
    guard let file = files.first(where: { $0.generation == start.generation }) else {
      preconditionFailure("log file of generation \(start.generation) was recycled too early")
    }
    let got: Int
    do {
      got = try file.handle.file.read(at: start.position, count: count, into: &buffer)
    } catch {
      throw LogError(error)
    }
    guard got == count else {
      throw .damaged(file: file.path, position: start.position, "\(count - got) bytes are missing")
    }
  }

  /// The frames of `entries`, checked: for readers that are behind the frames in memory.
  func chunk(_ entries: ArraySlice<FrameEntry>) throws(LogError) -> FrameChunk {
    var chunk = FrameChunk(emptyAt: entries.first!.base)
    var rest = entries
    while let run = nextRun(of: rest, bytesMax: .max) {
      rest = rest[run.endIndex...]
      var buffer = ByteBuffer()
      try read(run, into: &buffer)
      do {
        let taken = try chunk.append(checking: buffer)
        guard taken == buffer.readableBytes, chunk.start == entries.first!.base else {
          throw FrameDamage.field("length or offset")
        }
      } catch {
        let path = files.first { $0.generation == run.first!.address.generation }?.path ?? ""
        throw .damaged(file: path, position: run.first!.address.position, "\(error)")
      }
    }
    return chunk
  }

  /// The stamps of frames that carry one.
  func stamps(_ entries: [FrameEntry]) throws(LogError) -> [StampedRange] {
    var stamps: [StampedRange] = []
    for index in entries.indices {
      var buffer = ByteBuffer()
      try read(entries[index...index], into: &buffer)
      do {
        let frame = try Frame(checking: buffer)
        stamps.append(
          StampedRange(
            extras: frame.extras, offsets: frame.baseOffset..<frame.endOffset,
            timestamp: frame.timestamp))
      } catch {
        let address = entries[index].address
        let path = files.first { $0.generation == address.generation }?.path ?? ""
        throw .damaged(file: path, position: address.position, "\(error)")
      }
    }
    return stamps
  }
}
