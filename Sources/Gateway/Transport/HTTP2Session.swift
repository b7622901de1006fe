// One HTTP/2 connection above its bytes: nghttp2 does the protocol, this decides what a peer may ask of it.
import CNghttp2
import NIOCore

final class HTTP2Session {
  let loop: LoopState
  unowned let connection: Connection
  /// Owned; freed in `deinit`, never inside one of its own callbacks.
  let session: OpaquePointer
  var streams: [Int32: HTTP2Exchange] = [:]
  /// The head that is coming in. HTTP/2 lets no other frame come between.
  var draft: HTTP2HeadDraft?
  private var isTrailer = false
  private var trailerBytes = 0
  private var headStart: UInt64 = 0
  /// Bytes of bodies that are being received or not yet answered, for this connection's share.
  var heldBytes = 0
  private var patience: HTTP2Patience
  private var isReceiving = false
  private var isPumping = false
  private(set) var isOver = false
  private var drainStage = 0
  /// When the last stream ended.
  var idleStart: UInt64

  /// Unconsumed above it, only the oldest incomplete request's windows are opened.
  static let heldBytesSoftMax = 1 << 20
  static let streamWindowBytes = 128 << 10
  static let connectionWindowBytes = 1 << 20
  /// What is handed to the connection before its socket is tried.
  static let pumpBytesMax = 256 << 10

  init(connection: Connection, loop: LoopState) {
    self.connection = connection
    self.loop = loop
    patience = HTTP2Patience(tick: loop.tick)
    idleStart = loop.tick
    var session: OpaquePointer?
    let library = loop.http2
    let made = nghttp2_session_server_new2(
      &session, library.callbacks, nil, library.options)
    precondition(made == 0, "no memory for nghttp2")
    self.session = session!
    nghttp2_session_set_user_data(session, Unmanaged.passUnretained(self).toOpaque())
    begin()
  }

  deinit { nghttp2_session_del(session) }

  static func of(_ user: UnsafeMutableRawPointer?) -> HTTP2Session {
    Unmanaged<HTTP2Session>.fromOpaque(user!).takeUnretainedValue()
  }

