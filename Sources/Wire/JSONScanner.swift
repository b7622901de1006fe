// Checks that bytes are JSON (RFC 8259, strict) and says where the values lie; builds no tree.
import NIOCore

/// Why bytes are not JSON.
public struct JSONFault: Error, Equatable, Sendable, CustomStringConvertible {
  /// Bytes from the start of the text that was checked.
  public let position: Int
  /// A clause for people: "a string is not closed".
  public let reason: String

  public init(position: Int, reason: String) {
    self.position = position
    self.reason = reason
  }

  public var description: String { "\(reason) at byte \(position)" }
}

/// Where a value lies in a text.
public struct JSONExtent: Equatable, Sendable {
  /// The value without the whitespace around it.
  public let range: Range<Int>
  /// True if CR or LF stand between its tokens; it is then no single line until flattened.
  public let hasLineBreaks: Bool
}

/// Strict JSON: RFC 8259 grammar, UTF-8 without surrogates or overlong forms, escapes that name Unicode characters
/// (a lone surrogate is refused), containers at most `depthMax` deep. Any number is taken, whatever its size, and
/// so are duplicate names and NUL (`\u0000`): a record is kept as it is, not understood.
public enum JSONScanner {
  public static let depthMax = 512

  /// Checks that `bytes` is exactly one JSON value with optional whitespace around; returns its range without
  /// the whitespace. ` {"a":1}` gives 1..<8.
  public static func value(_ bytes: UnsafeRawBufferPointer) throws(JSONFault) -> Range<Int> {
    try extent(bytes).range
  }

  /// As `value`, and says whether the value is one line.
  public static func extent(_ bytes: UnsafeRawBufferPointer) throws(JSONFault) -> JSONExtent {
    var scan = JSONScan(bytes)
    scan.skipSpace(breaks: true)
    scan.hasLineBreaks = false
    let start = scan.position
    guard scan.scanValue(breaks: true) else { throw scan.fault(from: 0) }
    let end = scan.position
    let hasLineBreaks = scan.hasLineBreaks
    scan.skipSpace(breaks: true)
    guard scan.position == scan.end else {
      throw JSONFault(position: scan.position, reason: "something follows the value")
    }
    return JSONExtent(range: start..<end, hasLineBreaks: hasLineBreaks)
  }

  /// A copy of a checked value in one line: CR and LF, which can only stand between tokens, become spaces.
  public static func flattened(
    _ value: UnsafeRawBufferPointer, allocator: ByteBufferAllocator = .init()
  ) -> ByteBuffer {
    var buffer = allocator.buffer(capacity: value.count)
    writeFlattened(value, into: &buffer)
    return buffer
  }

  /// Appends a checked value in one line to `buffer`.
  public static func writeFlattened(
    _ value: UnsafeRawBufferPointer, into buffer: inout ByteBuffer
  ) {
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: value.count) { target in
      target.copyMemory(from: value)
      for index in 0..<value.count where target[index] == 0x0a || target[index] == 0x0d {
        target[index] = 0x20
      }
      return value.count
    }
  }
}

/// One pass over a text. Fast because nothing is kept but a position and a bit a container, and because strings
/// are looked at eight bytes at a time.
struct JSONScan {
  let base: UnsafePointer<UInt8>
  /// One past the last byte that belongs to the text; nothing at or after it is read.
  let end: Int
  var position = 0
  var hasLineBreaks = false
  private var reason = Reason.none
  private var depth = 0
  /// A bit a container: 1 for an object.
  private var containers = InlineArray<8, UInt64>(repeating: 0)

  enum Reason: UInt8 {
    case none, ended, unexpected, literal, number, control, utf8, escape, surrogate, name, colon
    case comma, deep, lineBreak
  }

  init(_ bytes: UnsafeRawBufferPointer) {
    self.init(bytes, from: 0)
  }

  init(_ bytes: UnsafeRawBufferPointer, from start: Int) {
    // An empty buffer may have no address; nothing is read through this one.
    base =
      bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
      ?? UnsafePointer(bitPattern: 1).unsafelyUnwrapped
    end = bytes.count
    position = start
  }

  /// What stopped `scanValue`, its position counted from `start`.
  func fault(from start: Int) -> JSONFault {
    JSONFault(position: position - start, reason: reasonText)
  }

