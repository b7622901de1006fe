// Values alone, as they lie in frames: the fastest way out.
import NIOCore
import Wire

enum RawText {
  /// Room for what `write` writes of `chunk`.
  static func bytesHint(_ chunk: FrameChunk, _ framing: RawFraming) -> Int {
    framing == .newline ? chunk.byteCount : chunk.byteCount + chunk.byteCount / 8
  }

  /// Writes the values of the records from `start` up to `end`. With newline framing a whole frame is one copy: its
  /// values lie there as they are wanted. `chunk` must then hold no opaque values.
  static func write(
    _ chunk: FrameChunk, from start: Offset, to end: Offset, _ framing: RawFraming,
    into buffer: inout ByteBuffer
  ) {
    chunk.forEachFrame { header, frame in
      guard header.endOffset > start, header.baseOffset < end else { return }
      if framing == .newline, header.baseOffset >= start, header.endOffset <= end {
        buffer.writeBytes(
          UnsafeRawBufferPointer(rebasing: frame[header.valuesStart..<header.metaStart]))
        return
      }
      _ = header.forEachRecord(in: frame, from: start) { record in
        guard record.offset < end else { return false }
        write(record.value, framing, into: &buffer)
        return true
      }
    }
  }

  @inline(__always)
  static func write(
    _ value: UnsafeRawBufferPointer, _ framing: RawFraming, into buffer: inout ByteBuffer
  ) {
    switch framing {
    case .newline:
      buffer.writeBytes(value)
      buffer.writeInteger(UInt8(ascii: "\n"))
    case .length:
      buffer.writeInteger(UInt32(value.count))
      buffer.writeBytes(value)
    }
  }

  static let opaque = Problem(
    .opaqueValues,
    "There are opaque values among these records, which may hold line feeds: ask for "
      + "\(ReadForm.octets);framing=length.")
}
