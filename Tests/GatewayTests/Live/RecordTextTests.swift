// Records as text: fields in their order, values as they were sent, whatever the bytes are.
import NIOCore
import Testing
import Wire

@testable import Engine
@testable import Gateway

@Suite struct RecordTextTests {
  private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

  /// The text of one record made of these parts.
  private func text(
    value: [UInt8], key: [UInt8]? = nil, headers: [([UInt8], [UInt8])] = [],
    contentType: String? = nil, shard: Int = 0, offset: UInt64 = 1044,
    time: Int64 = 1_767_225_600_000
  ) -> String {
    var builder = FrameBuilder(valuesBytesHint: 64)
    let type = contentType.map(bytes) ?? []
    // One run of bytes that the slices below point into.
    var store: [UInt8] = value + (key ?? []) + type
    for (name, value) in headers { store += name + value }
    store.withUnsafeBytes { raw in
      var position = 0
      func slice(_ count: Int) -> UnsafeRawBufferPointer {
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: raw[position..<(position + count)])
      }
      var attributes = RecordAttributes()
      let value = slice(value.count)
      if let key { attributes.key = slice(key.count) }
      if contentType != nil { attributes.contentType = slice(type.count) }
      for (name, value) in headers {
        attributes.headers.append((slice(name.count), slice(value.count)))
      }
      builder.append(value, attributes)
    }
    let frame = builder.finish().seal(
      shard: ShardID(1), baseOffset: Offset(offset), epoch: Epoch(1),
      timestamp: Timestamp(milliseconds: time))
    var buffer = ByteBuffer()
    var text = RecordText(shard: shard)
    FrameChunk([frame]).forEachRecord(from: Offset(offset)) {
      text.write($0, into: &buffer)
      return true
    }
    return String(buffer: buffer)
  }

  @Test func `a plain JSON record has shard, offset, timestamp and its value byte for byte`() {
    #expect(
      text(value: bytes(#"{"b": 1.50,  "a":"\u00e9"}"#))
        == #"{"shard":0,"offset":"1044","timestamp":"2026-01-01T00:00:00.000Z","#
        + #""value":{"b": 1.50,  "a":"\u00e9"}}"#
    )
  }

  @Test func `key and headers stand before the value`() {
    let text = text(
      value: bytes("1"), key: bytes("u\"1"), headers: [(bytes("trace"), bytes("ä\n"))], shard: 63)
    #expect(
      text
        == #"{"shard":63,"offset":"1044","timestamp":"2026-01-01T00:00:00.000Z","#
        + #""key":"u\"1","headers":{"trace":"ä\n"},"value":1}"#
    )
  }

  @Test func `an empty key is a key`() {
    #expect(text(value: bytes("1"), key: []).contains(#""key":"","value":1"#))
  }

  @Test func `opaque bytes are base64 beside their type`() {
    let text = text(value: [0, 1, 255, 10], contentType: "image/png")
    #expect(text.hasSuffix(#","content_type":"image/png","value_base64":"AAH/Cg=="}"#))
  }

  @Test func `a key or header that is not UTF-8 is base64 under a name of its own`() {
    let text = text(
      value: bytes("1"), key: [0xff, 0xfe],
      headers: [(bytes("a"), bytes("x")), (bytes("b"), [0xc0, 0x80])])
    #expect(
      text.hasSuffix(
        #","key_base64":"//4=","headers":{"a":"x"},"headers_base64":{"b":"wIA="},"value":1}"#))
  }

  @Test(arguments: [0, 9, 10, 99, 100, 12_345_678_901, 9_999_999_999_999_999_999, UInt64.max - 1])
  func `offsets of any length are decimal strings`(offset: UInt64) {
    #expect(text(value: bytes("1"), offset: offset).contains(#""offset":"\#(offset)","#))
  }

  @Test func `an empty opaque value is an empty string`() {
    #expect(text(value: [], contentType: "a/b").hasSuffix(#""value_base64":""}"#))
  }
}

@Suite struct RawTextTests {
  private let values = ["{\"a\":1}", "2", "\"three\"", "4", "[5]"]

  /// Two frames, of three and two records, from offset 10 on.
  private var chunk: FrameChunk {
    func frame(_ values: ArraySlice<String>, _ base: UInt64) -> Frame {
      var builder = FrameBuilder(valuesBytesHint: 16)
      for var value in values {
        value.withUTF8 { builder.appendPlain(UnsafeRawBufferPointer($0)) }
      }
      return builder.finish().seal(
        shard: ShardID(1), baseOffset: Offset(base), epoch: Epoch(1),
        timestamp: Timestamp(milliseconds: 0))
    }
    return FrameChunk([frame(values[0..<3], 10), frame(values[3...], 13)])
  }

  private func raw(_ start: Int, _ end: Int, _ framing: RawFraming) -> ByteBuffer {
    var buffer = ByteBuffer()
    RawText.write(
      chunk, from: Offset(UInt64(10 + start)), to: Offset(UInt64(10 + end)), framing, into: &buffer)
    return buffer
  }

  @Test func `any part of a chunk is its values each with LF`() {
    for start in 0...5 {
      for end in start...5 {
        let expected = values[start..<end].map { $0 + "\n" }.joined()
        #expect(String(buffer: raw(start, end, .newline)) == expected)
      }
    }
  }

  @Test func `length framing puts four bytes big-endian before each value`() {
    for start in 0...5 {
      var buffer = raw(start, 5, .length)
      for value in values[start...] {
        let count = buffer.readInteger(as: UInt32.self)
        #expect(count == UInt32(value.utf8.count))
        #expect(buffer.readString(length: Int(count!)) == value)
      }
      #expect(buffer.readableBytes == 0)
    }
  }
}
