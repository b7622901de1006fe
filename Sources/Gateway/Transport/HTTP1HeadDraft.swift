// A request's head while its lines come in: each checked as it comes, the whole when it is complete.

struct HTTP1HeadDraft: Sendable {
  private(set) var fields: [(name: String, value: String)] = []
  private var method = ""
  private var path = ""
  private var query: String?
  /// The authority of an absolute-form target.
  private var targetAuthority: String?
  private var isHTTP10 = false
  private var host: String?
  private var contentLength: Int?
  private var isChunked = false
  private var saysClose = false
  private var saysKeepAlive = false
  private var expectsContinue = false
  private var hasUnknownExpectation = false
  private var hasUnknownCoding = false

  // MARK: The request line

  mutating func requestLine(_ line: UnsafeRawBufferPointer) throws(TransportProblem) {
    var space = 0
    while space < line.count, FieldText.token.contains(line[space]) { space += 1 }
    guard space < line.count, line[space] == 32 else {
      throw .malformed(space == 0 ? .requestLine : .method)
    }
    guard space > 0, space <= 24 else { throw .malformed(.method) }
    method = String(decoding: line[..<space], as: UTF8.self)
    // The version's length is fixed, so the target lies between; were there more spaces, they would be in it.
    let versionBytes = 8
    let targetStart = space + 1
    let targetEnd = line.count - versionBytes - 1
    guard targetEnd > targetStart, line[targetEnd] == 32 else { throw .malformed(.requestLine) }
    try version(UnsafeRawBufferPointer(rebasing: line[(targetEnd + 1)...]))
    try target(UnsafeRawBufferPointer(rebasing: line[targetStart..<targetEnd]))
  }

  private mutating func version(_ text: UnsafeRawBufferPointer) throws(TransportProblem) {
    let isHTTP =
      text[0] == 72 && text[1] == 84 && text[2] == 84 && text[3] == 80 && text[4] == 47
      && text[6] == 46
    guard isHTTP, text[5] &- 48 < 10, text[7] &- 48 < 10 else { throw .malformed(.requestLine) }
    guard text[5] == 49 else { throw .unsupportedVersion }
    // RFC 9110 §2.5: a higher minor version is read as the highest one known.
    isHTTP10 = text[7] == 48
  }

  private mutating func target(_ text: UnsafeRawBufferPointer) throws(TransportProblem) {
    var question: Int?
    for index in 0..<text.count {
      guard FieldText.target.contains(text[index]) else { throw .malformed(.target) }
      if text[index] == UInt8(ascii: "?"), question == nil { question = index }
    }
    if method == "CONNECT" { throw .unsupportedMethod }
    if text[0] == UInt8(ascii: "/") {
      pathAndQuery(text, question: question)
    } else if text.count == 1, text[0] == UInt8(ascii: "*"), method == "OPTIONS" {
      path = "*"
    } else {
      try absoluteTarget(text, question: question)
    }
  }

  private mutating func pathAndQuery(_ text: UnsafeRawBufferPointer, question: Int?) {
    let end = question ?? text.count
    path = String(decoding: text[..<end], as: UTF8.self)
    query = question.map { String(decoding: text[($0 + 1)...], as: UTF8.self) }
  }

