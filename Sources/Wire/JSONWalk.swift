// Finds places in checked JSON texts without building a tree.

extension JSONScanner {
  /// The value at `pointer` inside a checked JSON text (whitespace around is allowed), or nil if there is none. Of
  /// members of the same name the last one counts, as for JavaScript and jansson.
  /// `/b/1` in `{"a":1,"b":[2,3]}` gives 14..<15.
  public static func locate(
    _ pointer: JSONPointer, in value: UnsafeRawBufferPointer
  ) -> Range<Int>? {
    var walk = JSONWalk(value)
    walk.skipSpace()
    guard let end = walk.endOfValue(from: walk.position) else { return nil }
    var range = walk.position..<end
    for token in pointer.tokens {
      var found: Range<Int>?
      switch value[range.lowerBound] {
      case UInt8(ascii: "{"):
        JSONWalk(value, from: range.lowerBound).forEachMember { name, member in
          if JSONWalk.name(UnsafeRawBufferPointer(rebasing: value[name]), equals: token) {
            found = member
          }
          return true
        }
      case UInt8(ascii: "["):
        guard var left = JSONPointer.index(token) else { return nil }
        JSONWalk(value, from: range.lowerBound).forEachElement { element in
          if left == 0 { found = element }
          left -= 1
          return left >= 0
        }
      default:
        return nil
      }
      guard let found else { return nil }
      range = found
    }
    return range
  }

  /// Calls `body` with each member's name and the place of its value in `object`, in order, duplicates too, until it
  /// returns false or throws.
  /// - Returns: false if `object`, a checked JSON text, is not an object.
  @discardableResult
  public static func forEachMember<E>(
    in object: UnsafeRawBufferPointer, _ body: (String, Range<Int>) throws(E) -> Bool
  ) throws(E) -> Bool {
    var walk = JSONWalk(object)
    walk.skipSpace()
    guard walk.byte == UInt8(ascii: "{") else { return false }
    try walk.forEachMember { name, value throws(E) in
      try body(text(of: UnsafeRawBufferPointer(rebasing: object[name])), value)
    }
    return true
  }

  /// Calls `body` with the place of each element in `array`, in order, until it returns false or throws.
  /// - Returns: false if `array`, a checked JSON text, is not an array.
  @discardableResult
  public static func forEachElement<E>(
    in array: UnsafeRawBufferPointer, _ body: (Range<Int>) throws(E) -> Bool
  ) throws(E) -> Bool {
    var walk = JSONWalk(array)
    walk.skipSpace()
    guard walk.byte == UInt8(ascii: "[") else { return false }
    try walk.forEachElement(body)
    return true
  }
}

/// Steps over the tokens of a checked text. On bytes that were never checked it stops early, but never reads outside.
struct JSONWalk {
  private let bytes: UnsafeRawBufferPointer
  private(set) var position: Int

  init(_ bytes: UnsafeRawBufferPointer, from start: Int = 0) {
    self.bytes = bytes
    position = start
  }

  var byte: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func skipSpace() {
    while let byte, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { position += 1 }
  }

  /// Members of the object that starts at `position`: the place of the name, quotes included, and of the value.
  consuming func forEachMember<E>(
    _ body: (Range<Int>, Range<Int>) throws(E) -> Bool
  ) throws(E) {
    position += 1
    skipSpace()
    while byte == UInt8(ascii: "\"") {
      let nameStart = position
      guard let nameEnd = endOfString(from: position) else { return }
      position = nameEnd
      skipSpace()
      guard byte == UInt8(ascii: ":") else { return }
      position += 1
      skipSpace()
      let start = position
      guard let end = endOfValue(from: start) else { return }
      position = end
      guard try body(nameStart..<nameEnd, start..<end) else { return }
      skipSpace()
      guard byte == UInt8(ascii: ",") else { return }
      position += 1
      skipSpace()
    }
  }

  /// Elements of the array that starts at `position`.
  consuming func forEachElement<E>(_ body: (Range<Int>) throws(E) -> Bool) throws(E) {
    position += 1
    skipSpace()
    while let byte, byte != UInt8(ascii: "]") {
      let start = position
      guard let end = endOfValue(from: start) else { return }
      position = end
      guard try body(start..<end) else { return }
      skipSpace()
      guard self.byte == UInt8(ascii: ",") else { return }
      position += 1
      skipSpace()
    }
  }

  /// One past the value that starts at `start`; nil if the text ends first.
  func endOfValue(from start: Int) -> Int? {
    guard start < bytes.count else { return nil }
    switch bytes[start] {
    case UInt8(ascii: "\""):
      return endOfString(from: start)
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      var place = start
      var depth = 0
      while place < bytes.count {
        switch bytes[place] {
        case UInt8(ascii: "\""):
          guard let end = endOfString(from: place) else { return nil }
          place = end
          continue
        case UInt8(ascii: "{"), UInt8(ascii: "["):
          depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
          depth -= 1
          if depth == 0 { return place + 1 }
        default:
          break
        }
        place += 1
      }
      return nil
    default:
      var place = start
      while place < bytes.count, !Self.endsScalar(bytes[place]) { place += 1 }
      return place > start ? place : nil
    }
  }

  private static func endsScalar(_ byte: UInt8) -> Bool {
    byte <= 0x20 || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}")
      || byte == UInt8(ascii: "]")
  }

  private func endOfString(from start: Int) -> Int? {
    var place = start + 1
    while place < bytes.count {
      let byte = bytes[place]
      if byte == UInt8(ascii: "\"") { return place + 1 }
      place += byte == UInt8(ascii: "\\") ? 2 : 1
    }
    return nil
  }

  /// Whether a name, quotes and escapes included, stands for `token`.
  static func name(_ name: UnsafeRawBufferPointer, equals token: String) -> Bool {
    if let plain = JSONScanner.plainContent(of: name) {
      return plain.elementsEqual(token.utf8)
    }
    return JSONScanner.unescaped(name).elementsEqual(token.utf8)
  }
}
