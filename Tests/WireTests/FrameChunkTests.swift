// Chunks: whole frames out of a file's bytes, in order, the cut-off end left for the next read.
import NIOCore
import Testing

@testable import Wire

private func frame(at offset: UInt64, _ values: [String], kind: FrameKind = .records) -> Frame {
  var draft = FrameDraft.control(.trim)
  if kind == .records {
    var builder = FrameBuilder(valuesBytesHint: 0)
    for value in values { withBytes(of: value) { builder.appendPlain($0) } }
    draft = builder.finish()
  }
  return draft.seal(
    shard: ShardID(1), baseOffset: Offset(offset), epoch: Epoch(1),
    timestamp: Timestamp(milliseconds: Int64(offset)))
}

private func values(_ chunk: FrameChunk, from first: UInt64 = 0) -> [String] {
  var values: [String] = []
  chunk.forEachRecord(from: Offset(first)) {
    values.append(string($0.value))
    return true
  }
  return values
}

private func joined(_ frames: [Frame]) -> ByteBuffer {
  ByteBuffer(bytes: frames.flatMap(\.bytes.array))
}

@Suite struct FrameChunkTests {
  private let three = [
    frame(at: 10, ["1", "2"]), frame(at: 12, ["3"]), frame(at: 13, ["4", "5"]),
  ]

  @Test func `frames are taken from bytes in order, control frames are passed over`() throws {
    var chunk = FrameChunk(emptyAt: Offset(10))
    let trim = frame(at: 5, [], kind: .trim)
    let bytes = joined([trim, three[0], three[1], trim, trim, three[2], trim])
    #expect(try chunk.append(checking: bytes) == bytes.readableBytes)
    #expect(values(chunk) == ["1", "2", "3", "4", "5"])
    #expect(chunk.start == Offset(10) && chunk.end == Offset(15))
    #expect(chunk.byteCount == three.reduce(0) { $0 + $1.byteCount } && chunk.buffers.count == 2)
    #expect(values(chunk, from: 11) == ["2", "3", "4", "5"])
    #expect(values(chunk, from: 14) == ["5"])
    #expect(values(chunk, from: 15) == [])
  }

  @Test func `a frame cut off by the end is left, unless it is the first`() throws {
    let bytes = joined(three)
    let whole = three[0].byteCount + three[1].byteCount
    for end in 0..<bytes.readableBytes {
      var chunk = FrameChunk(emptyAt: Offset(10))
      let part = bytes.getSlice(at: 0, length: end)!
      if end > 0, end < three[0].byteCount {
        #expect(throws: FrameDamage.self) { try chunk.append(checking: part) }
        continue
      }
      let taken = try chunk.append(checking: part)
      #expect(taken == (end == 0 ? 0 : end < whole ? three[0].byteCount : whole))
      #expect(values(chunk).count == (end == 0 ? 0 : end < whole ? 2 : 3))
    }
  }

  @Test func `a hole or a step back is damage`() {
    for frames in [[three[0], three[2]], [three[1], three[0]], [three[0], three[0]]] {
      var chunk = FrameChunk(emptyAt: Offset(0))
      #expect(throws: FrameDamage.field("base offset")) {
        try chunk.append(checking: joined(frames))
      }
      #expect(chunk.isEmpty && chunk.start == .zero && chunk.buffers.isEmpty)
    }
  }

  @Test func `frames add up, and tell of opaque values`() {
    var chunk = FrameChunk([three[0]])
    chunk.append(three[1])
    #expect(!chunk.hasOpaque && chunk.end == Offset(13) && !chunk.isEmpty)
    var builder = FrameBuilder(valuesBytesHint: 0)
    Sample("\n\n", contentType: "text/plain").add(to: &builder)
    let opaque = builder.finish().seal(
      shard: ShardID(1), baseOffset: Offset(13), epoch: Epoch(1),
      timestamp: Timestamp(milliseconds: 0))
    chunk.append(opaque)
    #expect(chunk.hasOpaque && values(chunk) == ["1", "2", "3", "\n\n"])
    #expect(FrameChunk(emptyAt: .zero).isEmpty)
  }

  @Test func `whole runs of values are lent for raw readers`() {
    let chunk = FrameChunk(three)
    var text = ""
    chunk.forEachFrame { header, frame in
      text += string(
        UnsafeRawBufferPointer(rebasing: frame[header.valuesStart..<header.metaStart]))
    }
    #expect(text == "1\n2\n3\n4\n5\n")
  }

  @Test func `a walk stops when told`() {
    var seen = 0
    FrameChunk(three).forEachRecord(from: .zero) { _ in
      seen += 1
      return seen < 3
    }
    #expect(seen == 3)
  }
}
