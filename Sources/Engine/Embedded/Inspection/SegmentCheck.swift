// Reads one segment from end to end and checks every frame, going on behind each damage that it finds.
import Glibc
import NIOCore
import Wire

struct SegmentCheck {
  /// A gap in what can be read.
  struct Damage {
    var position: Int
    var reason: String
    var lost: Range<Offset>
    var bytes: Int
  }

  /// Read at a time; more when a frame is larger.
  private static let pieceBytes = 1 << 20

  let segment: SegmentCheckpoint
  let file: any DiskFile
  private(set) var damages: [Damage] = []
  private(set) var frames = 0
  private(set) var records = 0
  private var position = 0
  /// Where the segment ends, or its file does.
  private var end = 0
  /// The file ends within a frame.
  private var isOver = false
  /// The offset that comes next.
  private var next: Offset
  private var lastTimestamp = Timestamp(milliseconds: .min)
  /// Behind a head that cannot be read, looking for the next one.
  private var isSkipping = false

  init(_ segment: SegmentCheckpoint, in file: any DiskFile) {
    self.segment = segment
    self.file = file
    next = segment.baseOffset
  }

  /// - Parameter progress: called with the bytes that were read since the last call.
  mutating func run(_ progress: (Int) -> Void) throws(DiskError) {
    let size = try file.size()
    end = min(size, segment.bytes)
    var wanted = Self.pieceBytes
    while position < end, !isOver {
      let count = min(wanted, end - position)
      var piece = ByteBufferAllocator().buffer(capacity: count)
      let start = position
      let got = try file.read(at: start, count: count, into: &piece)
      end = got < count ? start + got : end
      wanted = piece.withUnsafeReadableBytes { walk($0, from: start) }
      progress(position - start)
    }
    if end < segment.bytes {
      note("the file ends at byte \(end), it should have \(segment.bytes)", upTo: segment.endOffset)
    } else if next != segment.endOffset {
      note("the segment ends with offset \(next)", upTo: max(next, segment.endOffset))
    }
  }

  private mutating func note(_ reason: String, upTo end: Offset) {
    damages.append(
      Damage(position: position, reason: reason, lost: min(next, end)..<end, bytes: 0))
    next = max(next, end)
  }

  /// Moves on through `bytes`, which begin at `start`, as far as whole frames go.
  /// - Returns: how much to read next.
  private mutating func walk(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
    while position - start < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[(position - start)...])
      if isSkipping {
        guard skip(rest, "") else { return Self.pieceBytes }
        continue
      }
      let header: FrameHeader
      do {
        header = try FrameHeader(checking: rest)
      } catch .cutOff where position + rest.count < end {
        return Self.pieceBytes
      } catch .cutOff where end < segment.bytes {
        isOver = true
        return 0
      } catch {
        guard skip(rest, "\(error)") else { return Self.pieceBytes }
        continue
      }
      guard position + header.frameBytes <= segment.bytes else {
        guard skip(rest, "a frame reaches past the segment's end") else { return Self.pieceBytes }
        continue
      }
      guard position + header.frameBytes <= end else {
        isOver = true
        return 0
      }
      guard header.frameBytes <= rest.count else { return max(header.frameBytes, Self.pieceBytes) }
      do {
        try header.checkPayload(rest)
      } catch {
        // The length is not under the head's checksum: it is not believed either.
        guard skip(rest, "\(error)") else { return Self.pieceBytes }
        continue
      }
      take(header)
    }
    return Self.pieceBytes
  }

  /// A whole frame: it should be the next one.
  private mutating func take(_ header: FrameHeader) {
    defer {
      position += header.frameBytes
      next = max(next, header.endOffset)
    }
    guard header.kind == .records, header.shard == segment.shard, header.baseOffset >= next else {
      return note(
        "a frame of shard \(header.shard), offset \(header.baseOffset), where \(next) should be",
        upTo: next)
    }
    if header.baseOffset > next {
      note("the frame there begins with offset \(header.baseOffset)", upTo: header.baseOffset)
    }
    if header.timestamp < lastTimestamp {
      note("the frame there is older than the one before it", upTo: next)
    }
    lastTimestamp = max(lastTimestamp, header.timestamp)
    frames += 1
    records += header.count
  }

  /// Looks in `bytes` for the next frame of this shard, behind one whose head cannot be read.
  /// - Returns: false if there is none yet: what `bytes` has was passed over.
  private mutating func skip(_ bytes: UnsafeRawBufferPointer, _ reason: String) -> Bool {
    var place = isSkipping ? 0 : 1
    let from = position
    if !isSkipping {
      isSkipping = true
      note(reason, upTo: next)
    }
    while place < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[place...])
      if let header = try? FrameHeader(checking: rest), header.shard == segment.shard,
        header.baseOffset >= next, header.endOffset <= segment.endOffset
      {
        found(header, at: from + place)
        return true
      }
      // A head may be cut off by the piece's end.
      let isCutOff = rest.count < FrameLayout.headerBytes + Int(UInt16.max)
      if isCutOff, from + bytes.count < end { break }
      place += 1
      place = bytes.firstIndex(of: UInt8(truncatingIfNeeded: FrameLayout.magic), from: place)
    }
    position = from + place
    if position >= end { found(nil, at: end) }
    return false
  }

  /// Skipping has come to its end: at a frame, or at the segment's end.
  private mutating func found(_ header: FrameHeader?, at place: Int) {
    isSkipping = false
    let end = header?.baseOffset ?? segment.endOffset
    let last = damages.count - 1
    damages[last].lost = damages[last].lost.lowerBound..<max(end, damages[last].lost.lowerBound)
    damages[last].bytes = place - damages[last].position
    next = max(next, end)
    position = place
  }
}

extension UnsafeRawBufferPointer {
  /// The first place of `byte` from `start` on, or the end.
  fileprivate func firstIndex(of byte: UInt8, from start: Int) -> Int {
    guard start < count, let base = baseAddress,
      let found = memchr(base + start, CInt(byte), count - start)
    else { return count }
    return UnsafeRawPointer(found) - base
  }
}
