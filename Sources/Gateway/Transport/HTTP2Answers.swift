// The answering half of an HTTP/2 session, and the windows of the bodies it receives.
import CNghttp2
import NIOCore

extension HTTP2Session {
  // MARK: Bodies and their windows

  func data(_ stream: Int32, _ bytes: UnsafeRawBufferPointer) {
    guard let exchange = streams[stream] else {
      // The stream is gone, its bytes still count against the connection's window.
      _ = nghttp2_session_consume_connection(session, bytes.count)
      return
    }
    exchange.bodyBytesSeen += bytes.count
    exchange.unconsumedBytes += bytes.count
    if exchange.isAnsweredEarly || exchange.phase != .receiving {
      consumeRest(exchange)
      return
    }
    if exchange.body.readableBytes + bytes.count > loop.limits.bodyBytesMax {
      refuse(exchange, .bodyTooLarge(bytesMax: loop.limits.bodyBytesMax))
      return
    }
    exchange.heldBodyBytes += bytes.count
    heldBytes += bytes.count
    loop.counters.heldBodyBytes += bytes.count
    if loop.counters.heldBodyBytes > loop.heldBodyBytesMax {
      refuse(exchange, .tooManyBodies(bytesMax: loop.heldBodyBytesMax))
      return
    }
    if exchange.body.capacity == 0 {
      exchange.body.reserveCapacity(
        min(max(exchange.bodyExpected ?? 0, bytes.count), 64 << 10))
    }
    exchange.body.writeBytes(bytes)
    openWindows(for: exchange)
  }

  /// Windows open at once while little is held, and for the oldest incomplete request always, so that some request can
  /// end.
  private func openWindows(for exchange: HTTP2Exchange) {
    if heldBytes <= Self.heldBytesSoftMax || isOldestIncomplete(exchange) {
      consumeRest(exchange)
    }
  }

  private func isOldestIncomplete(_ exchange: HTTP2Exchange) -> Bool {
    !streams.values.contains { !$0.isRequestComplete && $0.stream < exchange.stream }
  }

  /// Gives back to the peer's windows what this exchange has received.
  func consumeRest(_ exchange: HTTP2Exchange) {
    if exchange.unconsumedBytes == 0 { return }
    _ = nghttp2_session_consume(session, exchange.stream, exchange.unconsumedBytes)
    exchange.unconsumedBytes = 0
  }

  /// Lets go of an exchange's body, and opens the windows that waited for it.
  func release(_ exchange: HTTP2Exchange) {
    let wasFull = heldBytes > Self.heldBytesSoftMax
    heldBytes -= exchange.heldBodyBytes
    loop.counters.heldBodyBytes -= exchange.heldBodyBytes
    exchange.heldBodyBytes = 0
    exchange.body = ByteBuffer()
    guard wasFull, !isOver else { return }
    for other in streams.values.sorted(by: { $0.stream < $1.stream })
    where other.unconsumedBytes > 0 {
      openWindows(for: other)
    }
    connection.markDirty()
  }

  // MARK: Answers

  func respond(
    _ exchange: HTTP2Exchange, _ status: Int, _ headers: Headers, _ body: ByteBuffer?
  ) -> Bool {
    let mayHaveBody = status != 204 && status != 304 && status >= 200
    let bytes = mayHaveBody ? body?.readableBytes ?? 0 : 0
    if bytes > Connection.smallBytes, loop.hooks.isBulk(exchange.request),
      let problem = loop.refusal(ofHolding: bytes)
    {
      refuse(exchange, problem)
      return false
    }
    let sent = exchange.isHEAD ? 0 : bytes
    if sent > 0 { exchange.append(body!) }
    exchange.isLast = true
    exchange.bodyBytesSent = sent
    submit(exchange, status, headers, contentLength: mayHaveBody ? bytes : nil, hasBody: sent > 0)
    complete(exchange)
    return true
  }

  func start(_ exchange: HTTP2Exchange, _ status: Int, _ headers: Headers) {
    exchange.sendsBody = !exchange.isHEAD && status != 204 && status != 304
    exchange.phase = .streaming
    submit(exchange, status, headers, contentLength: nil, hasBody: exchange.sendsBody)
  }

  func write(_ exchange: HTTP2Exchange, _ bytes: ByteBuffer) {
    if !exchange.sendsBody { return }
    exchange.bodyBytesSent += bytes.readableBytes
    exchange.append(bytes)
    if exchange.pendingBytes > loop.limits.unsentBytesMax / 4 { exchange.owesDrain = true }
    resume(exchange)
  }

  func finish(_ exchange: HTTP2Exchange) {
    exchange.isLast = true
    if exchange.sendsBody { resume(exchange) }
    complete(exchange)
  }

