// The JSON scanner's one pass: a position that moves forward, a bit for each open container, and nothing else.
import CPlatform

/// Functions take a position and return the one behind what they passed over. A negative number is a failure, `fault`
/// makes an error of it: so the fast path carries one integer in a register, and writes memory only for line breaks.
struct JSONScan {
  /// At `base + end` or behind it nothing is read.
  private let base: UnsafePointer<UInt8>
  let end: Int

  @inline(always)
  init(_ bytes: UnsafeRawBufferPointer) {
    // An empty buffer may have no address; nothing is read through this one.
    base =
      bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
      ?? UnsafePointer(bitPattern: 1).unsafelyUnwrapped
    end = bytes.count
  }

  @inline(always)
  func isLineFeed(_ at: Int) -> Bool { at < end && base[at] == 0x0a }

  // MARK: Failures

  private enum Reason: Int {
    case ended, unexpected, word, number, control, utf8, escape, surrogate, name, colon, comma
    case depth, lineBreak
  }

  @inline(always)
  private func fail(_ reason: Reason, _ at: Int) -> Int {
    ~(at << 4 | (at >= end ? Reason.ended : reason).rawValue)
  }

  /// What `failure` says, its position counted from `start`.
  static func fault(_ failure: Int, from start: Int) -> JSONFault {
    let reason =
      switch Reason(rawValue: ~failure & 15)! {
      case .ended: "the text ends too early"
      case .unexpected: "a value was expected"
      case .word: "only true, false and null are words"
      case .number: "not a JSON number"
      case .control: "a control character in a string must be escaped"
      case .utf8: "not UTF-8"
      case .escape: "an unknown escape"
      case .surrogate: "an escaped surrogate without its other half"
      case .name: "a member's name was expected"
      case .colon: "a colon was expected"
      case .comma: "a comma or the end of the container was expected"
      case .depth: "containers are nested more than \(JSONScanner.depthMax) deep"
      case .lineBreak: "the line ends within the value"
      }
    return JSONFault(position: ~failure >> 4 - start, reason: reason)
  }

  static func trailing(_ at: Int, from start: Int) -> JSONFault {
    JSONFault(position: at - start, reason: "something follows the value")
  }

  // MARK: Structure

  /// Passes over whitespace. Unless the text is `breakable`, LF is none: the text is a line of many.
  @inline(always)
  func skipSpace(_ start: Int, breakable: Bool, _ hasBreaks: inout Bool) -> Int {
    var at = start
    while at < end {
      let byte = base[at]
      if byte > 0x20 { return at }
      if byte == 0x0d || (breakable && byte == 0x0a) {
        hasBreaks = true
      } else if byte != 0x20, byte != 0x09 {
        return at
      }
      at &+= 1
    }
    return at
  }

  /// Passes over one value that starts at `start`.
  @inline(always)
  func value(_ start: Int, breakable: Bool, _ hasBreaks: inout Bool) -> Int {
    var at = start
    var depth = 0
    // The innermost 64 containers, a bit each, the innermost lowest: 1 for an object. Those further out lie in
    // `outerKinds`, 64 at a time.
    var kinds: UInt64 = 0
    var outerKinds: [UInt64] = []
    while true {
      // A value starts here.
      guard at < end else { return fail(.ended, at) }
      let first = base[at]
      switch first {
      case UInt8(ascii: "\""):
        at = string(at)
        if at < 0 { return at }
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        if depth & 63 == 0, depth > 0 {
          guard depth < JSONScanner.depthMax else { return fail(.depth, at) }
          outerKinds.append(kinds)
        }
        let isObject = first == UInt8(ascii: "{")
        kinds = kinds << 1 | (isObject ? 1 : 0)
        depth &+= 1
        at = skipSpace(at &+ 1, breakable: breakable, &hasBreaks)
        if at < end, base[at] == first &+ 2 { break }  // "{" and "}", "[" and "]" are two apart
        if isObject {
          at = name(at, breakable: breakable, &hasBreaks)
          if at < 0 { return at }
        }
        continue
      case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        at = number(at)
        if at < 0 { return at }
      case UInt8(ascii: "t"):
        guard isWord(0x6575_7274, at) else { return fail(.word, at) }
        at &+= 4
      case UInt8(ascii: "n"):
        guard isWord(0x6c6c_756e, at) else { return fail(.word, at) }
        at &+= 4
      case UInt8(ascii: "f"):
        guard isWord(0x6573_6c61, at &+ 1) else { return fail(.word, at) }
        at &+= 5
      default:
        return fail(first == 0x0a ? .lineBreak : .unexpected, at)
      }
      // A value ended here, or an empty container is about to; close what ends with it.
      while true {
        if depth == 0 { return at }
        at = skipSpace(at, breakable: breakable, &hasBreaks)
        guard at < end else { return fail(.ended, at) }
        let byte = base[at]
        if byte == UInt8(ascii: ",") {
          at = skipSpace(at &+ 1, breakable: breakable, &hasBreaks)
          if kinds & 1 == 1 {
            at = name(at, breakable: breakable, &hasBreaks)
            if at < 0 { return at }
          }
          break
        }
        guard byte == (kinds & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
          return fail(byte == 0x0a ? .lineBreak : .comma, at)
        }
        at &+= 1
        depth &-= 1
        kinds >>= 1
        if depth & 63 == 0, depth > 0 { kinds = outerKinds.removeLast() }
      }
    }
  }

