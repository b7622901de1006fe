// CloudEvents 1.0 over HTTP: structured, in batches, and the attributes of binary mode.
import Engine
import NIOCore
import Wire

/// A structured event is kept whole, as the JSON value it is; in binary mode its attributes are the record's headers,
/// with `ce-` before their names as they came, and its data is the value.
struct EventReader {
  private let bytes: UnsafeRawBufferPointer
  private let hasLineBreaks: Bool

  /// - Throws: `bad_json`.
  init(_ bytes: UnsafeRawBufferPointer) throws(Problem) {
    let body = try JSONBody(bytes)
    self.bytes = body.value
    hasLineBreaks = body.hasLineBreaks
  }

  func readOne(
    _ headers: AppendHeaders, into sorter: inout RecordSorter
  ) throws(Problem) {
    var parts = RecordParts()
    if let key = headers.key { parts.setKey(key.utf8) }
    for (name, value) in headers.recordHeaders where !parts.addHeader(name.utf8, value.utf8) {
      throw AppendHeaders.refusal("record-header-\(name)", "It comes more than once.")
    }
    if let key = try Self.checkedKey(of: bytes, at: "") {
      try Self.refuseSecondKey(headers)
      parts.setKey(key)
    }
    try add(bytes, parts, into: &sorter)
  }

  func readBatch(into sorter: inout RecordSorter) throws(Problem) {
    var parts = RecordParts()
    var index = 0
    let isArray = try JSONScanner.forEachElement(in: bytes) { range throws(Problem) in
      let event = UnsafeRawBufferPointer(rebasing: bytes[range])
      parts.removeAll()
      if let key = try Self.checkedKey(of: event, at: "/\(index)") { parts.setKey(key) }
      try add(event, parts, into: &sorter)
      index += 1
      return true
    }
    guard isArray else { throw JSONFields.wrongType("", "an array of events") }
  }

  private func add(
    _ event: UnsafeRawBufferPointer, _ parts: RecordParts, into sorter: inout RecordSorter
  ) throws(Problem) {
    guard hasLineBreaks else { return try sorter.add(event, parts) }
    try JSONScanner.flattened(event).withUnsafeReadableBytes { event throws(Problem) in
      try sorter.add(event, parts)
    }
  }

  static func refuseSecondKey(_ headers: AppendHeaders) throws(Problem) {
    guard headers.key == nil else {
      throw AppendHeaders.refusal("record-key", "The event's partitionkey is the key already.")
    }
  }

  /// Whether a checked JSON value is an event in the JSON format.
  static func isEvent(_ value: UnsafeRawBufferPointer) -> Bool {
    do throws(Problem) {
      _ = try checkedKey(of: value, at: "")
      return true
    } catch {
      return false
    }
  }

  private static let required = ["specversion", "id", "source", "type"]
  private static let texts = required + ["datacontenttype", "dataschema", "subject", "time"]

  /// The `partitionkey` of an event in the JSON format, once the event is known to be one.
  /// - Throws: `bad_cloudevent` with the attribute's pointer.
  private static func checkedKey(
    of event: UnsafeRawBufferPointer, at pointer: String
  ) throws(Problem) -> [UInt8]? {
    var key: [UInt8]?
    var seen: Set<String> = []
    let isObject = try JSONScanner.forEachMember(in: event) { name, range throws(Problem) in
      guard seen.insert(name).inserted else {
        throw refusal(JSONFields.pointer(pointer, name), "comes more than once")
      }
      let value = UnsafeRawBufferPointer(rebasing: event[range])
      let isText = value[0] == UInt8(ascii: "\"")
      let isNull = value[0] == UInt8(ascii: "n")
      if name == "partitionkey" || texts.contains(name) {
        // A null attribute counts as absent (JSON Event Format §3.1).
        if isNull {
          seen.remove(name)
          return true
        }
        guard isText, value.count > 2 else {
          throw refusal(JSONFields.pointer(pointer, name), "must be a string that is not empty")
        }
        if name == "partitionkey" { key = JSONScanner.unescaped(value) }
        if name == "specversion", JSONScanner.text(of: value) != "1.0" {
          throw refusal(pointer + "/specversion", "must be \"1.0\"")
        }
      } else if name == "data_base64", !isText {
        throw refusal(pointer + "/data_base64", "must be a string")
      }
      return true
    }
    guard isObject else { throw refusal(pointer, "must be an object") }
    for name in required where !seen.contains(name) {
      throw refusal(pointer + "/" + name, "is missing")
    }
    guard !seen.contains("data") || !seen.contains("data_base64") else {
      throw refusal(pointer + "/data_base64", "excludes data")
    }
    return key
  }

  private static func refusal(_ pointer: String, _ reason: String) -> Problem {
    Problem(
      .badCloudEvent, "\(pointer.isEmpty ? "The event" : pointer) \(reason).",
      facts: [("pointer", .text(pointer))])
  }

  // MARK: Binary mode

  /// The attributes of binary mode: percent-decoded (HTTP binding §3.1.3.2), the required ones there.
  /// - Throws: `bad_cloudevent` with the header's name.
  static func decoded(
    _ attributes: [(name: String, value: String)]
  ) throws(Problem) -> [(name: String, value: String)] {
    func refusal(_ name: String, _ reason: String) -> Problem {
      Problem(.badCloudEvent, "ce-\(name) \(reason).", facts: [("header", .text("ce-\(name)"))])
    }
    var decoded: [(name: String, value: String)] = []
    for (name, value) in attributes {
      guard let text = PercentCoding.decoded(value, plusIsSpace: false), !text.isEmpty else {
        throw refusal(name, "must be text, percent-encoded, and not empty")
      }
      decoded.append((name, text))
    }
    for name in required where !decoded.contains(where: { $0.name == name }) {
      throw refusal(name, "is missing")
    }
    guard decoded.contains(where: { $0.name == "specversion" && $0.value == "1.0" }) else {
      throw refusal("specversion", "must be 1.0")
    }
    return decoded
  }
}