  private var reasonText: String {
    switch reason {
    case .none, .ended: "the text ends too early"
    case .unexpected: "a value was expected"
    case .literal: "only true, false and null are words"
    case .number: "not a JSON number"
    case .control: "a control character in a string must be escaped"
    case .utf8: "not UTF-8"
    case .escape: "an unknown escape"
    case .surrogate: "an escaped surrogate without its other half"
    case .name: "a member's name was expected"
    case .colon: "a colon was expected"
    case .comma: "a comma or the end of the container was expected"
    case .deep: "containers are nested more than \(JSONScanner.depthMax) deep"
    case .lineBreak: "the line ends within the value"
    }
  }

  @inline(__always)
  mutating func fail(_ why: Reason) -> Bool {
    reason = position >= end ? .ended : why
    return false
  }

  // MARK: Structure

  /// Passes over whitespace. With `breaks` false LF is not whitespace: the text is a line of many.
  @inline(__always)
  mutating func skipSpace(breaks: Bool) {
    while position < end {
      let byte = base[position]
      if byte > 0x20 { return }
      if byte == 0x20 || byte == 0x09 {
        position &+= 1
      } else if byte == 0x0d || (breaks && byte == 0x0a) {
        hasLineBreaks = true
        position &+= 1
      } else {
        return
      }
    }
  }