  /// RFC 9112 §3.2.2: what a client sends to a proxy, and any server must take.
  private mutating func absoluteTarget(
    _ text: UnsafeRawBufferPointer, question: Int?
  ) throws(TransportProblem) {
    let separator: StaticString = "://"
    let schemeBytes: Int
    if text.count > 7, FieldText.isWord(.init(rebasing: text[..<4]), "http"), text[4] == 58 {
      schemeBytes = 4
    } else if text.count > 8, FieldText.isWord(.init(rebasing: text[..<5]), "https") {
      schemeBytes = 5
    } else {
      throw .malformed(.target)
    }
    for index in 0..<3 where text[schemeBytes + index] != separator.utf8Start[index] {
      throw .malformed(.target)
    }
    let slash = UInt8(ascii: "/")
    let start = schemeBytes + 3
    var end = start
    while end < text.count, text[end] != slash, text[end] != UInt8(ascii: "?") { end += 1 }
    let authority = UnsafeRawBufferPointer(rebasing: text[start..<end])
    guard Self.isHost(authority) else { throw .malformed(.target) }
    targetAuthority = String(decoding: authority, as: UTF8.self)
    if end < text.count, text[end] == slash {
      pathAndQuery(
        UnsafeRawBufferPointer(rebasing: text[end...]), question: question.map { $0 - end })
    } else {
      path = "/"
      query = question.map { String(decoding: text[($0 + 1)...], as: UTF8.self) }
    }
  }

  // MARK: Fields

  mutating func field(_ line: UnsafeRawBufferPointer) throws(TransportProblem) {
    let (name, value) = try Self.split(line)
    let nameText = FieldText.name(name)
    // The few names that the transport itself minds, told apart by length first.
    switch name.count {
    case 4 where nameText == "host":
      if host != nil { throw .malformed(.hostRepeated) }
      guard Self.isHost(value) else { throw .malformed(.hostInvalid) }
      let text = String(decoding: value, as: UTF8.self)
      host = text
      append(nameText, text)
      return
    case 6 where nameText == "expect":
      if FieldText.isWord(value, "100-continue") {
        expectsContinue = true
      } else {
        hasUnknownExpectation = true
      }
    case 10 where nameText == "connection":
      connection(value)
    case 14 where nameText == "content-length":
      if contentLength != nil { throw .malformed(.contentLengthRepeated) }
      contentLength = try Self.decimal(value)
    case 17 where nameText == "transfer-encoding":
      try transferEncoding(value)
    default: break
    }
    append(nameText, FieldText.value(value))
  }

  mutating func trailer(_ line: UnsafeRawBufferPointer) throws(TransportProblem) {
    _ = try Self.split(line)
    append("", "")
  }

  private mutating func append(_ name: String, _ value: String) {
    if fields.isEmpty { fields.reserveCapacity(8) }
    fields.append((name, value))
  }

