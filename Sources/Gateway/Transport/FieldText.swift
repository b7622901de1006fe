// Which bytes HTTP allows where, and the names and values common enough to be kept as constants.

/// A set of ASCII characters, tested in two instructions.
struct ASCIISet: Sendable {
  private let low: UInt64
  private let high: UInt64

  init(_ members: StaticString) {
    var low: UInt64 = 0
    var high: UInt64 = 0
    for byte in UnsafeBufferPointer(start: members.utf8Start, count: members.utf8CodeUnitCount) {
      precondition(byte < 128, "ASCII only")
      if byte < 64 { low |= 1 << UInt64(byte) } else { high |= 1 << UInt64(byte - 64) }
    }
    self.low = low
    self.high = high
  }

  init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  @inline(__always)
  func contains(_ byte: UInt8) -> Bool {
    let bits = byte & 64 == 0 ? low : high
    return byte < 128 && bits >> UInt64(byte & 63) & 1 == 1
  }
}

enum FieldText {
  /// RFC 9110 §5.6.2: tchar. The bits are those of "!#$%&'*+-.^_`|~", digits and letters; a test holds them.
  @inline(__always)
  static var token: ASCIISet { ASCIISet(low: 0x03FF_6CFA_0000_0000, high: 0x57FF_FFFF_C7FF_FFFE) }

  /// What a request target may hold: RFC 3986's characters, and ^ ` { | } [ ] that browsers leave as they are.
  @inline(__always)
  static var target: ASCIISet { ASCIISet(low: 0xAFFF_FFF2_0000_0000, high: 0x7FFF_FFFF_EFFF_FFFF) }

  /// What a Host may hold: names, IP literals and the port's colon (RFC 3986, without the sub-delimiters).
  @inline(__always)
  static var host: ASCIISet { ASCIISet(low: 0x07FF_6020_0000_0000, high: 0x47FF_FFFE_AFFF_FFFE) }

  /// Whether every byte is a visible character, space or tab; bytes above ASCII are left to the UTF-8 check.
  /// `isASCII` says that there are none.
  static func isValue(_ bytes: UnsafeRawBufferPointer) -> (isValid: Bool, isASCII: Bool) {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let tops: UInt64 = 0x8080_8080_8080_8080
    var high: UInt64 = 0
    var index = 0
    while index &+ 8 <= bytes.count {
      let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      // A byte below 0x20 or equal to 0x7F (SWAR; exact as a whole-word test).
      let below = (word &- ones &* 0x20) & ~word & tops
      let delete = word ^ (ones &* 0x7F)
      let isDelete = (delete &- ones) & ~delete & tops
      if below | isDelete != 0 { break }
      high |= word & tops
      index &+= 8
    }
    while index < bytes.count {
      let byte = bytes[index]
      if (byte < 0x20 && byte != 9) || byte == 0x7F { return (false, false) }
      high |= UInt64(byte & 0x80)
      index &+= 1
    }
    return (true, high == 0)
  }

  static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    String(validating: bytes, as: UTF8.self) != nil
  }

  /// `bytes` as a string in lower case.
  static func lowercased(_ bytes: UnsafeRawBufferPointer) -> String {
    String(unsafeUninitializedCapacity: bytes.count) { target in
      for index in 0..<bytes.count {
        let byte = bytes[index]
        target[index] = byte &- 65 < 26 ? byte | 0x20 : byte
      }
      return bytes.count
    }
  }

  /// Whether `bytes`, letters in either case, is `name`: lower-case letters, digits and hyphens, of the same length.
  @inline(__always)
  static func matches(_ bytes: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
    let expected = name.utf8Start
    var difference: UInt8 = 0
    for index in 0..<bytes.count { difference |= (bytes[index] | 0x20) ^ expected[index] }
    return difference == 0
  }

  /// Whether `bytes`, letters in either case, is `word`: lower-case letters, digits and hyphens.
  @inline(__always)
  static func isWord(_ bytes: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
    bytes.count == word.utf8CodeUnitCount && matches(bytes, word)
  }

  /// The name in lower case, which must be a token: a constant if it is common, so that no memory is taken for it.
  static func name(_ bytes: UnsafeRawBufferPointer) -> String {
    switch bytes.count {
    case 4:
      if matches(bytes, "host") { return "host" }
    case 6:
      if matches(bytes, "accept") { return "accept" }
      if matches(bytes, "expect") { return "expect" }
    case 10:
      if matches(bytes, "user-agent") { return "user-agent" }
      if matches(bytes, "connection") { return "connection" }
      if matches(bytes, "request-id") { return "request-id" }
    case 12:
      if matches(bytes, "content-type") { return "content-type" }
      if matches(bytes, "producer-seq") { return "producer-seq" }
    case 13:
      if matches(bytes, "authorization") { return "authorization" }
      if matches(bytes, "last-event-id") { return "last-event-id" }
      if matches(bytes, "if-none-match") { return "if-none-match" }
      if matches(bytes, "cache-control") { return "cache-control" }
    case 14:
      if matches(bytes, "content-length") { return "content-length" }
      if matches(bytes, "producer-epoch") { return "producer-epoch" }
      if matches(bytes, "sec-fetch-site") { return "sec-fetch-site" }
      if matches(bytes, "sec-fetch-mode") { return "sec-fetch-mode" }
      if matches(bytes, "sec-fetch-dest") { return "sec-fetch-dest" }
    case 15:
      if matches(bytes, "accept-encoding") { return "accept-encoding" }
      if matches(bytes, "accept-language") { return "accept-language" }
      if matches(bytes, "idempotency-key") { return "idempotency-key" }
      if matches(bytes, "x-forwarded-for") { return "x-forwarded-for" }
    case 16:
      if matches(bytes, "content-encoding") { return "content-encoding" }
    case 17:
      if matches(bytes, "transfer-encoding") { return "transfer-encoding" }
      if matches(bytes, "x-forwarded-proto") { return "x-forwarded-proto" }
    default: break
    }
    return lowercased(bytes)
  }

  /// The value as a string: a constant if it is common and longer than the 15 bytes a string holds in itself.
  static func value(_ bytes: UnsafeRawBufferPointer) -> String {
    if bytes.count == 16, matchesExactly(bytes, "application/json") { return "application/json" }
    if bytes.count == 20, matchesExactly(bytes, "application/x-ndjson") {
      return "application/x-ndjson"
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  @inline(__always)
  private static func matchesExactly(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool
  {
    let expected = text.utf8Start
    var difference: UInt8 = 0
    for index in 0..<bytes.count { difference |= bytes[index] ^ expected[index] }
    return difference == 0
  }
}