  /// Passes over one value that starts at `position`.
  /// Returns false where the bytes are not JSON; `fault` then says why and `position` where.
  @inline(__always)
  mutating func scanValue(breaks: Bool) -> Bool {
    depth = 0
    var isObject = false
    while true {
      // A value starts here.
      guard position < end else { return fail(.ended) }
      switch base[position] {
      case UInt8(ascii: "\""):
        guard scanString() else { return false }
      case UInt8(ascii: "{"):
        guard open(object: true) else { return false }
        isObject = true
        skipSpace(breaks: breaks)
        if position < end, base[position] == UInt8(ascii: "}") {
          position &+= 1
          isObject = close()
          break
        }
        guard scanName(breaks: breaks) else { return false }
        continue
      case UInt8(ascii: "["):
        guard open(object: false) else { return false }
        isObject = false
        skipSpace(breaks: breaks)
        if position < end, base[position] == UInt8(ascii: "]") {
          position &+= 1
          isObject = close()
          break
        }
        continue
      case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        guard scanNumber() else { return false }
      case UInt8(ascii: "t"): guard scanWord(0x6575_7274, 4) else { return false }
      case UInt8(ascii: "n"): guard scanWord(0x6c6c_756e, 4) else { return false }
      case UInt8(ascii: "f"): guard scanWord(0x736c_6166, 5) else { return false }
      case UInt8(ascii: "\n") where !breaks: return fail(.lineBreak)
      default: return fail(.unexpected)
      }
      // A value ended here; close what ends with it.
      while true {
        if depth == 0 { return true }
        skipSpace(breaks: breaks)
        guard position < end else { return fail(.ended) }
        let byte = base[position]
        if byte == UInt8(ascii: ",") {
          position &+= 1
          skipSpace(breaks: breaks)
          if isObject {
            guard scanName(breaks: breaks) else { return false }
          }
          break
        }
        guard byte == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
          return fail(byte == UInt8(ascii: "\n") && !breaks ? .lineBreak : .comma)
        }
        position &+= 1
        isObject = close()
      }
    }
  }

  @inline(__always)
  private mutating func open(object: Bool) -> Bool {
    guard depth < JSONScanner.depthMax else { return fail(.deep) }
    let bit: UInt64 = 1 << UInt64(truncatingIfNeeded: depth & 63)
    if object { containers[depth >> 6] |= bit } else { containers[depth >> 6] &= ~bit }
    depth &+= 1
    position &+= 1
    return true
  }

  /// Leaves a container; true if the one around it is an object.
  @inline(__always)
  private mutating func close() -> Bool {
    depth &-= 1
    guard depth > 0 else { return false }
    let above = depth &- 1
    return containers[above >> 6] >> UInt64(truncatingIfNeeded: above & 63) & 1 == 1
  }

  /// A member's name, its colon and the whitespace after it.
  @inline(__always)
  private mutating func scanName(breaks: Bool) -> Bool {
    guard position < end, base[position] == UInt8(ascii: "\"") else {
      return fail(position < end && base[position] == 0x0a && !breaks ? .lineBreak : .name)
    }
    guard scanString() else { return false }
    skipSpace(breaks: breaks)
    guard position < end, base[position] == UInt8(ascii: ":") else {
      return fail(position < end && base[position] == 0x0a && !breaks ? .lineBreak : .colon)
    }
    position &+= 1
    skipSpace(breaks: breaks)
    return true
  }

  // MARK: Scalars

  @inline(__always)
  private func word(at place: Int) -> UInt64 {
    UInt64(
      littleEndian: UnsafeRawPointer(base).loadUnaligned(fromByteOffset: place, as: UInt64.self))
  }

  /// A string, `position` being at its opening quote.
  @inline(__always)
  private mutating func scanString() -> Bool {
    position &+= 1
    while true {
      while position &+ 8 <= end {
        let hits = Self.hits(in: word(at: position))
        if hits == 0 {
          position &+= 8
          continue
        }
        position &+= hits.trailingZeroBitCount &>> 3
        break
      }
      guard position < end else { return fail(.ended) }
      let byte = base[position]
      if byte == UInt8(ascii: "\"") {
        position &+= 1
        return true
      }
      if byte >= 0x80 {
        guard scanUTF8() else { return false }
      } else if byte == UInt8(ascii: "\\") {
        guard scanEscape() else { return false }
      } else if byte < 0x20 {
        return fail(.control)
      } else {
        position &+= 1
      }
    }
  }

  /// The high bit of the lowest byte that is a quote, a backslash, a control character or not ASCII is set, and no
  /// bit below it. (Bits above it may be wrong: a borrow runs upwards only.)
  @inline(__always)
  static func hits(in word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let quote = (word ^ (ones &* 0x22)) &- ones
    let backslash = (word ^ (ones &* 0x5c)) &- ones
    let control = word &- (ones &* 0x20)
    return (quote | backslash | control | word) & (ones &* 0x80)
  }

  /// A run of characters beyond ASCII.
  @inline(__always)
  private mutating func scanUTF8() -> Bool {
    repeat {
      let count = UTF8Check.sequence(base + position, end &- position)
      guard count > 0 else {
        reason = .utf8
        return false
      }
      position &+= count
    } while position < end && base[position] >= 0x80
    return true
  }

  /// An escape, `position` being at its backslash.
  @inline(__always)
  private mutating func scanEscape() -> Bool {
    guard position &+ 1 < end else {
      position = end
      return fail(.ended)
    }
    switch base[position &+ 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
      UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      position &+= 2
      return true
    case UInt8(ascii: "u"):
      return scanUnicodeEscape()
    default:
      return fail(.escape)
    }
  }

  private mutating func scanUnicodeEscape() -> Bool {
    guard let first = JSONEscape.unit(base, at: position, end: end) else { return fail(.escape) }
    switch first {
    case 0xd800..<0xdc00:
      guard let second = JSONEscape.unit(base, at: position &+ 6, end: end),
        (0xdc00..<0xe000).contains(second)
      else { return fail(.surrogate) }
      position &+= 12
    case 0xdc00..<0xe000:
      return fail(.surrogate)
    default:
      position &+= 6
    }
    return true
  }

  /// A number: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
  @inline(__always)
  private mutating func scanNumber() -> Bool {
    if base[position] == UInt8(ascii: "-") { position &+= 1 }
    guard position < end else { return fail(.ended) }
    if base[position] == UInt8(ascii: "0") {
      position &+= 1
    } else {
      guard skipDigits() else { return fail(.number) }
    }
    guard position < end else { return true }
    var byte = base[position]
    if byte == UInt8(ascii: ".") {
      position &+= 1
      guard skipDigits() else { return fail(.number) }
      guard position < end else { return true }
      byte = base[position]
    }
    if byte | 0x20 == UInt8(ascii: "e") {
      position &+= 1
      if position < end, base[position] == UInt8(ascii: "+") || base[position] == UInt8(ascii: "-")
      {
        position &+= 1
      }
      guard skipDigits() else { return fail(.number) }
      return true
    }
    // A leading zero goes on: 012.
    guard byte &- UInt8(ascii: "0") > 9 else { return fail(.number) }
    return true
  }

  /// One digit or more; false if there is none.
  @inline(__always)
  private mutating func skipDigits() -> Bool {
    let start = position
    while position < end, base[position] &- UInt8(ascii: "0") <= 9 { position &+= 1 }
    return position > start
  }

  /// `true`, `false` or `null`: `letters` are its first four, little-endian; the fifth can only be `e`.
  @inline(__always)
  private mutating func scanWord(_ letters: UInt32, _ count: Int) -> Bool {
    guard position &+ count <= end,
      UInt32(
        littleEndian: UnsafeRawPointer(base).loadUnaligned(
          fromByteOffset: position, as: UInt32.self)) == letters,
      count == 4 || base[position &+ 4] == UInt8(ascii: "e")
    else { return failWord() }
    position &+= count
    return true
  }

  private mutating func failWord() -> Bool {
    reason = .literal
    return false
  }
}
