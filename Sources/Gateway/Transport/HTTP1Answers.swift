// The answering half of an HTTP/1.x session: what is written goes out in the order of the requests.
import NIOCore

extension HTTP1Session {
  func output(of exchange: HTTP1Exchange, _ write: (inout ByteBuffer) -> Void) {
    if exchange === first {
      connection.write(write)
    } else {
      var buffer = ByteBuffer()
      write(&buffer)
      hold(exchange, buffer)
    }
  }

  private func send(_ buffer: ByteBuffer, of exchange: HTTP1Exchange) {
    if exchange === first { connection.send(buffer) } else { hold(exchange, buffer) }
  }

  private func hold(_ exchange: HTTP1Exchange, _ buffer: ByteBuffer) {
    exchange.held.append(buffer)
    exchange.heldBytes += buffer.readableBytes
    heldBytes += buffer.readableBytes
    loop.counters.heldAnswerBytes += buffer.readableBytes
  }

  func dropHeld(_ exchange: HTTP1Exchange) {
    heldBytes -= exchange.heldBytes
    loop.counters.heldAnswerBytes -= exchange.heldBytes
    exchange.held = []
    exchange.heldBytes = 0
  }

  func unsentBytes(of exchange: HTTP1Exchange) -> Int {
    exchange.heldBytes + connection.unsentBytes
  }

  func respond(
    _ exchange: HTTP1Exchange, _ status: Int, _ headers: Headers, _ body: ByteBuffer?
  ) -> Bool {
    let hasBody = status != 204 && status != 304 && status >= 200
    let bodyBytes = body?.readableBytes ?? 0
    if bodyBytes > Connection.smallBytes, loop.hooks.isBulk(exchange.request),
      let problem = loop.refusal(ofHolding: bodyBytes)
    {
      refuse(exchange, problem)
      return false
    }
    let sent = hasBody && !exchange.isHEAD ? bodyBytes : 0
    // Small bodies are copied behind their heads: one buffer, one write.
    let isCopied = sent <= 16 << 10
    writeHead(
      exchange, status, headers, hasBody ? .length(bodyBytes) : .none,
      bodyBytes: isCopied ? sent : 0, body: isCopied && sent > 0 ? body : nil)
    if sent > 0, !isCopied { send(body!, of: exchange) }
    exchange.bodyBytesSent = sent
    complete(exchange)
    return true
  }

  private func writeHead(
    _ exchange: HTTP1Exchange, _ status: Int, _ headers: Headers, _ framing: HTTP1AnswerFraming,
    bodyBytes: Int = 0, body: ByteBuffer? = nil
  ) {
    exchange.status = status
    if isDraining, exchange === last { exchange.closes = true }
    let connection: HTTP1Connection =
      if exchange.closes { .close } else if exchange.isHTTP10 { .keepAlive } else { .unsaid }
    let requestID = exchange.clientRequestID
    output(of: exchange) { buffer in
      HTTP1Encoder.writeHead(
        into: &buffer, status: status, headers: headers, framing: framing, connection: connection,
        date: loop.dateLine, requestID: requestID, requestIDBits: exchange.requestIDBits,
        bodyBytes: bodyBytes)
      if let body { buffer.writeImmutableBuffer(body) }
    }
  }

  func start(_ exchange: HTTP1Exchange, _ status: Int, _ headers: Headers) {
    exchange.sendsBody = !exchange.isHEAD && status != 204 && status != 304
    let hasLength = headers["content-length"] != nil
    var framing = HTTP1AnswerFraming.none
    if !hasLength, status != 204, status != 304 {
      if exchange.isHTTP10 { exchange.closes = true } else { framing = .chunked }
    }
    if case .chunked = framing { exchange.isChunked = true }
    exchange.isEventStream =
      exchange.sendsBody && (headers["content-type"]?.hasPrefix("text/event-stream") ?? false)
    writeHead(exchange, status, headers, framing)
    exchange.phase = .streaming
    if exchange.isEventStream, hasInputEnded { connection.abort() }
  }

  func write(_ exchange: HTTP1Exchange, _ chunk: BodyChunk) {
    if !exchange.sendsBody { return }
    exchange.bodyBytesSent += chunk.bytes.readableBytes
    send(exchange.isChunked ? chunk.chunked : chunk.bytes, of: exchange)
  }

  func finish(_ exchange: HTTP1Exchange) {
    if exchange.isChunked, exchange.sendsBody { send(loop.lastChunk, of: exchange) }
    complete(exchange)
  }

  /// Ends the connection behind what was written, without the last chunk.
  func breakOff(_ exchange: HTTP1Exchange) {
    // An answer that ends with the connection anyway can only be cut.
    if !exchange.isChunked { return connection.abort() }
    exchange.closes = true
    complete(exchange)
  }

  private func complete(_ exchange: HTTP1Exchange) {
    exchange.phase = .finished
    exchange.session = nil
    exchange.onClose = nil
    exchange.onInputEnd = nil
    exchange.onDrain = nil
    release(exchange)
    loop.log(exchange.request, exchange.status, exchange.bodyBytesSent, exchange.receivedAt) {
      exchange.requestID
    }
    advance()
  }
}
