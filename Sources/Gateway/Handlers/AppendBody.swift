// The bodies of an append: each content type's way from bytes to records.
import Engine
import NIOCore
import Wire

/// What a content type says about a body.
enum AppendFormat: Equatable {
  case json
  case ndjson
  case envelope
  case event
  case eventBatch
  /// Attributes are `ce-*` headers; the body is the data.
  case binaryEvent
  case opaque

  init(_ headers: borrowing AppendHeaders) {
    self =
      switch headers.contentType {
      // Spelt as clients spell them, the common types need no copy.
      case "application/json" where headers.eventAttributes.isEmpty: .json
      case "application/x-ndjson" where headers.eventAttributes.isEmpty: .ndjson
      case let type: Self.named(type.map { MediaType($0).essence }, headers)
      }
  }

  private static func named(_ essence: String?, _ headers: borrowing AppendHeaders) -> AppendFormat
  {
    switch essence {
    // Structured mode goes by the type, whatever the headers (HTTP binding §3).
    case "application/cloudevents+json": .event
    case "application/cloudevents-batch+json": .eventBatch
    case _ where !headers.eventAttributes.isEmpty: .binaryEvent
    case "application/json": .json
    case "application/x-ndjson": .ndjson
    case "application/vnd.millrace.records+json": .envelope
    default: .opaque
    }
  }

  /// Whether it is one record, which headers may give key and headers.
  var isSingle: Bool {
    switch self {
    case .json, .event, .binaryEvent, .opaque: true
    case .ndjson, .envelope, .eventBatch: false
    }
  }

  /// How problems call the body.
  var name: String {
    switch self {
    case .json: "JSON"
    case .ndjson: "NDJSON"
    case .envelope: "a list of records"
    case .event, .binaryEvent: "a CloudEvent"
    case .eventBatch: "a batch of CloudEvents"
    case .opaque: "opaque bytes"
    }
  }
}

/// Reads one body into a sorter. Whatever it refuses, nothing of the request is appended.
struct AppendBody {
  let format: AppendFormat
  let headers: AppendHeaders
  let keyPointer: JSONPointer?
  let limits: RequestLimits

  func read(_ bytes: UnsafeRawBufferPointer, into sorter: inout RecordSorter) throws(Problem) {
    switch format {
    case .json: try readJSON(bytes, into: &sorter)
    case .ndjson: try readLines(bytes, into: &sorter)
    case .envelope:
      var reader = try EnvelopeReader(bytes)
      try reader.read(into: &sorter)
    case .event: try EventReader(bytes).readOne(headers, into: &sorter)
    case .eventBatch: try EventReader(bytes).readBatch(into: &sorter)
    case .binaryEvent: try readBinaryEvent(bytes, into: &sorter)
    case .opaque: try readOpaque(bytes, into: &sorter)
    }
    guard sorter.count > 0 else { throw Self.empty }
  }

  static let empty = Problem(
    .emptyBody, "An append carries at least one record; the body has none.")

  // MARK: One JSON value

  private func readJSON(
    _ bytes: UnsafeRawBufferPointer, into sorter: inout RecordSorter
  ) throws(Problem) {
    let body = try JSONBody(bytes)
    guard body.hasLineBreaks else { return try addJSON(body.value, into: &sorter) }
    let flat = JSONScanner.flattened(body.value)
    try flat.withUnsafeReadableBytes { value throws(Problem) in
      try addJSON(value, into: &sorter)
    }
  }

  private func addJSON(
    _ value: UnsafeRawBufferPointer, into sorter: inout RecordSorter
  ) throws(Problem) {
    if let keyPointer, headers.recordHeaders.isEmpty {
      return try addKeyed(value, keyPointer, where: "", facts: [], into: &sorter)
    }
    if headers.key == nil, headers.recordHeaders.isEmpty { return try sorter.addPlain(value) }
    var parts = RecordParts()
    try setHeaders(in: &parts)
    if let keyPointer {
      try withKey(of: value, keyPointer, where: "", facts: []) { key throws(Problem) in
        parts.setKey(key)
      }
    }
    try sorter.add(value, parts)
  }

  /// Key and headers from `Record-Key` and `Record-Header-NAME`.
  private func setHeaders(in parts: inout RecordParts) throws(Problem) {
    if let key = headers.key { parts.setKey(key.utf8) }
    for (name, value) in headers.recordHeaders where !parts.addHeader(name.utf8, value.utf8) {
      throw AppendHeaders.refusal("record-header-\(name)", "It comes more than once.")
    }
  }

  // MARK: Lines

  private func readLines(
    _ bytes: UnsafeRawBufferPointer, into sorter: inout RecordSorter
  ) throws(Problem) {
    let lines: NDJSONLines
    do throws(NDJSONFault) {
      lines = try JSONScanner.lines(
        bytes,
        limits: NDJSONLimits(
          recordsMax: limits.batchRecordsMax, recordBytesMax: limits.recordBytesMax))
    } catch {
      throw Problem(fault: error, limits)
    }
    if keyPointer == nil, lines.isVerbatim, lines.count > 0 {
      return try addVerbatim(bytes, lines, into: &sorter)
    }
    // Blank lines are passed over, so a record's number is not its line's; where a line is wrong both are told.
    try lines.forEachRange { range throws(Problem) in
      let line = UnsafeRawBufferPointer(rebasing: bytes[range])
      guard lines.hasCarriageReturns, line.contains(UInt8(ascii: "\r")) else {
        return try addLine(line, into: &sorter)
      }
      try JSONScanner.flattened(line).withUnsafeReadableBytes { line throws(Problem) in
        try addLine(line, into: &sorter)
      }
    }
  }

