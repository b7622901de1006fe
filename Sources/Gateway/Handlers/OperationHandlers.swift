// For those who run the server: is it alive, is it ready, what has it counted, what does it promise.
import Engine
import NIOCore
import Wire

enum OperationHandlers {
  /// The process runs and its event loops turn.
  static func livez(_ request: Request) throws(Problem) {
    _ = try request.query([])
    answerOK(request)
  }

  /// An append can be taken now.
  static func readyz(_ request: Request) throws(Problem) {
    _ = try request.query([])
    if let reason = request.engine.unready { throw Problem(.notReady, reason) }
    answerOK(request)
  }

  private static func answerOK(_ request: Request) {
    request.respondJSON(headers: [("cache-control", "no-store")]) {
      $0.writeStaticString("{\"status\":\"ok\"}")
    }
  }

  static func metrics(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let gateway = request.loop.gateway
    var buffer = request.loop.allocator.buffer(capacity: 16 << 10)
    gateway.metrics.write(request.engine.metrics + gateway.otherMetrics(), into: &buffer)
    request.respond(
      200,
      Headers([
        ("content-type", "text/plain; version=0.0.4; charset=utf-8"), ("cache-control", "no-store"),
      ]), buffer)
  }

  static func openapi(_ request: Request) throws(Problem) {
    _ = try request.query([])
    request.respond(
      200, Headers([("content-type", "application/yaml"), ("cache-control", "no-cache")]),
      OpenAPIDocument.bytes)
  }
}
