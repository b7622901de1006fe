// A JSON object of a request read strictly: known fields only, each of its type, each refusal with its JSON pointer.
import Engine
import NIOCore
import Wire

struct JSONFields {
  /// Where the object lies in the document: "" at the top.
  let pointer: String
  private let members: JSONObject

  /// - Throws: `wrong_type` unless `value` is an object, `unknown_field` for a member not in `known`; nil allows any.
  init(_ value: JSONValue, at pointer: String = "", known: [String]?) throws(Problem) {
    guard case .object(let members) = value else {
      throw Self.wrongType(pointer, "an object", isNull: value == .null)
    }
    self.pointer = pointer
    self.members = members
    guard let known else { return }
    for (name, _) in members where !known.contains(name) {
      throw Self.unknown(Self.pointer(pointer, name), known: known)
    }
  }

  static func pointer(_ parent: String, _ name: String) -> String {
    parent + JSONPointer(tokens: [name]).description
  }

  static func unknown(_ pointer: String, known: [String]) -> Problem {
    Problem(
      .unknownField, "\(pointer) is not known; known here: \(known.joined(separator: ", ")).",
      facts: [("pointer", .text(pointer))])
  }

  static func wrongType(_ pointer: String, _ wanted: String, isNull: Bool = false) -> Problem {
    Problem(
      .wrongType,
      "\(pointer.isEmpty ? "The body" : pointer) must be \(wanted)\(isNull ? ", not null" : "").",
      facts: [("pointer", .text(pointer))])
  }

  static func badValue(_ pointer: String, _ reason: String) -> Problem {
    Problem(.badValue, "\(pointer): \(reason)", facts: [("pointer", .text(pointer))])
  }

  func forEach(
    _ body: (_ name: String, _ value: JSONValue, _ pointer: String) throws(Problem) -> Void
  ) throws(Problem) {
    for (name, value) in members { try body(name, value, Self.pointer(pointer, name)) }
  }

  subscript(name: String) -> JSONValue? { members[name] }

  /// An object within this one, or nil if it is not there.
  func object(_ name: String, known: [String]?) throws(Problem) -> JSONFields? {
    guard let value = self[name] else { return nil }
    return try JSONFields(value, at: Self.pointer(pointer, name), known: known)
  }

  /// A string.
  func text(_ name: String) throws(Problem) -> String? {
    guard let value = self[name] else { return nil }
    guard case .string(let text) = value else {
      throw Self.wrongType(Self.pointer(pointer, name), "a string", isNull: value == .null)
    }
    return text
  }

  /// A small whole number, written as a number.
  func integer(_ name: String, in range: ClosedRange<Int>) throws(Problem) -> Int? {
    guard let value = self[name] else { return nil }
    let pointer = Self.pointer(pointer, name)
    guard case .integer(let number) = value else {
      throw Self.wrongType(pointer, "a whole number", isNull: value == .null)
    }
    guard range.contains(Int(number)) else {
      throw Self.badValue(
        pointer, "it is a number from \(range.lowerBound) to \(range.upperBound).")
    }
    return Int(number)
  }

  /// A count of bytes as a decimal string, or null.
  func bytesOrNull(_ name: String) throws(Problem) -> Field<Int?> {
    guard let value = self[name] else { return .absent }
    if value == .null { return .set(nil) }
    let pointer = Self.pointer(pointer, name)
    guard case .string(let text) = value else {
      throw Self.wrongType(
        pointer, "a decimal string such as \"50000000000\" (64-bit numbers are strings), or null")
    }
    guard let bytes = Int(decimal: text), bytes > 0 else {
      throw Self.badValue(
        pointer, "it is a decimal string from \"1\" to \"9223372036854775807\".")
    }
    return .set(bytes)
  }

  /// A duration above zero such as `"7d"`, or null.
  func durationOrNull(_ name: String) throws(Problem) -> Field<Duration?> {
    guard let value = self[name] else { return .absent }
    if value == .null { return .set(nil) }
    let pointer = Self.pointer(pointer, name)
    guard case .string(let text) = value else {
      throw Self.wrongType(pointer, "a duration such as \"7d\", or null")
    }
    guard let duration = DurationText.parse(text), duration > .zero else {
      throw Self.badValue(
        pointer, "it is a duration such as \"500ms\", \"30s\", \"12h\" or \"7d\".")
    }
    return .set(duration)
  }

  /// A duration within `range`.
  func duration(_ name: String, in range: ClosedRange<Duration>) throws(Problem) -> Duration? {
    guard let value = self[name] else { return nil }
    return try Self.duration(value, at: Self.pointer(pointer, name), in: range)
  }

  /// A list of durations within `range`, at most `countMax` of them.
  func durations(
    _ name: String, in range: ClosedRange<Duration>, countMax: Int
  ) throws(Problem) -> [Duration]? {
    guard let value = self[name] else { return nil }
    let pointer = Self.pointer(pointer, name)
    guard case .array(let elements) = value else {
      throw Self.wrongType(pointer, "an array of durations", isNull: value == .null)
    }
    guard elements.count <= countMax else {
      throw Self.badValue(pointer, "it has at most \(countMax) durations.")
    }
    var durations: [Duration] = []
    for (index, element) in elements.enumerated() {
      durations.append(try Self.duration(element, at: "\(pointer)/\(index)", in: range))
    }
    return durations
  }

