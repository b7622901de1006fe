// A run of frames on its way to readers, and the walk over its records.
import NIOCore

/// One record, lent for the length of a call. Nothing in it may be kept.
public struct RecordView {
  public let offset: Offset
  public let timestamp: Timestamp
  /// JSON text in one line, or opaque bytes when `contentType` is set.
  public let value: UnsafeRawBufferPointer
  public let key: UnsafeRawBufferPointer?
  public let contentType: UnsafeRawBufferPointer?
  /// Encoded name and value pairs; walk them with `forEachHeader`.
  @usableFromInline let headers: UnsafeRawBufferPointer?
  public let headerCount: Int

  @usableFromInline
  init(
    offset: Offset, timestamp: Timestamp, value: UnsafeRawBufferPointer,
    key: UnsafeRawBufferPointer?,
    contentType: UnsafeRawBufferPointer?, headers: UnsafeRawBufferPointer?, headerCount: Int
  ) {
    self.offset = offset
    self.timestamp = timestamp
    self.value = value
    self.key = key
    self.contentType = contentType
    self.headers = headers
    self.headerCount = headerCount
  }

  public func forEachHeader(
    _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void
  ) {
    guard let headers else { return }
    var position = 0
    for _ in 0..<headerCount {
      guard let name = headers.slice(at: &position), let value = headers.slice(at: &position) else {
        return
      }
      body(name, value)
    }
  }
}

/// Checked frames of one shard, in order and without holes, in as few buffers as they came in.
public struct FrameChunk: Sendable {
  /// Each holds one or more whole frames.
  public private(set) var buffers: [ByteBuffer] = []
  /// The first record's offset: at or before the one that was asked for.
  public private(set) var start: Offset
  /// One past the last record.
  public private(set) var end: Offset
  public private(set) var byteCount = 0
  /// True if at least one value is opaque bytes.
  public private(set) var hasOpaque = false

  public init(emptyAt offset: Offset) {
    start = offset
    end = offset
  }

  public init(_ frames: [Frame]) {
    precondition(!frames.isEmpty)
    self.init(emptyAt: frames[0].baseOffset)
    for frame in frames { append(frame) }
  }

  public mutating func append(_ frame: Frame) {
    precondition(frame.kind == .records, "chunks carry records only")
    precondition(
      buffers.isEmpty || frame.baseOffset == end,
      "frame at \(frame.baseOffset), chunk ends at \(end)")
    if buffers.isEmpty { start = frame.baseOffset }
    buffers.append(frame.bytes)
    end = frame.endOffset
    byteCount += frame.byteCount
    hasOpaque = hasOpaque || frame.flags.contains(.opaque)
  }

  /// Takes records frames that were checked before: all of `buffer`, which holds whole frames from `start` to `end`.
  public mutating func append(
    trusted buffer: ByteBuffer, start: Offset, end: Offset, hasOpaque: Bool
  ) {
    precondition(isEmpty || start == self.end, "frames at \(start), chunk ends at \(self.end)")
    if isEmpty { self.start = start }
    self.end = end
    buffers.append(buffer)
    byteCount += buffer.readableBytes
    self.hasOpaque = self.hasOpaque || hasOpaque
  }

  /// Checks header, payload and order of every frame in `buffer` and takes the whole frames; control frames are
  /// passed over. A frame cut off by the buffer's end is left out; it must not be the first.
  /// - Returns: the bytes taken, so that the caller knows where the next read starts.
  /// - Throws: what is wrong with the first bad frame; nothing is taken then.
  public mutating func append(checking buffer: ByteBuffer) throws(FrameDamage) -> Int {
    // Runs of records between control frames, as distances from the reader index.
    var runs: [Range<Int>] = []
    var next = FrameChunk(emptyAt: end)
    var position = 0
    while position < buffer.readableBytes {
      let header: FrameHeader
      do {
        header = try buffer.withUnsafeReadableBytes { raw throws(FrameDamage) in
          let frame = UnsafeRawBufferPointer(rebasing: raw[position...])
          let header = try FrameHeader(checking: frame)
          try header.checkPayload(frame)
          return header
        }
      } catch {
        if case .cutOff = error, position > 0 { break }
        throw error
      }
      let frameEnd = position + header.frameBytes
      if header.kind == .records {
        if isEmpty, next.isEmpty { next = FrameChunk(emptyAt: header.baseOffset) }
        guard header.baseOffset == next.end else { throw .field("base offset") }
        next.end = header.endOffset
        next.hasOpaque = next.hasOpaque || header.flags.contains(.opaque)
        if let last = runs.last, last.upperBound == position {
          runs[runs.count - 1] = last.lowerBound..<frameEnd
        } else {
          runs.append(position..<frameEnd)
        }
      }
      position = frameEnd
    }
    if isEmpty { start = next.start }
    end = next.end
    hasOpaque = hasOpaque || next.hasOpaque
    for run in runs {
      buffers.append(buffer.getSlice(at: buffer.readerIndex + run.lowerBound, length: run.count)!)
      byteCount += run.count
    }
    return position
  }

