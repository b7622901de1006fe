// A query string read strictly: known names only, each once, each value of its type.
import Engine
import Wire

struct Query {
  private var items: [(name: String, value: String)] = []

  init() {}

  init(_ raw: String, known: [String]) throws(Problem) {
    for part in raw.utf8.split(separator: UInt8(ascii: "&")) {
      let equals = part.firstIndex(of: UInt8(ascii: "=")) ?? part.endIndex
      let rawName = Substring(part[..<equals])
      let rawValue = equals == part.endIndex ? "" : Substring(part[part.index(after: equals)...])
      guard let name = PercentCoding.decoded(rawName, plusIsSpace: true),
        let value = PercentCoding.decoded(rawValue, plusIsSpace: true)
      else {
        throw Problem(
          .badParameter, "The query's percent-encoding is broken or not UTF-8.",
          facts: [("parameter", .text(String(rawName)))])
      }
      guard known.contains(name) else {
        let hint =
          known.isEmpty ? "It takes none." : "It takes \(known.joined(separator: ", "))."
        throw Problem(
          .unknownField, "There is no query parameter \(name) here. \(hint)",
          facts: [("parameter", .text(name))])
      }
      guard self[name] == nil else { throw Self.refusal(name, "It comes more than once.") }
      items.append((name, value))
    }
  }

  /// The decoded value of a parameter; empty if it came without one.
  subscript(name: String) -> String? { items.first { $0.name == name }?.value }

  static func refusal(_ name: String, _ reason: String) -> Problem {
    Problem(.badParameter, "\(name): \(reason)", facts: [("parameter", .text(name))])
  }

  /// A whole number within `range`, or nil if it is not there.
  func integer(_ name: String, in range: ClosedRange<Int>) throws(Problem) -> Int? {
    guard let text = self[name] else { return nil }
    guard let value = Int(decimal: text), range.contains(value) else {
      throw Self.refusal(
        name, "It is a number from \(range.lowerBound) to \(range.upperBound).")
    }
    return value
  }

  /// `true` or `false`, or nil if it is not there.
  func flag(_ name: String) throws(Problem) -> Bool? {
    switch self[name] {
    case nil: nil
    case "true": true
    case "false": false
    default: throw Self.refusal(name, "It is true or false.")
    }
  }

  /// A duration such as `30s`, from zero to `max`, or nil if it is not there.
  func duration(_ name: String, max: Duration) throws(Problem) -> Duration? {
    guard let text = self[name] else { return nil }
    guard let value = DurationText.parse(text), value >= .zero, value <= max else {
      throw Self.refusal(
        name, "It is a duration such as 30s, at most \(DurationText.format(max)).")
    }
    return value
  }
}

/// Percent-encoding, RFC 3986 §2.1.
enum PercentCoding {
  /// The text behind `raw`, or nil if an escape is broken or the bytes are not UTF-8.
  static func decoded(_ raw: some StringProtocol, plusIsSpace: Bool) -> String? {
    let bytes = raw.utf8
    let plus = UInt8(ascii: "+")
    if !bytes.contains(where: { $0 == UInt8(ascii: "%") || (plusIsSpace && $0 == plus) }) {
      return String(raw)
    }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(bytes.count)
    var iterator = bytes.makeIterator()
    while let byte = iterator.next() {
      if byte == UInt8(ascii: "%") {
        guard let high = iterator.next().flatMap(nibble), let low = iterator.next().flatMap(nibble)
        else { return nil }
        decoded.append(high << 4 | low)
      } else {
        decoded.append(plusIsSpace && byte == plus ? UInt8(ascii: " ") : byte)
      }
    }
    return String(validating: decoded, as: UTF8.self)
  }

  private static func nibble(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