  private func begin() {
    let settings: [(nghttp2_settings_id, Int)] = [
      (NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, loop.limits.concurrentStreamsMax),
      (NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, Self.streamWindowBytes),
      (NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, loop.limits.headBytesMax),
      (NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
    ]
    let entries = settings.map {
      nghttp2_settings_entry(settings_id: Int32($0.0.rawValue), value: UInt32($0.1))
    }
    check(nghttp2_submit_settings(session, Self.noFlags, entries, entries.count))
    check(
      nghttp2_session_set_local_window_size(
        session, Self.noFlags, 0, Int32(Self.connectionWindowBytes)))
    connection.markDirty()
    if loop.isDraining { drain() }
  }

  static var noFlags: UInt8 { UInt8(NGHTTP2_FLAG_NONE.rawValue) }

  /// nghttp2's submissions fail for want of memory, or through a mistake of ours.
  func check(_ result: Int32) { precondition(result == 0, "nghttp2: error \(result)") }

  // MARK: Input

  func receive(_ data: ByteBuffer) {
    if isOver { return }
    isReceiving = true
    let taken = data.withUnsafeReadableBytes { bytes in
      nghttp2_session_mem_recv(
        session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }
    isReceiving = false
    if isOver { return }
    if taken < 0 {
      // BAD_CLIENT_MAGIC, FLOODED, or no memory: nothing of what follows can be understood.
      loop.counters.requestsRefused += 1
      terminate(taken == Int(NGHTTP2_ERR_FLOODED.rawValue) ? .enhanceYourCalm : .protocolError)
      return
    }
    if patience.isExhausted {
      loop.logger.debug("an HTTP/2 peer was told to calm down")
      terminate(.enhanceYourCalm)
      return
    }
    if draft != nil { connection.wake(at: headStart + loop.ticks(loop.limits.headTime)) }
    connection.markDirty()
  }

  enum Goodbye: UInt32 {
    case protocolError = 1
    case enhanceYourCalm = 11
  }

  /// Says why, and closes.
  private func terminate(_ why: Goodbye) {
    _ = nghttp2_session_terminate_session(session, why.rawValue)
    pump()
    isOver = true
    connection.lingers = true
    connection.closeAfterFlush()
    closed()
  }

  func frameBegins(_ header: nghttp2_frame_hd) {
    patience.received(
      type: header.type, bytes: header.length,
      endsStream: header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0, tick: loop.tick)
  }

  func headersBegin(_ frame: nghttp2_frame) {
    isTrailer = frame.headers.cat != NGHTTP2_HCAT_REQUEST
    trailerBytes = 0
    headStart = loop.tick
    draft = isTrailer ? nil : HTTP2HeadDraft()
  }

  func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    if isTrailer {
      // Dropped, as HTTP/1.1's are; but the peer pays for a flood of them.
      trailerBytes += name.count + value.count + 32
      if trailerBytes > loop.limits.headBytesMax { patience.spend(100) }
      return
    }
    draft?.add(name, value, limits: loop.limits)
  }

  func invalidHeader() { draft?.refuse(.malformed(.http2Messaging)) }

  func frameReceived(_ frame: nghttp2_frame) {
    let type = nghttp2_frame_type(UInt32(frame.hd.type))
    let endsStream = frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch type {
    case NGHTTP2_HEADERS:
      if var draft {
        self.draft = nil
        headComplete(&draft, stream: frame.hd.stream_id, endsStream: endsStream)
      } else if endsStream, let exchange = streams[frame.hd.stream_id] {
        requestComplete(exchange)
      }
    case NGHTTP2_DATA:
      if endsStream, let exchange = streams[frame.hd.stream_id] { requestComplete(exchange) }
    case NGHTTP2_RST_STREAM: loop.counters.streamsReset += 1
    default: break
    }
  }

  private func headComplete(_ draft: inout HTTP2HeadDraft, stream: Int32, endsStream: Bool) {
    let request = draft.finished(isTLS: connection.isTLS)
    let exchange = HTTP2Exchange(
      request, stream: stream, session: self, requestIDBits: loop.nextRequestID(),
      receivedAt: connection.now)
    loop.counters.requestsHTTP2 += 1
    streams[stream] = exchange
    exchange.bodyExpected = endsStream ? 0 : draft.contentLength
    exchange.isRequestComplete = endsStream
    let limits = loop.limits
    if let problem = draft.problem {
      refuse(exchange, problem)
    } else if let length = exchange.bodyExpected, length > limits.bodyBytesMax {
      refuse(exchange, .bodyTooLarge(bytesMax: limits.bodyBytesMax))
    } else if let answer = loop.hooks.admit(
      request, exchange.bodyExpected, { exchange.requestID })
    {
      exchange.isAnsweredEarly = true
      exchange.respond(answer.status, answer.headers, answer.body)
    } else if loop.counters.heldBodyBytes + (exchange.bodyExpected ?? 0) > loop.heldBodyBytesMax {
      refuse(exchange, .tooManyBodies(bytesMax: loop.heldBodyBytesMax))
    } else if endsStream {
      requestComplete(exchange)
    } else {
      if draft.expectsContinue { submitContinue(exchange) }
      connection.wake(at: loop.tick + loop.ticks(limits.bodyStallTime))
    }
  }

  private func requestComplete(_ exchange: HTTP2Exchange) {
    exchange.isRequestComplete = true
    if exchange.isAnsweredEarly || exchange.phase != .receiving { return }
    exchange.phase = .handling
    if let problem = loop.refusal(ofHolding: 0), loop.hooks.isBulk(exchange.request) {
      refuse(exchange, problem)
    } else {
      loop.handle(exchange)
    }
  }

  func refuse(_ exchange: HTTP2Exchange, _ problem: TransportProblem) {
    loop.counters.requestsRefused += 1
    exchange.isAnsweredEarly = true
    let answer = loop.hooks.render(problem, exchange.requestID)
    exchange.respond(answer.status, answer.headers, answer.body)
  }

  func streamClosed(_ stream: Int32) {
    guard let exchange = streams.removeValue(forKey: stream) else { return }
    consumeRest(exchange)
    drop(exchange)
    if streams.isEmpty {
      idleStart = loop.tick
      if drainStage == 2 { finishDraining() }
    }
  }

  private func drop(_ exchange: HTTP2Exchange) {
    let isLost = exchange.phase != .finished
    exchange.session = nil
    exchange.dropPieces()
    release(exchange)
    let onClose = exchange.onClose
    exchange.onClose = nil
    exchange.onInputEnd = nil
    exchange.onDrain = nil
    if isLost { onClose?() }
  }

  // MARK: Output

  /// Gives the connection what may be sent now.
  func pump() {
    if isReceiving || isPumping || isOver { return }
    isPumping = true
    defer { isPumping = false }
    while connection.mayWrite(upTo: Self.pumpBytesMax) {
      var bytes: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(session, &bytes)
      if count <= 0 { break }
      connection.append(UnsafeRawBufferPointer(start: bytes, count: count))
    }
    if nghttp2_session_want_read(session) == 0, nghttp2_session_want_write(session) == 0 {
      isOver = true
      connection.lingers = true
      connection.closeAfterFlush()
    }
  }

  func dataAvailable(_ stream: Int32, room: Int) -> (count: Int, isLast: Bool) {
    guard let exchange = streams[stream] else { return (0, true) }
    let count = min(room, exchange.pendingBytes)
    let isLast = exchange.isLast && count == exchange.pendingBytes
    if count == 0 && !isLast { exchange.isDeferred = true }
    return (count, isLast)
  }

  /// Copies one DATA frame behind what the connection will send.
  func sendData(_ stream: Int32, header: UnsafeRawBufferPointer, count: Int) -> Int32 {
    if !connection.mayWrite(upTo: Self.pumpBytesMax) { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
    // An answer may break off between a frame's promise and its turn; nghttp2 then resets the stream.
    let pending = streams[stream]?.pendingBytes ?? 0
    if count > pending { return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue }
    connection.append(header)
    guard let exchange = streams[stream] else { return 0 }
    if count > 0 { connection.append { exchange.take(count, into: &$0) } }
    if exchange.owesDrain, exchange.pendingBytes < loop.limits.unsentBytesMax / 4 {
      exchange.owesDrain = false
      connection.later { [weak exchange] in exchange?.onDrain?() }
    }
    return 0
  }

  func frameSent(_ frame: nghttp2_frame) {
    patience.sent(type: frame.hd.type)
    let type = nghttp2_frame_type(UInt32(frame.hd.type))
    if type == NGHTTP2_RST_STREAM, frame.rst_stream.error_code != NGHTTP2_NO_ERROR.rawValue {
      // "MadeYouReset" (CVE-2025-8671): a peer whose mistakes make the server reset streams costs as much as one that
      // resets them.
      patience.spend(20)
    }
    let endsStream = frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    guard endsStream, type == NGHTTP2_HEADERS || type == NGHTTP2_DATA,
      let exchange = streams[frame.hd.stream_id], !exchange.isRequestComplete
    else { return }
    // RFC 9113 §8.1: answered in full, the rest of the request is not wanted. Said only after a while, in which what
    // still comes is dropped: curl before 8.0, as in Debian 12, shows no answer if it is reset while it sends.
    exchange.restEndTick = loop.tick + loop.ticks(loop.limits.lingerTime)
    connection.wake(at: exchange.restEndTick)
  }

  // MARK: The connection's fate

  func drained() { connection.markDirty() }

  /// As on HTTP/1.1, what was asked in full is still answered; but the reader of a live stream is gone.
  func inputEnded() {
    let isAnswerable = streams.values.allSatisfy { $0.isRequestComplete && $0.phase != .streaming }
    if isOver || !isAnswerable {
      isOver = true
      connection.abort()
    } else {
      if drainStage < 2 { finishDraining() }
      let waiting = streams.values.sorted { $0.stream < $1.stream }
      for exchange in waiting where exchange.phase == .handling {
        let listener = exchange.onInputEnd
        exchange.onInputEnd = nil
        listener?()
      }
    }
  }

  /// RFC 9113 §6.8: first a notice, then, a round trip later, the last stream that will be answered.
  func drain() {
    if drainStage > 0 || isOver { return }
    drainStage = 1
    _ = nghttp2_submit_shutdown_notice(session)
    connection.markDirty()
    connection.wake(at: loop.tick + 1)
  }

  private func finishDraining() {
    drainStage = 2
    let last = nghttp2_session_get_last_proc_stream_id(session)
    _ = nghttp2_submit_goaway(session, Self.noFlags, last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
    connection.markDirty()
    if streams.isEmpty {
      connection.lingers = true
      connection.closeAfterFlush()
    }
  }

  /// The connection is gone, or will say nothing more.
  func closed() {
    isOver = true
    let gone = streams.values.sorted { $0.stream < $1.stream }
    streams = [:]
    if gone.contains(where: { $0.phase != .finished }) { loop.counters.connectionsBroken += 1 }
    for exchange in gone { drop(exchange) }
  }

  // MARK: Time limits

  func due() -> UInt64 {
    let now = loop.tick
    let limits = loop.limits
    if isOver { return now + loop.ticks(limits.idleTime) }
    if drainStage == 1 {
      finishDraining()
      return now + 1
    }
    var next = now + loop.ticks(limits.idleTime)
    if draft != nil {
      let end = headStart + loop.ticks(limits.headTime)
      if now >= end {
        terminate(.enhanceYourCalm)
        return now + 1
      }
      next = min(next, end)
    }
    if streams.isEmpty {
      let end = idleStart + loop.ticks(limits.idleTime)
      if now >= end {
        finishDraining()
        return now + 1
      }
      return min(next, end)
    }
    for exchange in Array(streams.values) { next = min(next, look(at: exchange, now)) }
    connection.markDirty()
    return next
  }

  /// Ends a stream that has made no progress, either way. Returns when to look again.
  private func look(at exchange: HTTP2Exchange, _ now: UInt64) -> UInt64 {
    let limits = loop.limits
    var next = UInt64.max
    if !exchange.isRequestComplete {
      if exchange.restEndTick <= now {
        _ = nghttp2_submit_rst_stream(
          session, Self.noFlags, exchange.stream, NGHTTP2_NO_ERROR.rawValue)
        return next
      }
      next = exchange.restEndTick
    }
    if !exchange.isRequestComplete, exchange.unconsumedBytes == 0 {
      let interval = loop.ticks(limits.bodyStallTime)
      if now >= exchange.bodyCheckedTick + interval {
        if exchange.bodyBytesSeen - exchange.bodyBytesChecked
          < limits.bytesWanted(within: limits.bodyStallTime)
        {
          if exchange.phase == .receiving, !exchange.isAnsweredEarly {
            refuse(exchange, .bodyTimeout(after: limits.bodyStallTime))
          } else {
            reset(exchange)
          }
        }
        exchange.bodyBytesChecked = exchange.bodyBytesSeen
        exchange.bodyCheckedTick = now
      }
      next = min(next, exchange.bodyCheckedTick + interval)
    }
    if exchange.pendingBytes > 0 || exchange.isLast {
      let wanted = limits.bytesWanted(within: limits.writeStallTime)
      if exchange.hasMoved(by: wanted) { exchange.noteMoved(at: now) }
      let end = exchange.takenSeenTick + loop.ticks(limits.writeStallTime)
      if now >= end { reset(exchange) }
      next = min(next, max(end, now + 1))
    } else {
      exchange.noteMoved(at: now)
      next = min(next, now + loop.ticks(limits.writeStallTime))
    }
    return next
  }

  func reset(_ exchange: HTTP2Exchange) {
    _ = nghttp2_submit_rst_stream(
      session, Self.noFlags, exchange.stream, NGHTTP2_CANCEL.rawValue)
  }
}
