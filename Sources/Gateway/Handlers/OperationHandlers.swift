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
    let confined = request.confined
    guard let server = request.loop.gateway.attachedServer else {
      return answerMetrics(request, [])
    }
    server.counters { counters in
      confined.executor.run { answerMetrics(confined.value, counters.samples) }
    }
  }

  private static func answerMetrics(_ request: Request, _ transport: [MetricSample]) {
    let gateway = request.loop.gateway
    var buffer = request.loop.allocator.buffer(capacity: 16 << 10)
    gateway.metrics.write(
      transport + request.engine.metrics + (gateway.attachedWebhooks?.metrics ?? [])
        + gateway.otherMetrics(), into: &buffer)
    request.respond(
      200,
      Headers([
        ("content-type", PrometheusText.contentType), ("cache-control", "no-store"),
      ]), buffer)
  }

  static func openapi(_ request: Request) throws(Problem) {
    _ = try request.query([])
    request.respond(
      200, Headers([("content-type", "application/yaml"), ("cache-control", "no-cache")]),
      OpenAPIDocument.bytes)
  }
}

extension TransportCounters {
  /// The transport's lines of `/metrics`.
  var samples: [MetricSample] {
    func counter(_ name: String, _ help: String, _ value: Int) -> MetricSample {
      MetricSample("millrace_\(name)_total", .counter, help, value: Double(value))
    }
    func requests(_ version: String, _ value: Int) -> MetricSample {
      MetricSample(
        "millrace_http_received_total", .counter, "Requests received, by HTTP version.",
        labels: [("version", version)], value: Double(value))
    }
    return [
      MetricSample(
        "millrace_connections", .gauge, "Connections open.", value: Double(connectionsOpen)),
      MetricSample(
        "millrace_held_body_bytes", .gauge, "Bytes of request bodies not yet answered.",
        value: Double(heldBodyBytes)),
      MetricSample(
        "millrace_held_answer_bytes", .gauge, "Bytes of large answers that clients have not taken.",
        value: Double(heldAnswerBytes)),
      counter("connections_accepted", "Connections accepted.", connectionsTotal),
      counter("connections_refused", "Connections over the limit.", connectionsRefused),
      counter("connections_broken", "Connections that ended unanswered.", connectionsBroken),
      counter("tls_handshakes_failed", "TLS handshakes that failed.", tlsHandshakesFailed),
      requests("1", requestsHTTP1), requests("2", requestsHTTP2),
      counter("requests_refused", "Requests refused by the transport.", requestsRefused),
      counter("streams_reset", "HTTP/2 streams reset by the peer.", streamsReset),
      counter("received_bytes", "Bytes received.", bytesIn),
      counter("sent_bytes", "Bytes sent.", bytesOut),
    ]
  }
}
