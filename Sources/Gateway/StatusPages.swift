// A few documents made anew for each GET: what a process without streams shows of itself.
import NIOCore

/// Lives on the event loop whose exchanges it answers.
public final class StatusPages {
  public typealias Write = (inout ByteBuffer) -> Void

  private let rules: BrowserRules
  private var pages: [(path: String, contentType: String, write: Write)] = []

  /// - Parameter loopbackHostsOnly: Whether the server may be called by names of loopback alone, as behind an
  ///   address that only this machine reaches: no web page gets in by a name of its own (DNS rebinding).
  public init(loopbackHostsOnly: Bool) {
    var configuration = GatewayConfiguration()
    configuration.loopbackHostsOnly = loopbackHostsOnly
    rules = BrowserRules(configuration)
  }

  /// Answers GET and HEAD of `path` with what `write` writes.
  public func add(_ path: String, contentType: String, write: @escaping Write) {
    precondition(!pages.contains { $0.path == path }, "two pages at \(path)")
    pages.append((path, contentType, write))
  }

  public func handle(_ exchange: any Exchange) {
    do throws(Problem) {
      let page = try page(for: exchange.request)
      var body = ByteBuffer()
      page.write(&body)
      exchange.respond(
        200, Headers([("content-type", page.contentType), ("cache-control", "no-store")]), body)
    } catch {
      let answer = error.answer(requestID: exchange.requestID)
      exchange.respond(answer.status, answer.headers, answer.body)
    }
  }

  private func page(
    for head: RequestHead
  ) throws(Problem) -> (path: String, contentType: String, write: Write) {
    try rules.admit(head)
    guard let page = pages.first(where: { $0.path == head.path }) else {
      let known = pages.map(\.path).joined(separator: ", ")
      throw Problem(.notFound, "There is nothing at this path; these there are: \(known).")
    }
    guard ["GET", "HEAD"].contains(head.method) else {
      var problem = Problem(
        .methodNotAllowed, "\(head.method) is not taken here; GET and HEAD are.")
      problem.headers = [("allow", "GET, HEAD")]
      throw problem
    }
    return page
  }
}