  public var isEmpty: Bool { start == end }

  /// Calls `body` for each record from `first` on (earlier ones in the first frame are passed over) until it
  /// returns false.
  @inlinable
  public func forEachRecord(from first: Offset, _ body: (RecordView) -> Bool) {
    for buffer in buffers {
      let goOn = buffer.withUnsafeReadableBytes { raw -> Bool in
        var position = 0
        while position < raw.count {
          let frame = UnsafeRawBufferPointer(rebasing: raw[position...])
          let header = FrameHeader(validated: frame)
          position += header.frameBytes
          if header.endOffset <= first { continue }
          if !header.forEachRecord(in: frame, from: first, body) { return false }
        }
        return true
      }
      if !goOn { return }
    }
  }

  /// Calls `body` with each frame's header and its whole run of values (each followed by LF), for readers that
  /// want values alone. `first` must be at a frame's start, or the first frame is handed over whole.
  @inlinable
  public func forEachFrame(_ body: (FrameHeader, UnsafeRawBufferPointer) -> Void) {
    for buffer in buffers {
      buffer.withUnsafeReadableBytes { raw in
        var position = 0
        while position < raw.count {
          let frame = UnsafeRawBufferPointer(rebasing: raw[position...])
          let header = FrameHeader(validated: frame)
          body(header, frame)
          position += header.frameBytes
        }
      }
    }
  }
}

extension FrameHeader {
  /// Walks the records of one checked frame. Returns false if `body` did.
  @inlinable
  public func forEachRecord(
    in frame: UnsafeRawBufferPointer, from first: Offset, _ body: (RecordView) -> Bool
  ) -> Bool {
    var valueStart = valuesStart
    var position = metaStart
    let meta = UnsafeRawBufferPointer(rebasing: frame[..<frameBytes])
    var offset = baseOffset
    let plain = flags.contains(.plain)
    for _ in 0..<count {
      guard let length = Varint.read(meta, at: &position) else { return true }
      let value = UnsafeRawBufferPointer(rebasing: frame[valueStart..<(valueStart + Int(length))])
      valueStart += Int(length) + 1
      var key: UnsafeRawBufferPointer?
      var headers: UnsafeRawBufferPointer?
      var headerCount = 0
      var contentType: UnsafeRawBufferPointer?
      if !plain {
        let has = meta[position]
        position += 1
        if has & MetaEntry.key != 0 { key = meta.slice(at: &position) }
        if has & MetaEntry.headers != 0 {
          headerCount = Int(Varint.read(meta, at: &position) ?? 0)
          let start = position
          for _ in 0..<(2 * headerCount) { _ = meta.slice(at: &position) }
          headers = UnsafeRawBufferPointer(rebasing: meta[start..<position])
        }
        if has & MetaEntry.contentType != 0 { contentType = meta.slice(at: &position) }
      }
      if offset >= first {
        let record = RecordView(
          offset: offset, timestamp: timestamp, value: value, key: key, contentType: contentType,
          headers: headers, headerCount: headerCount)
        if !body(record) { return false }
      }
      offset += 1
    }
    return true
  }
}

extension UnsafeRawBufferPointer {
  /// A varint length and that many bytes; nil if they are not there.
  @inlinable
  func slice(at position: inout Int) -> UnsafeRawBufferPointer? {
    guard let count = Varint.read(self, at: &position), count <= UInt64(self.count - position)
    else { return nil }
    defer { position += Int(count) }
    return UnsafeRawBufferPointer(rebasing: self[position..<(position + Int(count))])
  }
}
