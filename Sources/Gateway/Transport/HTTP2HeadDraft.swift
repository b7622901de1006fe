// An HTTP/2 request's head while its fields come in; nghttp2 has checked the framing, this checks what they mean.

struct HTTP2HeadDraft {
  private var method = ""
  private var path = ""
  private var scheme = ""
  private var authority: String?
  private var fields: [(name: String, value: String)] = []
  private var bytes = 0
  private var host: String?
  private(set) var contentLength: Int?
  private(set) var expectsContinue = false
  private(set) var problem: TransportProblem?

  /// Adds a field. Above a limit nothing more is kept, and `problem` says so.
  mutating func add(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, limits: TransportLimits
  ) {
    // RFC 9113 §6.5.2: a field's size is its name, its value, and 32.
    bytes += name.count + value.count + 32
    if problem != nil { return }
    if bytes > limits.headBytesMax {
      return refuse(.headersTooLarge(bytesMax: limits.headBytesMax))
    }
    let check = FieldText.isValue(value)
    guard check.isValid, check.isASCII || FieldText.isUTF8(value) else {
      return refuse(.malformed(.fieldValue))
    }
    if name.first == UInt8(ascii: ":") {
      pseudoField(name, value, limits)
      return
    }
    if fields.count == limits.headFieldsMax {
      return refuse(.tooManyHeaders(countMax: limits.headFieldsMax))
    }
    if fields.isEmpty { fields.reserveCapacity(8) }
    let nameText = FieldText.name(name)
    let valueText = FieldText.value(value)
    switch name.count {
    case 4 where nameText == "host":
      guard HTTP1HeadDraft.isHost(value) else { return refuse(.malformed(.hostInvalid)) }
      host = valueText
    case 6 where nameText == "expect":
      if FieldText.isWord(value, "100-continue") {
        expectsContinue = true
      } else {
        refuse(.unknownExpectation)
      }
    case 14 where nameText == "content-length":
      // nghttp2 has seen that it is a number, that it comes once, and will see that the body is as long.
      contentLength = Int(valueText)
    default: break
    }
    fields.append((nameText, valueText))
  }

  mutating func refuse(_ problem: TransportProblem) {
    if self.problem == nil { self.problem = problem }
  }

  private mutating func pseudoField(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ limits: TransportLimits
  ) {
    switch name.count {
    case 5 where FieldText.isWord(UnsafeRawBufferPointer(rebasing: name[1...]), "path"):
      if value.count > limits.requestLineBytesMax {
        return refuse(.requestLineTooLong(bytesMax: limits.requestLineBytesMax))
      }
      guard !value.isEmpty, value.allSatisfy({ FieldText.target.contains($0) }) else {
        return refuse(.malformed(.target))
      }
      path = String(decoding: value, as: UTF8.self)
    case 7 where FieldText.isWord(UnsafeRawBufferPointer(rebasing: name[1...]), "method"):
      guard value.count <= 24, value.allSatisfy({ FieldText.token.contains($0) }) else {
        return refuse(.malformed(.method))
      }
      method = String(decoding: value, as: UTF8.self)
    case 7: scheme = String(decoding: value, as: UTF8.self)
    default:
      guard HTTP1HeadDraft.isHost(value) else { return refuse(.malformed(.hostInvalid)) }
      authority = String(decoding: value, as: UTF8.self)
    }
  }

  /// The head, once complete. With a `problem` it is what could be read of it.
  mutating func finished(isTLS: Bool) -> RequestHead {
    if method == "CONNECT" { refuse(.unsupportedMethod) }
    if path.first != "/", !(path == "*" && method == "OPTIONS") { refuse(.malformed(.target)) }
    if let authority, let host, authority.lowercased() != host.lowercased() {
      refuse(.malformed(.hostConflict))
    }
    if scheme != "http" && scheme != "https" { refuse(.malformed(.http2Messaging)) }
    var query: String?
    if let question = path.utf8.firstIndex(of: UInt8(ascii: "?")) {
      query = String(path[path.index(after: question)...])
      path = String(path[..<question])
    }
    return RequestHead(
      method: method, path: path, query: query, headers: Headers(fields),
      authority: authority ?? host ?? "", isTLS: isTLS, isHTTP2: true)
  }
}
