// A record as a CloudEvent: one that came in as an event goes out as the same, any other becomes one.
import NIOCore
import Wire

/// Where a stream's records come from, in an event's words.
struct EventSource: Sendable {
  /// `/v1/streams/orders`.
  let source: String
  /// Of the stream: part of an event's id, so that no record of a stream made again has the id of an old one.
  let incarnation: UInt64

  init(stream: String, incarnation: UInt64) {
    source = "/v1/streams/\(stream)"
    self.incarnation = incarnation
  }

  /// The type of events that did not come in as such.
  static let type = "millrace.record"

  func id(shard: Int, _ offset: Offset) -> String { "\(incarnation)-\(shard)-\(offset)" }
}

enum EventText {
  /// How a record came in.
  enum Form { case structured, binary, record }

  static func form(of record: RecordView) -> Form {
    if record.contentType == nil, isStructured(record.value) { return .structured }
    var isBinary = false
    record.forEachHeader { name, _ in
      if name.elementsEqual("ce-specversion".utf8) { isBinary = true }
    }
    return isBinary ? .binary : .record
  }

  /// Whether a JSON value is an event in the JSON format: what came in as one is kept as it came.
  private static func isStructured(_ value: UnsafeRawBufferPointer) -> Bool {
    guard value.first == UInt8(ascii: "{"), value.holds("\"specversion\"") else { return false }
    return EventReader.isEvent(value)
  }

  /// Writes the event in the JSON format (CloudEvents JSON Event Format 1.0).
  static func write(
    _ record: RecordView, shard: Int, of source: EventSource, into buffer: inout ByteBuffer
  ) {
    let form = form(of: record)
    if form == .structured {
      buffer.writeBytes(record.value)
      return
    }
    var writer = Writer()
    buffer.writeStaticString("{")
    if form == .record {
      writer.write("specversion", "1.0", into: &buffer)
      writer.write("id", source.id(shard: shard, record.offset), into: &buffer)
      writer.write("source", source.source, into: &buffer)
      writer.write("type", EventSource.type, into: &buffer)
      writer.write("time", RFC3339.text(record.timestamp), into: &buffer)
      if let key = record.key, !key.isEmpty {
        writer.write("partitionkey", key, into: &buffer)
      }
    }
    record.forEachHeader { name, value in
      guard let attribute = attribute(of: name, form) else { return }
      writer.write(attribute, value, into: &buffer)
    }
    if form == .record {
      writer.write("millraceshard", String(shard), into: &buffer)
      writer.write("millraceoffset", record.offset.description, into: &buffer)
    }
    writeData(of: record, &writer, into: &buffer)
    buffer.writeStaticString("}")
  }

  /// The attribute that a record's header is in an event; nil if it is none.
  private static func attribute(of name: UnsafeRawBufferPointer, _ form: Form) -> String? {
    var bytes = name
    let isEventHeader = name.starts(with: "ce-".utf8)
    if form == .binary, isEventHeader {
      bytes = UnsafeRawBufferPointer(rebasing: name[3...])
    } else if isEventHeader {
      return nil
    }
    // CloudEvents §3.1: lower-case letters and digits.
    guard (1...64).contains(bytes.count),
      bytes.allSatisfy({ $0 &- 48 < 10 || $0 &- 97 < 26 })
    else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    if reserved.contains(text) { return nil }
    return form == .binary && isEventHeader || !core.contains(text) ? text : nil
  }

  private static let core: Set = [
    "specversion", "id", "source", "type", "time", "subject", "dataschema", "partitionkey",
    "millraceshard", "millraceoffset",
  ]
  private static let reserved: Set = ["data", "datacontenttype"]

  private static func writeData(
    of record: RecordView, _ writer: inout Writer, into buffer: inout ByteBuffer
  ) {
    guard let type = record.contentType else {
      writer.write("datacontenttype", "application/json", into: &buffer)
      buffer.writeStaticString(",\"data\":")
      buffer.writeBytes(record.value)
      return
    }
    writer.write("datacontenttype", type, into: &buffer)
    if record.value.isEmpty { return }
    buffer.writeStaticString(",\"data_base64\":\"")
    Base64.encode(record.value, into: &buffer)
    buffer.writeStaticString("\"")
  }

  /// Members, none twice, none empty.
  private struct Writer {
    private var names: [String] = []

    mutating func write(_ name: String, _ value: String, into buffer: inout ByteBuffer) {
      var value = value
      value.withUTF8 { write(name, UnsafeRawBufferPointer($0), into: &buffer) }
    }

    mutating func write(
      _ name: String, _ value: UnsafeRawBufferPointer, into buffer: inout ByteBuffer
    ) {
      guard !value.isEmpty, !names.contains(name) else { return }
      buffer.writeStaticString(names.isEmpty ? "\"" : ",\"")
      names.append(name)
      buffer.writeString(name)
      buffer.writeStaticString("\":")
      JSONText.writeEscapedString(value, into: &buffer)
    }
  }
}

extension UnsafeRawBufferPointer {
  /// Whether `text` stands somewhere in it.
  fileprivate func holds(_ text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard count >= length else { return false }
    let sought = UnsafeBufferPointer(start: text.utf8Start, count: length)
    var position = 0
    while position <= count - length {
      guard let found = self[position...].firstIndex(of: sought[0]), found <= count - length
      else { return false }
      if UnsafeRawBufferPointer(rebasing: self[found..<(found + length)]).elementsEqual(sought) {
        return true
      }
      position = found + 1
    }
    return false
  }
}
