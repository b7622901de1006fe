// What web pages may do: foreign origins and rebound names are refused, named origins get CORS.
import Engine
import NIOCore

/// A page can make a browser send requests to any address, this machine's loopback too. Three rules keep pages out:
/// an Origin that is neither this server's nor named is refused; without tokens a Host that is not a loopback name is
/// refused (DNS rebinding); and form types, which need no preflight, are never taken.
struct BrowserRules: Sendable {
  private let origins: Set<String>
  private let anyOrigin: Bool
  private let loopbackHostsOnly: Bool

  init(_ configuration: GatewayConfiguration) {
    origins = Set(configuration.allowedOrigins.map { $0.lowercased() })
    anyOrigin = configuration.allowedOrigins.contains("*")
    loopbackHostsOnly = configuration.loopbackHostsOnly
  }

  /// - Throws: `foreign_host`, `foreign_origin` or `unsupported_media_type`.
  func admit(_ head: RequestHead) throws(Problem) {
    if loopbackHostsOnly { try checkHost(head) }
    for (name, value) in head.headers.fields {
      switch name.utf8.count {
      case 6 where name == "origin": try checkOrigin(value, head)
      case 12 where name == "content-type": try checkType(value)
      default: break
      }
    }
  }

  /// HTTP/1.0 may come without a Host; no browser speaks it.
  private func checkHost(_ head: RequestHead) throws(Problem) {
    guard head.authority.isEmpty || Self.isLoopback(head.authority) else {
      throw Problem(
        .foreignHost,
        "Without tokens this server answers to localhost, 127.0.0.1 and [::1] only, not to "
          + "\(head.authority).",
        facts: [("host", .text(head.authority))])
    }
  }

  private func checkOrigin(_ origin: String, _ head: RequestHead) throws(Problem) {
    guard isSameOrigin(origin, head) || isNamed(origin) else {
      throw Problem(
        .foreignOrigin, "Pages of \(origin) may call once the operator names that origin.",
        facts: [("origin", .text(origin))])
    }
  }

  private func checkType(_ contentType: String) throws(Problem) {
    guard contentType != "application/json", Self.isForm(contentType) else { return }
    throw Problem(
      .unsupportedMediaType,
      "A form type is never taken. Use curl --json, or --data-binary with a Content-Type.",
      facts: [("content_type", .text(contentType)), ("hint", .text("curl --json"))])
  }

  /// Adds what a browser needs to let the page see the answer.
  func dress(_ headers: Headers, for head: RequestHead) -> Headers {
    if origins.isEmpty { return headers }
    var headers = headers
    headers.fields.append(("vary", "Origin"))
    guard let origin = head.headers["origin"], isNamed(origin) else { return headers }
    headers.fields.append(("access-control-allow-origin", origin))
    headers.fields.append(("access-control-expose-headers", Self.exposedHeaders))
    return headers
  }

  /// Adds what a browser asks before a request that a form could not have made.
  func answerPreflight(_ head: RequestHead, allow: String, into headers: inout Headers) {
    guard let origin = head.headers["origin"], isNamed(origin),
      head.headers["access-control-request-method"] != nil
    else { return }
    headers.fields.append(("access-control-allow-methods", allow))
    headers.fields.append(
      ("access-control-allow-headers", Self.allowedHeaders(head.headers)))
    headers.fields.append(("access-control-max-age", "7200"))
    headers.fields.append(("vary", "Access-Control-Request-Headers"))
    // Chromium asks this before a public page may call a private address.
    if head.headers["access-control-request-private-network"] == "true" {
      headers.fields.append(("access-control-allow-private-network", "true"))
    }
  }

  static let exposedHeaders =
    "ETag, Location, Millrace-Cursor, Millrace-Up-To-Date, Request-Id, Retry-After"