  /// The name as it came and the value without the white space around it, both checked.
  private static func split(
    _ line: UnsafeRawBufferPointer
  ) throws(TransportProblem) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    var colon = 0
    while colon < line.count, FieldText.token.contains(line[colon]) { colon += 1 }
    guard colon > 0, colon < line.count, line[colon] == UInt8(ascii: ":") else {
      if colon == 0, isBlank(line[0]) { throw .malformed(.obsoleteFolding) }
      if colon > 0, colon < line.count, isBlank(line[colon]) {
        throw .malformed(.whitespaceBeforeColon)
      }
      throw .malformed(.fieldName)
    }
    var start = colon + 1
    var end = line.count
    while start < end, isBlank(line[start]) { start += 1 }
    while end > start, isBlank(line[end - 1]) { end -= 1 }
    let value = UnsafeRawBufferPointer(rebasing: line[start..<end])
    let check = FieldText.isValue(value)
    guard check.isValid else { throw .malformed(.fieldValue) }
    if !check.isASCII, !FieldText.isUTF8(value) { throw .malformed(.fieldValue) }
    return (UnsafeRawBufferPointer(rebasing: line[..<colon]), value)
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }

  private static func decimal(_ text: UnsafeRawBufferPointer) throws(TransportProblem) -> Int {
    guard !text.isEmpty, text.count <= 18 else { throw .malformed(.contentLength) }
    var number = 0
    for byte in text {
      guard byte &- 48 < 10 else { throw .malformed(.contentLength) }
      number = number * 10 + Int(byte &- 48)
    }
    return number
  }

  /// HOST, HOST:PORT, [IPV6] or [IPV6]:PORT, by its characters and its colons.
  static func isHost(_ text: UnsafeRawBufferPointer) -> Bool {
    guard !text.isEmpty, text[0] != UInt8(ascii: ":") else { return false }
    var nameEnd = text.count
    var isLiteral = false
    for index in 0..<text.count {
      let byte = text[index]
      guard FieldText.host.contains(byte) else { return false }
      switch byte {
      case UInt8(ascii: "["):
        guard index == 0 else { return false }
        isLiteral = true
      case UInt8(ascii: "]"):
        guard isLiteral, index > 2 else { return false }
        isLiteral = false
        guard index + 1 == text.count || text[index + 1] == UInt8(ascii: ":") else { return false }
      case UInt8(ascii: ":") where !isLiteral:
        guard nameEnd == text.count else { return false }
        nameEnd = index
      default:
        if nameEnd < index, byte &- 48 >= 10 { return false }
      }
    }
    return !isLiteral && text.count - nameEnd <= 6
  }

  /// Whether the value's list of options names one of the two that matter.
  private mutating func connection(_ value: UnsafeRawBufferPointer) {
    var start = 0
    while start < value.count {
      var end = start
      while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
      var last = end
      while start < last, Self.isBlank(value[start]) { start += 1 }
      while last > start, Self.isBlank(value[last - 1]) { last -= 1 }
      let option = UnsafeRawBufferPointer(rebasing: value[start..<last])
      if FieldText.isWord(option, "close") { saysClose = true }
      if FieldText.isWord(option, "keep-alive") { saysKeepAlive = true }
      start = end + 1
    }
  }

  private mutating func transferEncoding(
    _ value: UnsafeRawBufferPointer
  ) throws(TransportProblem) {
    if isChunked || hasUnknownCoding { throw .malformed(.transferEncodingRepeated) }
    if FieldText.isWord(value, "chunked") {
      isChunked = true
      return
    }
    // "gzip, chunked" is framed as this parser would frame it, but means something that it does not know.
    var comma = value.count - 1
    while comma >= 0, value[comma] != UInt8(ascii: ",") { comma -= 1 }
    guard comma > 0 else { throw .malformed(.transferEncoding) }
    var start = comma + 1
    while start < value.count, Self.isBlank(value[start]) { start += 1 }
    guard FieldText.isWord(UnsafeRawBufferPointer(rebasing: value[start...]), "chunked") else {
      throw .malformed(.transferEncoding)
    }
    hasUnknownCoding = true
  }

  // MARK: The whole

  func finished(isTLS: Bool) throws(TransportProblem) -> HTTP1Head {
    if host == nil, !isHTTP10 { throw .malformed(.hostMissing) }
    let authority = targetAuthority ?? host ?? ""
    if let targetAuthority, let host, targetAuthority.lowercased() != host.lowercased() {
      throw .malformed(.hostConflict)
    }
    if isChunked || hasUnknownCoding {
      if contentLength != nil { throw .malformed(.bothLengths) }
      if isHTTP10 { throw .malformed(.transferEncodingInHTTP10) }
      if hasUnknownCoding { throw .unsupportedTransferCoding }
    }
    if hasUnknownExpectation { throw .unknownExpectation }
    let framing: HTTP1Framing =
      if isChunked { .chunked } else if let contentLength, contentLength > 0 {
        .length(contentLength)
      } else { .none }
    return HTTP1Head(
      request: RequestHead(
        method: method, path: path, query: query, headers: Headers(fields),
        authority: authority, isTLS: isTLS, isHTTP2: false),
      framing: framing,
      keepsAlive: isHTTP10 ? saysKeepAlive && !saysClose : !saysClose,
      // RFC 9110 §10.1.1: an expectation in HTTP/1.0, or without a body, is ignored.
      expectsContinue: expectsContinue && !isHTTP10 && framing != .none,
      isHTTP10: isHTTP10)
  }
}