  /// Resets the stream: its answer is not whole.
  func breakOff(_ exchange: HTTP2Exchange) {
    exchange.dropPieces()
    reset(exchange)
    complete(exchange)
    connection.markDirty()
  }

  private func resume(_ exchange: HTTP2Exchange) {
    if exchange.isDeferred {
      exchange.isDeferred = false
      _ = nghttp2_session_resume_data(session, exchange.stream)
    }
    connection.markDirty()
  }

  private func complete(_ exchange: HTTP2Exchange) {
    exchange.phase = .finished
    exchange.onClose = nil
    exchange.onInputEnd = nil
    exchange.onDrain = nil
    release(exchange)
    consumeRest(exchange)
    loop.log(exchange.request, exchange.status, exchange.bodyBytesSent, exchange.receivedAt) {
      exchange.requestID
    }
  }

  func submitContinue(_ exchange: HTTP2Exchange) {
    let fields = HTTP2Fields(scratch: loop.http2Scratch)
    fields.add(":status", decimal: 100)
    fields.withList { list, count in
      _ = nghttp2_submit_headers(
        session, Self.noFlags, exchange.stream, nil, list, count, nil)
    }
    connection.markDirty()
  }

  private func submit(
    _ exchange: HTTP2Exchange, _ status: Int, _ headers: Headers, contentLength: Int?,
    hasBody: Bool
  ) {
    precondition((200...599).contains(status), "\(status) is no final HTTP status")
    exchange.status = status
    let fields = HTTP2Fields(scratch: loop.http2Scratch)
    fields.add(":status", decimal: status)
    for field in headers.fields { fields.add(field.name, field.value) }
    if let contentLength { fields.add("content-length", decimal: contentLength) }
    fields.add("date", loop.dateText)
    // Never the same twice: indexing it would push everything else out of the peer's table.
    fields.add(RequestID.name, exchange.requestID, isIndexed: false)
    fields.withList { list, count in
      var provider = HTTP2Library.dataProvider()
      let result = withUnsafePointer(to: &provider) {
        nghttp2_submit_response(session, exchange.stream, list, count, hasBody ? $0 : nil)
      }
      // The stream may have been reset within the same read; then there is nobody to answer.
      precondition(
        result == 0 || result == NGHTTP2_ERR_DATA_EXIST.rawValue
          || result == NGHTTP2_ERR_PROTO.rawValue, "nghttp2: error \(result)")
    }
    connection.markDirty()
  }
}

/// Memory for one answer's fields, used again for the next. Owns it.
final class HTTP2Scratch {
  fileprivate var bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
  fileprivate var entries: [(nameStart: Int, nameBytes: Int, valueBytes: Int, flags: UInt8)] = []

  deinit { bytes.deallocate() }

  fileprivate func reserve(_ count: Int, used: Int) {
    if used + count <= bytes.count { return }
    let larger = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(bytes.count * 2, used + count), alignment: 1)
    larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<used]))
    bytes.deallocate()
    bytes = larger
  }
}

/// Header fields laid end to end, and the list of them that nghttp2 takes (and copies).
final class HTTP2Fields {
  private let scratch: HTTP2Scratch
  private var used = 0

  init(scratch: HTTP2Scratch) {
    self.scratch = scratch
    scratch.entries.removeAll(keepingCapacity: true)
  }

  func add(_ name: String, _ value: String, isIndexed: Bool = true) {
    let nameStart = used
    append(name)
    let valueStart = used
    append(value)
    let written = UnsafeMutableRawBufferPointer(rebasing: scratch.bytes[valueStart..<used])
    if !FieldText.isValue(UnsafeRawBufferPointer(written)).isValid {
      for index in 0..<written.count where written[index] < 32 || written[index] == 127 {
        written[index] = 32
      }
    }
    let flags = isIndexed ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX
    scratch.entries.append(
      (nameStart, valueStart - nameStart, used - valueStart, UInt8(flags.rawValue)))
  }

  func add(_ name: String, decimal number: Int) { add(name, String(number)) }

  private func append(_ text: String) {
    var text = text
    text.withUTF8 { bytes in
      scratch.reserve(bytes.count, used: used)
      UnsafeMutableRawBufferPointer(rebasing: scratch.bytes[used...]).copyMemory(
        from: UnsafeRawBufferPointer(bytes))
      used += bytes.count
    }
  }

  func withList(_ body: (UnsafePointer<nghttp2_nv>, Int) -> Void) {
    let entries = scratch.entries
    let base = scratch.bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
    withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: entries.count) { list in
      for (index, entry) in entries.enumerated() {
        list[index] = nghttp2_nv(
          name: base + entry.nameStart, value: base + entry.nameStart + entry.nameBytes,
          namelen: entry.nameBytes, valuelen: entry.valueBytes, flags: entry.flags)
      }
      body(UnsafePointer(list.baseAddress!), entries.count)
    }
  }
}
