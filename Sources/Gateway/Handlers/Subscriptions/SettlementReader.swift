// The body of an ack: up to ten thousand ids read straight from the request's bytes, without a tree of JSON.
import Engine
import NIOCore
import Wire

/// Reads `{"ack":["a1"],"nak":[{"ack_id":"a2","delay":"5s"}],"extend":[{"ack_id":"a3","by":"60s"}],
/// "term":[{"ack_id":"a4","reason":"bad"}]}`. Strict: whatever is wrong, with its pointer, refuses the whole.
struct SettlementReader {
  private(set) var settlement = Settlement()
  private let salt: UInt64
  private let entriesMax: Int
  private var entries = 0

  static let delay = Duration.zero...Duration.seconds(7 * 86_400)
  static let extensions = SubscriptionLimits.ackDeadline
  static let reasonCharactersMax = 255
  private static let lists = ["ack", "nak", "extend", "term"]

  /// - Parameter salt: the subscription's incarnation: ids of others are damaged.
  /// - Throws: `bad_json`, `bad_ack_id`, `unknown_field`, `missing_field`, `wrong_type`, `bad_value`,
  ///   `batch_too_large` above `entriesMax`.
  static func read(
    _ bytes: UnsafeRawBufferPointer, salt: UInt64, entriesMax: Int
  ) throws(Problem) -> Settlement {
    var reader = SettlementReader(salt: salt, entriesMax: entriesMax)
    try reader.read(try JSONBody(bytes).value)
    return reader.settlement
  }

  private init(salt: UInt64, entriesMax: Int) {
    self.salt = salt
    self.entriesMax = entriesMax
  }

  private mutating func read(_ body: UnsafeRawBufferPointer) throws(Problem) {
    var seen: Set<String> = []
    let isObject = try JSONScanner.forEachMember(in: body) { name, range throws(Problem) in
      guard Self.lists.contains(name) else {
        throw JSONFields.unknown(JSONFields.pointer("", name), known: Self.lists)
      }
      guard seen.insert(name).inserted else { throw Self.twice("/\(name)") }
      let list = UnsafeRawBufferPointer(rebasing: body[range])
      if name == "ack" { try readAcks(list) } else { try readEntries(list, name) }
      return true
    }
    guard isObject else { throw JSONFields.wrongType("", "an object") }
  }

  private mutating func readAcks(_ list: UnsafeRawBufferPointer) throws(Problem) {
    let isArray = try JSONScanner.forEachElement(in: list) { range throws(Problem) in
      try count()
      let text = UnsafeRawBufferPointer(rebasing: list[range])
      guard let id = ackID(text) else {
        throw Self.refusal(text, "/ack/\(settlement.ack.count)")
      }
      settlement.ack.append(id)
      return true
    }
    guard isArray else { throw JSONFields.wrongType("/ack", "an array of ack_ids") }
  }

  /// Nil for what is no ack_id, or not one of this subscription.
  @inline(__always)
  private func ackID(_ value: UnsafeRawBufferPointer) -> AckID? {
    guard value[0] == UInt8(ascii: "\"") else { return nil }
    if let text = JSONScanner.plainContent(of: value) {
      return try? AckID(text: text, salt: salt)
    }
    return JSONScanner.unescaped(value).withUnsafeBytes { try? AckID(text: $0, salt: salt) }
  }

  private mutating func count() throws(Problem) {
    entries += 1
    guard entries <= entriesMax else {
      throw Problem(
        .batchTooLarge, "A request settles at most \(entriesMax) messages.",
        facts: Problem.limit("settle_entries_max", entriesMax))
    }
  }

  private static func refusal(_ value: UnsafeRawBufferPointer, _ pointer: String) -> Problem {
    guard value[0] == UInt8(ascii: "\"") else { return JSONFields.wrongType(pointer, "an ack_id") }
    return Problem(
      .badAckID,
      "\(pointer) is damaged, or of another subscription. Nothing of the request was applied.",
      facts: [("pointer", .text(pointer))])
  }

  private static func twice(_ pointer: String) -> Problem {
    Problem(
      .badJSON, "\(pointer) comes more than once.", facts: [("pointer", .text(pointer))])
  }

  // MARK: Entries that say more than an id

  private mutating func readEntries(
    _ list: UnsafeRawBufferPointer, _ name: String
  ) throws(Problem) {
    let detail = name == "nak" ? "delay" : name == "extend" ? "by" : "reason"
    var index = 0
    let isArray = try JSONScanner.forEachElement(in: list) { range throws(Problem) in
      try count()
      let pointer = "/\(name)/\(index)"
      let entry = UnsafeRawBufferPointer(rebasing: list[range])
      let (id, text) = try readEntry(entry, detail, at: pointer)
      try add(id, text, to: name, at: "\(pointer)/\(detail)")
      index += 1
      return true
    }
    guard isArray else { throw JSONFields.wrongType("/\(name)", "an array of objects") }
  }

  private func readEntry(
    _ entry: UnsafeRawBufferPointer, _ detail: String, at pointer: String
  ) throws(Problem) -> (AckID, String?) {
    var id: AckID?
    var text: String?
    let isObject = try JSONScanner.forEachMember(in: entry) { name, range throws(Problem) in
      let value = UnsafeRawBufferPointer(rebasing: entry[range])
      let place = JSONFields.pointer(pointer, name)
      switch name {
      case "ack_id":
        guard id == nil else { throw Self.twice(place) }
        guard let read = ackID(value) else { throw Self.refusal(value, place) }
        id = read
      case detail:
        guard text == nil else { throw Self.twice(place) }
        guard value[0] == UInt8(ascii: "\"") else {
          throw JSONFields.wrongType(place, "a string", isNull: value[0] == UInt8(ascii: "n"))
        }
        text = String(decoding: JSONScanner.unescaped(value), as: UTF8.self)
      default: throw JSONFields.unknown(place, known: ["ack_id", detail])
      }
      return true
    }
    guard isObject else {
      throw JSONFields.wrongType(pointer, "an object such as {\"ack_id\":\"a…\"}")
    }
    guard let id else { throw Self.missing("\(pointer)/ack_id") }
    return (id, text)
  }

  private static func missing(_ pointer: String) -> Problem {
    Problem(.missingField, "\(pointer) is missing.", facts: [("pointer", .text(pointer))])
  }

  private mutating func add(
    _ id: AckID, _ text: String?, to list: String, at pointer: String
  ) throws(Problem) {
    switch list {
    case "nak":
      let delay = try text.map { text throws(Problem) in
        try Self.duration(text, in: Self.delay, at: pointer)
      }
      settlement.nak.append(Settlement.Nak(id, delay: delay))
    case "extend":
      guard let text else { throw Self.missing(pointer) }
      let by = try Self.duration(text, in: Self.extensions, at: pointer)
      settlement.extend.append(Settlement.Extension(id, by: by))
    default:
      let reason = text ?? ""
      guard reason.unicodeScalars.count <= Self.reasonCharactersMax else {
        throw JSONFields.badValue(
          pointer, "a reason has at most \(Self.reasonCharactersMax) characters.")
      }
      settlement.term.append(Settlement.Term(id, reason: reason))
    }
  }

  private static func duration(
    _ text: String, in range: ClosedRange<Duration>, at pointer: String
  ) throws(Problem) -> Duration {
    guard let value = DurationText.parse(text), range.contains(value) else {
      throw JSONFields.badValue(
        pointer,
        "it is a duration from \(DurationText.format(range.lowerBound)) to "
          + "\(DurationText.format(range.upperBound)), such as \"30s\".")
    }
    return value
  }
}
