// Frames and cursors: no bytes lead the readers astray, with bad checksums or with good ones.
import NIOCore
import Wire

/// The first byte says how: 0 leaves the checksums as they are, 1 makes them good, 2 makes them good and reads a run.
func fuzzFrame(_ bytes: UnsafeRawBufferPointer) -> CInt {
  guard let mode = bytes.first else { return 0 }
  var frame = Array(bytes.dropFirst())
  if mode % 4 != 0 { forgeChecksums(&frame) }
  let buffer = ByteBuffer(bytes: frame)
  frame.withUnsafeBytes { readFrame($0) }
  if let whole = try? Frame(checking: buffer) {
    check(whole.byteCount == frame.count, "a whole frame is all the bytes")
    _ = whole.extras
    if whole.kind == .records { _ = read(FrameChunk([whole])) }
  }
  var chunk = FrameChunk(emptyAt: .zero)
  // Twice the same: the second frame's place is wrong, or the run is cut off.
  for run in mode % 4 == 2 ? [buffer, ByteBuffer(bytes: frame + frame)] : [buffer] {
    if let taken = try? chunk.append(checking: run) {
      check(taken <= run.readableBytes, "no more is taken than there is")
    }
    check(read(chunk) == chunk.end.rawValue - chunk.start.rawValue, "a chunk holds its offsets")
  }
  return 0
}

private func readFrame(_ bytes: UnsafeRawBufferPointer) {
  guard let header = try? FrameHeader(checking: bytes) else { return }
  _ = header.extras(in: bytes)
  check(header.valuesStart <= header.metaStart && header.metaStart <= header.frameBytes, "sizes")
  guard (try? header.checkPayload(bytes)) != nil else { return }
  guard header.kind == .records else { return check(header.count == 0, "control is no record") }
  var values = 0
  let isWhole = header.forEachRecord(in: bytes, from: header.baseOffset) { record in
    values += record.value.count + 1
    record.forEachHeader { name, value in _ = (Array(name), Array(value)) }
    return true
  }
  check(isWhole && values == header.valuesBytes, "records fill the values")
}

private func read(_ chunk: FrameChunk) -> UInt64 {
  var count: UInt64 = 0
  chunk.forEachRecord(from: chunk.start) { record in
    _ = (Array(record.value), record.key.map { Array($0) }, record.contentType.map { Array($0) })
    count += 1
    return true
  }
  return count
}

/// Header CRC at 8, of 12 up to the end of the extras; payload CRC at 12, of the rest. docs/formats.md.
private func forgeChecksums(_ frame: inout [UInt8]) {
  guard frame.count >= 72 else { return }
  func number(_ place: Int, _ count: Int) -> Int {
    (0..<count).reduce(0) { $0 | Int(frame[place + $1]) << (8 * $1) }
  }
  func put(_ value: UInt32, _ place: Int) {
    for index in 0..<4 { frame[place + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
  }
  func checksum(_ range: Range<Int>) -> UInt32 {
    frame.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }
  let length = min(max(number(4, 4), 72), frame.count)
  let valuesStart = min(72 + number(56, 2), length)
  put(checksum(valuesStart..<length), 12)
  put(checksum(12..<valuesStart), 8)
}

/// As a text, and as bytes under a good checksum.
func fuzzCursor(_ bytes: UnsafeRawBufferPointer) -> CInt {
  roundTrip(String(decoding: bytes, as: UTF8.self))
  var body = ByteBuffer(bytes: bytes)
  body.writeInteger(CRC32C.checksum(bytes), endianness: .little)
  roundTrip(body.withUnsafeReadableBytes { Base64.encode($0, .url) })
  return 0
}

private func roundTrip(_ text: String) {
  guard let cursor = try? Cursor(decoding: text) else { return }
  check(!cursor.positions.isEmpty, "a cursor has a place")
  check(cursor.encoded() == text, "a place has one text")
}