  private static let takenHeaders =
    "Accept, Authorization, Cache-Control, Content-Encoding, Content-Type, Idempotency-Key, "
    + "If-Match, If-None-Match, Last-Event-ID, Producer-Epoch, Producer-Id, Producer-Seq, "
    + "Record-Key, Request-Id, Traceparent"

  /// The fixed ones, and those asked for of the families that have no fixed names.
  private static func allowedHeaders(_ headers: Headers) -> String {
    guard let asked = headers["access-control-request-headers"] else { return takenHeaders }
    let families = asked.split(separator: ",").map { $0.trimmed().lowercased() }.filter { name in
      (name.hasPrefix("record-header-") || name.hasPrefix("ce-"))
        && name.utf8.allSatisfy { HeaderText.isToken($0) }
    }
    return families.isEmpty ? takenHeaders : takenHeaders + ", " + families.joined(separator: ", ")
  }

  private func isNamed(_ origin: String) -> Bool {
    anyOrigin || origins.contains(origin.lowercased())
  }

  private func isSameOrigin(_ origin: String, _ head: RequestHead) -> Bool {
    origin.lowercased() == (head.isTLS ? "https://" : "http://") + head.authority.lowercased()
  }

  private static func isForm(_ contentType: String) -> Bool {
    let type = contentType.prefix { $0 != ";" }.trimmed().lowercased()
    return type == "application/x-www-form-urlencoded" || type == "multipart/form-data"
  }

  /// Whether a Host names this machine's loopback: `localhost`, 127.0.0.0/8 or `[::1]`, with any port.
  /// Every request is asked, so nothing is allocated.
  static func isLoopback(_ authority: String) -> Bool {
    var authority = authority
    return authority.withUTF8 { bytes in
      let isBracketed = bytes.first == UInt8(ascii: "[")
      let hostEnd =
        isBracketed
        ? bytes.firstIndex(of: UInt8(ascii: "]")).map { $0 + 1 } ?? bytes.count
        : bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.count
      let port = bytes[hostEnd...]
      guard port.isEmpty || port.first == UInt8(ascii: ":"),
        port.dropFirst().allSatisfy({ $0 &- 48 < 10 })
      else { return false }
      let host = UnsafeBufferPointer(rebasing: bytes[..<hostEnd])
      if isBracketed { return equals(host, "[::1]") }
      return equals(host, "localhost") || isLoopbackAddress(host)
    }
  }

  /// `text` is in lower case.
  private static func equals(_ host: UnsafeBufferPointer<UInt8>, _ text: StaticString) -> Bool {
    guard host.count == text.utf8CodeUnitCount else { return false }
    return host.indices.allSatisfy { index in
      let byte = host[index]
      return (byte &- 65 < 26 ? byte | 32 : byte) == text.utf8Start[index]
    }
  }

  /// Four decimal numbers up to 255 without leading zeros, the first 127.
  private static func isLoopbackAddress(_ host: UnsafeBufferPointer<UInt8>) -> Bool {
    var numbers = 0
    var number = 0
    var digits = 0
    for byte in host {
      if byte == UInt8(ascii: ".") {
        guard digits > 0, numbers > 0 || number == 127 else { return false }
        numbers += 1
        (number, digits) = (0, 0)
      } else {
        guard byte &- 48 < 10, digits == 0 || number > 0 else { return false }
        number = number * 10 + Int(byte) - 48
        digits += 1
        guard number <= 255 else { return false }
      }
    }
    return numbers == 3 && digits > 0
  }
}

/// Small readers of header values.
enum HeaderText {
  /// A character of a token, RFC 9110 §5.6.2.
  static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"):
      true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }
}

extension StringProtocol {
  /// Without spaces and tabs at both ends.
  func trimmed() -> String {
    let isBlank = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    var rest = Substring(self).utf8
    while let byte = rest.first, isBlank(byte) { rest.removeFirst() }
    while let byte = rest.last, isBlank(byte) { rest.removeLast() }
    return String(Substring(rest))
  }
}
