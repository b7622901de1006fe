// A record as JSON text: the one encoder behind pages, NDJSON and server-sent events.
import NIOCore
import Wire

/// Writes records of one shard:
/// `{"shard":0,"offset":"1044","timestamp":"…","key":"u1","headers":{"trace":"a"},"value":{…}}`
///
/// JSON values are copied byte for byte; opaque ones become `"content_type":"…","value_base64":"…"`. A key that is not
/// UTF-8 becomes `key_base64`, header values that are not become members of `headers_base64`.
/// Never writes CR or LF.
struct RecordText {
  /// `{"shard":3,"offset":"`
  private let head: [UInt8]
  private var time: Timestamp?
  /// `","timestamp":"2026-01-01T00:00:00.000Z"`, of `time`: records of one frame share it.
  private var timeText: [UInt8] = []

  init(shard: Int) {
    head = Array("{\"shard\":\(shard),\"offset\":\"".utf8)
  }

  /// Room for all but the value: the fixed text and a 20-digit offset.
  private static let fixedBytes = 128

  mutating func write(_ record: RecordView, into buffer: inout ByteBuffer) {
    if record.timestamp != time { prepare(record.timestamp) }
    guard record.key == nil, record.headerCount == 0, record.contentType == nil else {
      return writeWhole(record, into: &buffer)
    }
    let bytesMax = Self.fixedBytes + record.value.count
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytesMax) { raw in
      var out = RoomWriter(raw)
      out.write(head)
      out.writeDecimal(record.offset.rawValue)
      out.write(timeText)
      out.write(Self.plainValue)
      out.write(record.value)
      out.write(UInt8(ascii: "}"))
      return out.count
    }
  }

  private static let plainValue = Array(",\"value\":".utf8)

  private mutating func prepare(_ timestamp: Timestamp) {
    var text = ByteBuffer()
    text.writeString("\",\"timestamp\":\"")
    RFC3339.write(timestamp, into: &text)
    text.writeString("\"")
    timeText = Array(text.readableBytesView)
    time = timestamp
    precondition(head.count + timeText.count + 20 + Self.plainValue.count < Self.fixedBytes)
  }

  private func writeWhole(_ record: RecordView, into buffer: inout ByteBuffer) {
    buffer.writeBytes(head)
    JSONText.writeDecimal(record.offset.rawValue, into: &buffer)
    buffer.writeBytes(timeText)
    if let key = record.key {
      if Self.isUTF8(key) {
        buffer.writeStaticString(",\"key\":")
        JSONText.writeEscapedString(key, into: &buffer)
      } else {
        buffer.writeStaticString(",\"key_base64\":\"")
        Base64.encode(key, into: &buffer)
        buffer.writeStaticString("\"")
      }
    }
    if record.headerCount > 0 { writeHeaders(of: record, into: &buffer) }
    guard let contentType = record.contentType else {
      buffer.writeStaticString(",\"value\":")
      buffer.writeBytes(record.value)
      buffer.writeStaticString("}")
      return
    }
    buffer.writeStaticString(",\"content_type\":")
    JSONText.writeEscapedString(contentType, into: &buffer)
    buffer.writeStaticString(",\"value_base64\":\"")
    Base64.encode(record.value, into: &buffer)
    buffer.writeStaticString("\"}")
  }

  private func writeHeaders(of record: RecordView, into buffer: inout ByteBuffer) {
    var foreign = 0
    buffer.writeStaticString(",\"headers\":{")
    var isFirst = true
    record.forEachHeader { name, value in
      guard Self.isUTF8(value) else {
        foreign += 1
        return
      }
      if !isFirst { buffer.writeStaticString(",") }
      isFirst = false
      JSONText.writeEscapedString(name, into: &buffer)
      buffer.writeStaticString(":")
      JSONText.writeEscapedString(value, into: &buffer)
    }
    buffer.writeStaticString("}")
    guard foreign > 0 else { return }
    buffer.writeStaticString(",\"headers_base64\":{")
    isFirst = true
    record.forEachHeader { name, value in
      guard !Self.isUTF8(value) else { return }
      if !isFirst { buffer.writeStaticString(",") }
      isFirst = false
      JSONText.writeEscapedString(name, into: &buffer)
      buffer.writeStaticString(":\"")
      Base64.encode(value, into: &buffer)
      buffer.writeStaticString("\"")
    }
    buffer.writeStaticString("}")
  }

  private static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if bytes.allSatisfy({ $0 < 0x80 }) { return true }
    return String(validating: bytes, as: UTF8.self) != nil
  }
}

/// Lays bytes one after another into room that was reserved for them.
private struct RoomWriter {
  private let room: UnsafeMutableRawBufferPointer
  private(set) var count = 0

  init(_ room: UnsafeMutableRawBufferPointer) { self.room = room }

  @inline(__always)
  mutating func write(_ bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count <= room.count - count)
    guard let source = bytes.baseAddress else { return }
    (room.baseAddress! + count).copyMemory(from: source, byteCount: bytes.count)
    count += bytes.count
  }

  @inline(__always)
  mutating func write(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { write($0) }
  }

  @inline(__always)
  mutating func write(_ byte: UInt8) {
    room[count] = byte
    count += 1
  }

  @inline(__always)
  mutating func writeDecimal(_ value: UInt64) {
    var digits = 1
    var bound: UInt64 = 10
    while digits < 20, value >= bound {
      digits += 1
      bound = digits < 20 ? bound &* 10 : .max
    }
    var rest = value
    var position = count + digits
    while position > count {
      position -= 1
      let quotient = rest / 10
      room[position] = UInt8(truncatingIfNeeded: rest &- quotient &* 10) &+ 48
      rest = quotient
    }
    count += digits
  }
}
