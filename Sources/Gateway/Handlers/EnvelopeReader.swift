// `application/vnd.millrace.records+json`: a list of records, each with key, headers and value.
import Engine
import NIOCore
import Wire

struct EnvelopeReader {
  private let bytes: UnsafeRawBufferPointer
  private let hasLineBreaks: Bool
  private var parts = RecordParts()
  /// The record's value when it does not lie in the body as a frame wants it.
  private var scratch = ByteBuffer()

  /// - Throws: `bad_json`.
  init(_ bytes: UnsafeRawBufferPointer) throws(Problem) {
    let body = try JSONBody(bytes)
    self.bytes = body.value
    hasLineBreaks = body.hasLineBreaks
  }

  mutating func read(into sorter: inout RecordSorter) throws(Problem) {
    var records: Range<Int>?
    let isObject = try JSONScanner.forEachMember(in: bytes) { name, range throws(Problem) in
      guard name == "records" else {
        throw JSONFields.unknown(JSONFields.pointer("", name), known: ["records"])
      }
      guard records == nil else { throw Self.twice("/records") }
      records = range
      return true
    }
    guard isObject else { throw JSONFields.wrongType("", "an object") }
    guard let records else {
      throw Problem(
        .missingField, "The body is {\"records\":[…]}.", facts: [("pointer", .text("/records"))])
    }
    let list = UnsafeRawBufferPointer(rebasing: bytes[records])
    var index = 0
    let isArray = try JSONScanner.forEachElement(in: list) { range throws(Problem) in
      try readRecord(
        UnsafeRawBufferPointer(rebasing: list[range]), index, into: &sorter)
      index += 1
      return true
    }
    guard isArray else { throw JSONFields.wrongType("/records", "an array") }
  }

  private static let known = ["key", "headers", "value", "value_base64", "content_type"]

  private mutating func readRecord(
    _ record: UnsafeRawBufferPointer, _ index: Int, into sorter: inout RecordSorter
  ) throws(Problem) {
    parts.removeAll()
    var members: [Range<Int>?] = Array(repeating: nil, count: Self.known.count)
    let isObject = try JSONScanner.forEachMember(in: record) { name, range throws(Problem) in
      guard let place = Self.known.firstIndex(of: name) else {
        throw JSONFields.unknown(
          JSONFields.pointer("/records/\(index)", name), known: Self.known)
      }
      guard members[place] == nil else { throw Self.twice("/records/\(index)/\(name)") }
      members[place] = range
      return true
    }
    guard isObject else { throw JSONFields.wrongType("/records/\(index)", "an object") }
    func member(_ place: Int) -> UnsafeRawBufferPointer? {
      members[place].map { UnsafeRawBufferPointer(rebasing: record[$0]) }
    }
    if let key = member(0), key[0] != UInt8(ascii: "n") {
      parts.setKey(try Self.string(key, index, "key"))
    }
    if let headers = member(1) { try readHeaders(headers, index) }
    try readValue(
      json: member(2), base64: member(3), contentType: member(4), index, into: &sorter)
  }

  private mutating func readHeaders(
    _ headers: UnsafeRawBufferPointer, _ index: Int
  ) throws(Problem) {
    var parts = RecordParts()
    swap(&parts, &self.parts)
    defer { swap(&parts, &self.parts) }
    let isObject = try JSONScanner.forEachMember(in: headers) { name, range throws(Problem) in
      let value = UnsafeRawBufferPointer(rebasing: headers[range])
      let text = try Self.string(value, index, "headers" + JSONFields.pointer("", name))
      guard parts.addHeader(name.utf8, text) else {
        throw Self.twice("/records/\(index)/headers" + JSONFields.pointer("", name))
      }
      return true
    }
    guard isObject else {
      throw JSONFields.wrongType("/records/\(index)/headers", "an object of strings")
    }
  }

  private mutating func readValue(
    json: UnsafeRawBufferPointer?, base64: UnsafeRawBufferPointer?,
    contentType: UnsafeRawBufferPointer?, _ index: Int, into sorter: inout RecordSorter
  ) throws(Problem) {
    let pointer = "/records/\(index)"
    if let json {
      guard base64 == nil, contentType == nil else {
        throw JSONFields.badValue(
          pointer, "value is JSON; it excludes value_base64 and content_type.")
      }
      if !hasLineBreaks {
        return parts.isEmpty ? try sorter.addPlain(json) : try sorter.add(json, parts)
      }
      scratch.clear()
      JSONScanner.writeFlattened(json, into: &scratch)
      return try scratch.withUnsafeReadableBytes { value throws(Problem) in
        try sorter.add(value, parts)
      }
    }
    guard let base64 else {
      throw Problem(
        .missingField, "\(pointer) needs value or value_base64.",
        facts: [("pointer", .text(pointer + "/value"))])
    }
    let text = try Self.string(base64, index, "value_base64")
    guard let value = text.withUnsafeBytes({ Base64.decode($0) }) else {
      throw JSONFields.badValue(
        pointer + "/value_base64", "it is base64 of RFC 4648 §4, padded with =.")
    }
    var type = Array(AppendBody.unknownType.utf8)
    if let contentType { type = try Self.string(contentType, index, "content_type") }
    // It goes out again as a header's value.
    guard !type.isEmpty, type.allSatisfy({ (0x20...0x7e).contains($0) }) else {
      throw JSONFields.badValue(pointer + "/content_type", "it is a media type.")
    }
    parts.setContentType(type)
    try value.withUnsafeBufferPointer { value throws(Problem) in
      try sorter.add(UnsafeRawBufferPointer(value), parts)
    }
  }

  private static func string(
    _ value: UnsafeRawBufferPointer, _ index: Int, _ name: String
  ) throws(Problem) -> [UInt8] {
    guard value[0] == UInt8(ascii: "\"") else {
      throw JSONFields.wrongType("/records/\(index)/\(name)", "a string")
    }
    return JSONScanner.unescaped(value)
  }

  private static func twice(_ pointer: String) -> Problem {
    Problem(
      .badJSON, "\(pointer) comes more than once.", facts: [("pointer", .text(pointer))])
  }
}