  /// A member's name, its colon and the whitespace after it.
  @inline(always)
  private func name(_ start: Int, breakable: Bool, _ hasBreaks: inout Bool) -> Int {
    guard start < end, base[start] == UInt8(ascii: "\"") else {
      return fail(isLineFeed(start) ? .lineBreak : .name, start)
    }
    var at = string(start)
    if at < 0 { return at }
    at = skipSpace(at, breakable: breakable, &hasBreaks)
    guard at < end, base[at] == UInt8(ascii: ":") else {
      return fail(isLineFeed(at) ? .lineBreak : .colon, at)
    }
    return skipSpace(at &+ 1, breakable: breakable, &hasBreaks)
  }

  // MARK: Strings

  /// A string, `start` being its opening quote.
  @inline(always)
  private func string(_ start: Int) -> Int {
    var at = start &+ 1
    while true {
      while at &+ Int(MILLRACE_STRING_BLOCK) <= end {
        let hits = millrace_string_hits(base + at)
        if hits == 0 {
          at &+= Int(MILLRACE_STRING_BLOCK)
          continue
        }
        at &+= hits.trailingZeroBitCount &>> Int(MILLRACE_STRING_SHIFT)
        break
      }
      guard at < end else { return fail(.ended, at) }
      let byte = base[at]
      if byte == UInt8(ascii: "\"") { return at &+ 1 }
      if byte >= 0x20, byte < 0x80, byte != UInt8(ascii: "\\") {
        // Too near the end for a block.
        at &+= 1
        continue
      }
      at = special(at)
      if at < 0 { return at }
    }
  }

  /// What a string does not hold as it is: an escape, a run of characters beyond ASCII, or a failure.
  private func special(_ start: Int) -> Int {
    let byte = base[start]
    if byte >= 0x80 {
      var at = start
      repeat {
        let count = UTF8Check.sequence(base + at, end &- at)
        guard count > 0 else { return fail(.utf8, at) }
        at &+= count
      } while at < end && base[at] >= 0x80
      return at
    }
    guard byte == UInt8(ascii: "\\") else { return fail(.control, start) }
    guard start &+ 1 < end else { return fail(.ended, end) }
    switch base[start &+ 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
      UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      return start &+ 2
    case UInt8(ascii: "u"):
      return unicodeEscape(start)
    default:
      return fail(.escape, start)
    }
  }

  private func unicodeEscape(_ start: Int) -> Int {
    guard let first = JSONEscape.unit(base, at: start, end: end) else {
      return fail(.escape, start)
    }
    switch first {
    case 0xd800..<0xdc00:
      guard let second = JSONEscape.unit(base, at: start &+ 6, end: end),
        (0xdc00..<0xe000).contains(second)
      else { return fail(.surrogate, start) }
      return start &+ 12
    case 0xdc00..<0xe000:
      return fail(.surrogate, start)
    default:
      return start &+ 6
    }
  }

  // MARK: Numbers and words

  /// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
  @inline(always)
  private func number(_ start: Int) -> Int {
    let whole = base[start] == UInt8(ascii: "-") ? start &+ 1 : start
    var at = skipDigits(whole)
    // One digit at least, and no zero before others.
    guard at > whole, base[whole] != UInt8(ascii: "0") || at == whole &+ 1 else {
      return fail(.number, at)
    }
    guard at < end else { return at }
    if base[at] == UInt8(ascii: ".") {
      let fraction = at &+ 1
      at = skipDigits(fraction)
      guard at > fraction else { return fail(.number, at) }
      guard at < end else { return at }
    }
    guard base[at] | 0x20 == UInt8(ascii: "e") else { return at }
    var exponent = at &+ 1
    if exponent < end, base[exponent] == UInt8(ascii: "+") || base[exponent] == UInt8(ascii: "-") {
      exponent &+= 1
    }
    at = skipDigits(exponent)
    return at > exponent ? at : fail(.number, at)
  }

  /// Passes over digits, eight bytes at a time: how many there are is then no branch to mispredict.
  @inline(always)
  private func skipDigits(_ start: Int) -> Int {
    var at = start
    while at &+ 8 <= end {
      let word = UInt64(
        littleEndian: UnsafeRawPointer(base).loadUnaligned(fromByteOffset: at, as: UInt64.self))
      // A digit is 3x, and still is with 6 added. A carry runs upwards only, so the lowest other byte is right.
      let high: UInt64 = 0xf0f0_f0f0_f0f0_f0f0
      let threes: UInt64 = 0x3030_3030_3030_3030
      let others =
        ((word & high) ^ threes) | (((word &+ 0x0606_0606_0606_0606) & high) ^ threes)
      if others != 0 { return at &+ others.trailingZeroBitCount &>> 3 }
      at &+= 8
    }
    while at < end, base[at] &- UInt8(ascii: "0") <= 9 { at &+= 1 }
    return at
  }

  /// Whether the four bytes at `at` are these, little-endian.
  @inline(always)
  private func isWord(_ letters: UInt32, _ at: Int) -> Bool {
    guard at &+ 4 <= end else { return false }
    let word = UnsafeRawPointer(base).loadUnaligned(fromByteOffset: at, as: UInt32.self)
    return UInt32(littleEndian: word) == letters
  }
}
