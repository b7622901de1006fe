// The console's pages: whole in the binary, and under a policy that lets nothing but themselves run.
import NIOCore
import Wire

enum ConsolePage {
  /// `GET /console/tail.html`, `GET /console`, and `GET /` for whoever opens the server's address: watches a stream
  /// with a browser's EventSource. Its own query is for its script.
  static func tail(_ request: Request) throws(Problem) {
    request.respond(
      200,
      Headers([
        ("content-type", "text/html; charset=utf-8"), ("cache-control", "no-cache"),
        ("content-security-policy", tailPolicy), ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
      ]), ByteBuffer(bytes: PackageResources.tail_html))
  }

  /// The page's one script and one style by their digests; it talks to this server alone.
  static let tailPolicy = policy(of: String(decoding: PackageResources.tail_html, as: UTF8.self))

  static func policy(of page: String) -> String {
    "default-src 'none'; script-src \(source("script", page)); style-src \(source("style", page)); "
      + "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
      + "frame-ancestors 'none'"
  }

  private static func source(_ element: String, _ page: String) -> String {
    let bytes = Array(page.utf8)
    guard let start = end(of: "<\(element)>", in: bytes, from: 0),
      let end = end(of: "</\(element)>", in: bytes, from: start)
    else { preconditionFailure("the page has no \(element)") }
    let digest = bytes[start..<(end - element.utf8.count - 3)].withUnsafeBytes(Digest.sha256)
    return "'sha256-\(digest.withUnsafeBytes { Base64.encode($0) })'"
  }

  /// One past the first `text` at or after `start`.
  private static func end(of text: String, in bytes: [UInt8], from start: Int) -> Int? {
    let sought = Array(text.utf8)
    guard bytes.count >= start + sought.count else { return nil }
    return (start...(bytes.count - sought.count)).first {
      bytes[$0..<($0 + sought.count)].elementsEqual(sought)
    }.map { $0 + sought.count }
  }
}