  private func addLine(
    _ value: UnsafeRawBufferPointer, into sorter: inout RecordSorter
  ) throws(Problem) {
    guard let keyPointer else { return try sorter.addPlain(value) }
    let index = sorter.count
    try addKeyed(
      value, keyPointer, where: "Record \(index): ", facts: [("record", .number(index))],
      into: &sorter)
  }

  /// Values that lie in the body as a frame wants them: one copy for all, but that the last line may lack its LF.
  private func addVerbatim(
    _ bytes: UnsafeRawBufferPointer, _ lines: NDJSONLines, into sorter: inout RecordSorter
  ) throws(Problem) {
    if bytes.last == UInt8(ascii: "\n") {
      return sorter.addPlainRegion(bytes, lengths: lines.lengths)
    }
    let last = Int(lines.lengths.last!)
    let region = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - last)])
    if lines.count > 1 {
      sorter.addPlainRegion(region, lengths: Array(lines.lengths.dropLast()))
    }
    try sorter.addPlain(UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - last)...]))
  }

  // MARK: Keys out of values

  private func addKeyed(
    _ value: UnsafeRawBufferPointer, _ pointer: JSONPointer, where place: String,
    facts: [(name: String, value: Problem.Fact)], into sorter: inout RecordSorter
  ) throws(Problem) {
    try withKey(of: value, pointer, where: place, facts: facts) { key throws(Problem) in
      try sorter.add(value, key: key)
    }
  }

  /// Lends the key: a string's text, or a number, true or false as it is written.
  private func withKey(
    of value: UnsafeRawBufferPointer, _ pointer: JSONPointer, where place: String,
    facts: [(name: String, value: Problem.Fact)],
    _ body: (UnsafeRawBufferPointer) throws(Problem) -> Void
  ) throws(Problem) {
    guard let range = JSONScanner.locate(pointer, in: value) else {
      throw Problem(
        .keyNotFound, "\(place)there is nothing at key_pointer \(pointer).", facts: facts)
    }
    let found = UnsafeRawBufferPointer(rebasing: value[range])
    switch found[0] {
    case UInt8(ascii: "\""):
      if let plain = JSONScanner.plainContent(of: found) { return try body(plain) }
      let text = JSONScanner.unescaped(found)
      try text.withUnsafeBufferPointer { key throws(Problem) in
        try body(UnsafeRawBufferPointer(key))
      }
    case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "n"):
      throw Problem(
        .keyNotFound,
        "\(place)a key is a string, a number, true or false, which key_pointer \(pointer) is not.",
        facts: facts)
    default: try body(found)
    }
  }

  // MARK: Opaque bytes

  private func readOpaque(
    _ bytes: UnsafeRawBufferPointer, into sorter: inout RecordSorter
  ) throws(Problem) {
    var parts = RecordParts()
    try setHeaders(in: &parts)
    parts.setContentType((headers.contentType ?? Self.unknownType).utf8)
    try sorter.add(bytes, parts)
  }

  static let unknownType = "application/octet-stream"

  private func readBinaryEvent(
    _ bytes: UnsafeRawBufferPointer, into sorter: inout RecordSorter
  ) throws(Problem) {
    var parts = RecordParts()
    try setHeaders(in: &parts)
    let attributes = try EventReader.decoded(headers.eventAttributes)
    for (name, value) in attributes where !parts.addHeader("ce-\(name)".utf8, value.utf8) {
      throw AppendHeaders.refusal("record-header-ce-\(name)", "The event has this attribute.")
    }
    if let key = attributes.first(where: { $0.name == "partitionkey" })?.value {
      try EventReader.refuseSecondKey(headers)
      parts.setKey(key.utf8)
    }
    let type = headers.contentType.map { MediaType($0).essence }
    guard type == "application/json", !bytes.isEmpty else {
      parts.setContentType((headers.contentType ?? Self.unknownType).utf8)
      return try sorter.add(bytes, parts)
    }
    let value = JSONScanner.flattened(try JSONBody(bytes).value)
    try value.withUnsafeReadableBytes { value throws(Problem) in try sorter.add(value, parts) }
  }
}

extension Problem {
  init(fault: NDJSONFault, _ limits: RequestLimits) {
    switch fault {
    case .line(let line, let fault):
      self.init(
        .badJSON, "Line \(line), byte \(fault.position): \(fault.reason).",
        facts: [("line", .number(line)), ("position", .text(String(fault.position)))])
    case .recordTooLarge(let line, let bytes, _):
      self.init(recordOver: limits, bytes: bytes, facts: [("line", .number(line))])
    case .tooManyRecords:
      self.init(batchOver: limits)
    }
  }
}
