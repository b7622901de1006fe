// A stream as clients see it: the document of GET and its ETag, and the fields of PUT and PATCH.
import Engine
import NIOCore
import Wire

enum StreamDocument {
  static let shardsMax = 1024
  static let labelNameBytesMax = 63
  /// Unicode scalars, as JSON Schema counts them.
  static let labelValueCharactersMax = 255

  static func entityTag(of stream: Stream) -> String { EntityTags.tag(of: stream.version) }

  static func write(_ stream: Stream, into buffer: inout ByteBuffer) {
    let spec = stream.spec
    buffer.writeString("{\"name\":\"\(stream.name)\",\"incarnation\":\"\(stream.incarnation)\"")
    buffer.writeString(",\"shards\":\(spec.shardCount),\"retention\":{\"age\":")
    buffer.writeString(spec.retention.age.map { "\"\(DurationText.format($0))\"" } ?? "null")
    buffer.writeString(",\"bytes\":")
    buffer.writeString(spec.retention.bytes.map { "\"\($0)\"" } ?? "null")
    buffer.writeString("},\"labels\":{")
    var separator = ""
    for (name, value) in spec.labels.sorted(by: { $0.key < $1.key }) {
      buffer.writeString(separator)
      JSONText.writeEscapedString(name, into: &buffer)
      buffer.writeString(":")
      JSONText.writeEscapedString(value, into: &buffer)
      separator = ","
    }
    buffer.writeString("},\"created_at\":\"")
    RFC3339.write(stream.createdAt, into: &buffer)
    buffer.writeString("\"}")
  }

  /// The fields that a PUT names, or that a PATCH changes (`isPatch`: a label may be null to be removed).
  static func fields(of body: JSONValue?, isPatch: Bool) throws(Problem) -> StreamFields {
    var fields = StreamFields()
    guard let body else { return fields }
    let object = try JSONFields(body, known: ["shards", "retention", "labels"])
    if let shards = try object.integer("shards", in: 1...shardsMax) {
      fields.shardCount = .set(shards)
    }
    if let retention = try object.object("retention", known: ["age", "bytes"]) {
      fields.retentionAge = try retention.durationOrNull("age")
      fields.retentionBytes = try retention.bytesOrNull("bytes")
    }
    if let labels = try object.object("labels", known: nil) {
      fields.labels = .set(try self.labels(labels, mayRemove: isPatch))
    }
    return fields
  }

  private static func labels(
    _ object: JSONFields, mayRemove: Bool
  ) throws(Problem) -> [String: String?] {
    var labels: [String: String?] = [:]
    try object.forEach { name, value, pointer throws(Problem) in
      guard (1...labelNameBytesMax).contains(name.utf8.count), Request.isName(name) else {
        throw JSONFields.badValue(
          pointer, "a label's name is a name of at most \(labelNameBytesMax) bytes.")
      }
      switch value {
      case .string(let text):
        guard text.unicodeScalars.count <= labelValueCharactersMax else {
          throw JSONFields.badValue(
            pointer, "a label's value has at most \(labelValueCharactersMax) characters.")
        }
        labels[name] = .some(text)
      case .null where mayRemove: labels[name] = .some(nil)
      default: throw JSONFields.wrongType(pointer, "a string", isNull: value == .null)
      }
    }
    return labels
  }
}
