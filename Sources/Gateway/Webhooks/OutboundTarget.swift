// Where requests are sent: a URL as libcurl itself understands it, so that who checks and who dials agree.
import CCurl
import Wire

/// Why a URL cannot be an endpoint, for people; it repeats nothing of the URL but its host or scheme.
public struct OutboundURLFault: Error, Sendable, Equatable, CustomStringConvertible {
  public var reason: String
  public var description: String { reason }
}

/// An endpoint: http or https, a host, no user.
public struct OutboundTarget: Sendable, Hashable {
  /// As libcurl writes it: numbers that stand for addresses of IPv4 (127.1, 0x7f000001) in four parts.
  public let url: String
  /// Scheme, host and port: what connections are shared for.
  public let origin: String
  /// The host without brackets or zone.
  public let host: String
  public let isTLS: Bool

  public static let bytesMax = 2048

  /// - Throws: what is wrong, as a sentence's worth.
  public init(url text: String) throws(OutboundURLFault) {
    guard text.utf8.count <= Self.bytesMax else {
      throw OutboundURLFault(reason: "it is longer than \(Self.bytesMax) bytes")
    }
    guard text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      throw OutboundURLFault(
        reason: "it holds a space or what is not ASCII; write such names as xn--…, the rest as %XX")
    }
    let parsed = ParsedURL()
    let result = parsed.set(text)
    if result == CURLUE_USER_NOT_ALLOWED {
      throw OutboundURLFault(reason: "it holds a user or a password")
    }
    guard result == CURLUE_OK else {
      throw OutboundURLFault(reason: "it is not an http or https URL with a host")
    }
    guard let scheme = parsed.part(CURLUPART_SCHEME), scheme == "http" || scheme == "https" else {
      throw OutboundURLFault(reason: "its scheme is neither http nor https")
    }
    // libcurl forgives up to three slashes, where others see a path without a host.
    guard text.dropFirst(scheme.count).hasPrefix("://"),
      !text.dropFirst(scheme.count + 3).hasPrefix("/")
    else { throw OutboundURLFault(reason: "it has no host") }
    guard parsed.part(CURLUPART_FRAGMENT) == nil, !text.contains("#") else {
      throw OutboundURLFault(reason: "it has a fragment (#…), which is never sent")
    }
    guard let host = parsed.part(CURLUPART_HOST), !host.isEmpty,
      let port = parsed.part(CURLUPART_PORT, CURLU_DEFAULT_PORT),
      let url = parsed.part(CURLUPART_URL)
    else { throw OutboundURLFault(reason: "it has no host") }
    self.url = url
    isTLS = scheme == "https"
    origin = "\(scheme)://\(host.lowercased()):\(port)"
    var bare = host
    if bare.hasPrefix("["), bare.hasSuffix("]") { bare = String(bare.dropFirst().dropLast()) }
    if let zone = bare.firstIndex(of: "%") { bare = String(bare[..<zone]) }
    self.host = bare
  }
}

extension EgressPolicy {
  /// Refuses what could never be dialled: a URL that is none, a literal address that is not allowed, a name that
  /// always means this machine. Other names are judged when they are dialled.
  public func check(url: String) throws(OutboundURLFault) {
    let target = try OutboundTarget(url: url)
    if let address = IPAddress(target.host) {
      guard let kind = refusal(of: address) else { return }
      throw OutboundURLFault(reason: EgressPolicy.words(for: address, kind))
    }
    // libcurl answers for these without asking anyone (RFC 6761 §6.3).
    var name = target.host.lowercased()
    if name.hasSuffix(".") { name.removeLast() }
    guard name == "localhost" || name.hasSuffix(".localhost") else { return }
    let loopback = [IPAddress(ipv4: 0x7F00_0001), IPAddress(high: 0, low: 1)]
    guard loopback.allSatisfy({ refusal(of: $0) != nil }) else { return }
    throw OutboundURLFault(
      reason: "\(target.host) is this machine, and not allowed here; \(Self.wayOut)")
  }
}

/// Owns a `CURLU`.
private final class ParsedURL {
  private let handle: OpaquePointer

  init() {
    guard let handle = curl_url() else { preconditionFailure("no memory for a URL") }
    self.handle = handle
  }

  deinit { curl_url_cleanup(handle) }

  func set(_ text: String) -> CURLUcode {
    curl_url_set(handle, CURLUPART_URL, text, UInt32(CURLU_DISALLOW_USER))
  }

  func part(_ part: CURLUPart, _ flags: Int32 = 0) -> String? {
    var text: UnsafeMutablePointer<CChar>?
    guard curl_url_get(handle, part, &text, UInt32(flags)) == CURLUE_OK, let text else {
      return nil
    }
    defer { curl_free(text) }
    return String(cString: text)
  }
}