  private static func duration(
    _ value: JSONValue, at pointer: String, in range: ClosedRange<Duration>
  ) throws(Problem) -> Duration {
    guard case .string(let text) = value else {
      throw wrongType(pointer, "a duration such as \"30s\"", isNull: value == .null)
    }
    guard let duration = DurationText.parse(text), range.contains(duration) else {
      throw badValue(
        pointer,
        "it is a duration from \(DurationText.format(range.lowerBound)) to "
          + "\(DurationText.format(range.upperBound)), such as \"30s\".")
    }
    return duration
  }

  /// One of a few words.
  func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ name: String, of type: Choice.Type
  ) throws(Problem) -> Choice? {
    guard let text = try text(name) else { return nil }
    guard let choice = Choice(rawValue: text) else {
      let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw Self.badValue(Self.pointer(pointer, name), "it is one of \(words).")
    }
    return choice
  }

  /// The name of a stream or the like.
  func name(_ name: String) throws(Problem) -> String? {
    guard let text = try text(name) else { return nil }
    guard Request.isName(text) else {
      throw Self.badValue(
        Self.pointer(pointer, name),
        "a name has 1 to 255 of A-Z a-z 0-9 . _ ~ - and begins with a letter or digit.")
    }
    return text
  }
}

extension Request {
  /// The body as a JSON document of the control plane; nil if it is empty.
  /// - Throws: `unsupported_media_type` unless it is JSON, `bad_json` with its position.
  func jsonBody(types: [String] = ["application/json"]) throws(Problem) -> JSONValue? {
    guard let body = try jsonBytes(types: types) else { return nil }
    do throws(JSONFault) {
      return try JSONValue.parse(body)
    } catch {
      throw Problem(fault: error)
    }
  }

  /// For actions that take none: a body may only be an empty object.
  /// - Throws: `unknown_field` for a member.
  func refuseFields() throws(Problem) {
    if let body = try jsonBody() { _ = try JSONFields(body, known: []) }
  }

  /// The bytes of a body that says it is JSON; nil if it is empty.
  /// - Throws: `unsupported_media_type` unless it says so.
  func jsonBytes(types: [String] = ["application/json"]) throws(Problem) -> ByteBuffer? {
    let body = try inflatedBody()
    guard body.readableBytes > 0 else { return nil }
    if let type = try header("content-type") {
      let mediaType = MediaType(type)
      guard types.contains(mediaType.essence) else {
        throw Problem(
          .unsupportedMediaType, "\(type) is not taken here; \(types.joined(separator: ", ")) is.",
          facts: [("content_type", .text(type))])
      }
    }
    return body
  }

  /// The body as it was before compression.
  /// - Throws: `unsupported_encoding`, `bad_encoding`, `body_too_large`.
  func inflatedBody() throws(Problem) -> ByteBuffer {
    let encoding = try header("content-encoding")
    return try inflated(exchange.body, encoding: encoding)
  }

  func inflated(_ body: ByteBuffer, encoding: String?) throws(Problem) -> ByteBuffer {
    switch encoding?.trimmed().lowercased() {
    case nil, "", "identity":
      guard body.readableBytes <= limits.bodyBytesMax else { throw Problem(bodyOver: limits) }
      return body
    case "gzip", "x-gzip":
      do throws(GzipFault) {
        return try Gzip.inflate(body, limit: limits.bodyBytesMax)
      } catch .tooLarge {
        throw Problem(bodyOver: limits)
      } catch {
        throw Problem(.badEncoding, "The body is not whole, valid gzip.")
      }
    case .some(let other):
      var problem = Problem(
        .unsupportedEncoding, "\(other) is not taken; gzip is.",
        facts: [("content_encoding", .text(other))])
      problem.headers = [("accept-encoding", "gzip")]
      throw problem
    }
  }
}

/// The one JSON value that a body is: its bytes without the white space around them.
struct JSONBody {
  let value: UnsafeRawBufferPointer
  /// Between tokens; a record holds none.
  let hasLineBreaks: Bool

  /// - Throws: `bad_json`.
  init(_ bytes: UnsafeRawBufferPointer) throws(Problem) {
    do throws(JSONFault) {
      let extent = try JSONScanner.extent(bytes)
      value = UnsafeRawBufferPointer(rebasing: bytes[extent.range])
      hasLineBreaks = extent.hasLineBreaks
    } catch {
      throw Problem(fault: error)
    }
  }
}

extension Problem {
  init(fault: JSONFault) {
    self.init(
      .badJSON, "Byte \(fault.position): \(fault.reason).",
      facts: [("position", .text(String(fault.position)))])
  }

  init(bodyOver limits: RequestLimits) {
    self.init(
      .bodyTooLarge, "A body has at most \(limits.bodyBytesMax) bytes, inflated.",
      facts: Self.limit("body_bytes_max", limits.bodyBytesMax))
  }

  /// The facts of every 413 and 431: which limit, and what it is.
  static func limit(_ name: String, _ max: Int) -> [(name: String, value: Fact)] {
    [("limit", .text(name)), ("max", .text(String(max)))]
  }
}

/// A media type without its parameters, in lower case.
struct MediaType {
  let essence: String
  init(_ text: String) {
    essence = text.prefix { $0 != ";" }.trimmed().lowercased()
  }
}
