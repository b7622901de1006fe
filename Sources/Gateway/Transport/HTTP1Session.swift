// One HTTP/1.x connection above its bytes: requests in, answers out in the order of their requests.
import NIOCore

/// Requests overlap on a connection only where no client can tell: all of them safe, or all posts to one path.
final class HTTP1Session {
  let loop: LoopState
  unowned let connection: Connection
  private var parser: HTTP1Parser
  /// Bytes not yet parsed: an incomplete line, or requests that wait for their turn.
  private var inbound = ByteBuffer()
  /// The exchanges without a finished answer, oldest first, linked by `next`.
  private(set) var first: HTTP1Exchange?
  private(set) var last: HTTP1Exchange?
  private var count = 0
  /// Written for exchanges that are not the first.
  var heldBytes = 0
  /// The one whose body is coming in: the last one, if any.
  private var receiving: HTTP1Exchange?
  private var bodyExpected = 0
  private var isProcessing = false
  /// No request of this connection will be read any more.
  private(set) var isInputOver = false
  private(set) var hasInputEnded = false
  private(set) var isDraining = false
  /// When the phase that `due` looks at began, and what had come by then.
  private var phaseStart: UInt64
  private var bodyBytesSeen = 0
  private var bodyBytesChecked = 0

  init(connection: Connection, loop: LoopState) {
    self.connection = connection
    self.loop = loop
    parser = HTTP1Parser(limits: loop.limits, isTLS: connection.isTLS)
    isDraining = loop.isDraining
    phaseStart = loop.tick
  }

  // MARK: Input

  func receive(_ data: ByteBuffer) {
    if isInputOver { return }
    if inbound.readableBytes == 0 {
      if first == nil, !parser.isMidRequest { phaseStart = loop.tick }
      inbound = data
    } else {
      inbound.writeImmutableBuffer(data)
    }
    process()
  }

  /// Parses what is there until it is used up or enough requests wait.
  private func process() {
    if isProcessing { return }
    isProcessing = true
    defer { isProcessing = false }
    while !isInputOver, mayTakeMore {
      var position = 0
      let event = inbound.withUnsafeReadableBytes { parser.next(in: $0, at: &position) }
      switch event {
      case .needsMore:
        inbound.moveReaderIndex(forwardBy: position)
        shrinkInbound()
        if hasInputEnded { return cutOff() }
        armForPartial()
        updateReading()
        return
      case .head(let head):
        inbound.moveReaderIndex(forwardBy: position)
        headComplete(head)
      case .body(let range):
        bodyPiece(range)
        inbound.moveReaderIndex(forwardBy: position)
      case .end:
        inbound.moveReaderIndex(forwardBy: position)
        requestComplete()
      case .failed(let problem):
        fail(problem)
      }
    }
    if isInputOver { inbound = ByteBuffer() }
    updateReading()
  }

  /// An idle connection holds no buffer, and a waiting one none that its bytes do not need.
  private func shrinkInbound() {
    if inbound.readableBytes == 0 {
      inbound = ByteBuffer()
    } else if inbound.readerIndex > 0 {
      inbound = ByteBuffer(bytes: inbound.readableBytesView)
    }
  }

  private var mayTakeMore: Bool {
    if receiving != nil { return true }
    // Answers that nobody takes are waited for, or one read's requests could ask for any number of pages.
    let bytesMax = loop.limits.unsentBytesMax
    guard connection.mayWrite(upTo: bytesMax), heldBytes < bytesMax else { return false }
    guard let last else { return true }
    if count >= loop.limits.pipelinedMax || isDraining { return false }
    // Whether the next one may overlap is known once its head is; see `headComplete`.
    return last.phase != .streaming && waiting == nil
  }

  /// A request that must not begin before all earlier ones are answered.
  private var waiting: HTTP1Exchange?

  private func headComplete(_ head: HTTP1Head) {
    let exchange = HTTP1Exchange(
      head, session: self, requestIDBits: loop.nextRequestID(), receivedAt: connection.now)
    loop.counters.requestsHTTP1 += 1
    enqueue(exchange)
    receiving = exchange
    bodyBytesSeen = 0
    bodyBytesChecked = 0
    phaseStart = loop.tick
    if !head.keepsAlive { exchange.closes = true }
    var length: Int? = 0
    switch head.framing {
    case .none: bodyExpected = 0
    case .length(let bytes):
      bodyExpected = bytes
      length = bytes
    case .chunked:
      bodyExpected = 0
      length = nil
    }
    if let answer = loop.hooks.admit(head.request, length, { exchange.requestID }) {
      answerEarly(exchange, answer, head)
    } else if loop.counters.heldBodyBytes + bodyExpected > loop.heldBodyBytesMax {
      let problem = TransportProblem.tooManyBodies(bytesMax: loop.heldBodyBytesMax)
      answerEarly(exchange, loop.hooks.render(problem, exchange.requestID), head)
    } else if head.expectsContinue, inbound.readableBytes == 0 {
      output(of: exchange) { $0.writeStaticString(HTTP1Encoder.continueLine) }
    }
  }

  /// Answers before the body. A short body is then passed over, a long or uncertain one ends the connection.
  private func answerEarly(_ exchange: HTTP1Exchange, _ answer: Answer, _ head: HTTP1Head) {
    exchange.isAnsweredEarly = true
    switch head.framing {
    case .none: break
    case .length(let bytes) where bytes <= 64 << 10 && !head.expectsContinue: break
    case .length, .chunked: stopInput(exchange)
    }
    exchange.respond(answer.status, answer.headers, answer.body)
  }

  private func stopInput(_ exchange: HTTP1Exchange) {
    isInputOver = true
    receiving = nil
    exchange.closes = true
    connection.lingers = true
  }

  private func bodyPiece(_ range: Range<Int>) {
    guard let exchange = receiving else { preconditionFailure("a body without a head") }
    bodyBytesSeen += range.count
    if exchange.isAnsweredEarly { return }
    let start = inbound.readerIndex + range.lowerBound
    hold(exchange, range.count)
    if exchange.body.readableBytes == 0, range.count == bodyExpected,
      range.count * 4 >= inbound.storageCapacity
    {
      // Whole, and most of its buffer: no copy. A small slice would keep a large buffer alive.
      exchange.body = inbound.getSlice(at: start, length: range.count)!
      return
    }
    if exchange.body.capacity == 0 {
      // A client that promises much and sends little gets little room.
      exchange.body.reserveCapacity(min(max(bodyExpected, range.count), 64 << 10))
    }
    inbound.withUnsafeReadableBytes { _ = exchange.body.writeBytes($0[range]) }
    if loop.counters.heldBodyBytes > loop.heldBodyBytesMax {
      fail(.tooManyBodies(bytesMax: loop.heldBodyBytesMax))
    }
  }

  private func hold(_ exchange: HTTP1Exchange, _ bytes: Int) {
    exchange.heldBodyBytes += bytes
    loop.counters.heldBodyBytes += bytes
  }

  /// Gives an exchange's body back to the budget.
  func release(_ exchange: HTTP1Exchange) {
    loop.counters.heldBodyBytes -= exchange.heldBodyBytes
    exchange.heldBodyBytes = 0
    exchange.body = ByteBuffer()
  }

  private func requestComplete() {
    guard let exchange = receiving else { preconditionFailure("an end without a head") }
    receiving = nil
    phaseStart = loop.tick
    if !exchange.keepsAlive { isInputOver = true }
    if exchange.isAnsweredEarly {
      advance()
      return
    }
    exchange.phase = .handling
    if mayOverlap(exchange) { handle(exchange) } else { waiting = exchange }
  }

  private func handle(_ exchange: HTTP1Exchange) {
    if let problem = loop.refusal(ofHolding: 0), loop.hooks.isBulk(exchange.request) {
      refuse(exchange, problem)
    } else {
      loop.handle(exchange)
      if hasInputEnded { tellInputEnd() }
    }
  }

  /// Answers a request in its turn with a refusal, and goes on.
  func refuse(_ exchange: HTTP1Exchange, _ problem: TransportProblem) {
    loop.counters.requestsRefused += 1
    let answer = loop.hooks.render(problem, exchange.requestID)
    exchange.respond(answer.status, answer.headers, answer.body)
  }

  /// RFC 9112 §9.3.2 lets safe requests overlap. Posts to one path may too: one handler takes them in their order.
  /// Large reads do not: their answers would wait in memory for one another.
  private func mayOverlap(_ exchange: HTTP1Exchange) -> Bool {
    var earlier = first
    while let other = earlier, other !== exchange {
      if other.phase != .finished {
        let bothSafe = Self.isSafe(other.request.method) && Self.isSafe(exchange.request.method)
        let sameAppend =
          other.request.method == "POST" && exchange.request.method == "POST"
          && other.request.path == exchange.request.path
        if !bothSafe && !sameAppend { return false }
        if loop.hooks.isBulk(exchange.request) || loop.hooks.isBulk(other.request) { return false }
      }
      earlier = other.next
    }
    return true
  }

  private static func isSafe(_ method: String) -> Bool {
    method == "GET" || method == "HEAD" || method == "OPTIONS"
  }

  // MARK: Refusals

  /// Answers with `problem`, and reads no further.
  func fail(_ problem: TransportProblem) {
    loop.counters.requestsRefused += 1
    let exchange: HTTP1Exchange
    if let receiving {
      exchange = receiving
    } else {
      let head = HTTP1Head(
        request: RequestHead(method: "", path: ""), framing: .none, keepsAlive: false,
        expectsContinue: false, isHTTP10: false)
      exchange = HTTP1Exchange(
        head, session: self, requestIDBits: loop.nextRequestID(), receivedAt: connection.now)
      enqueue(exchange)
    }
    stopInput(exchange)
    inbound = ByteBuffer()
    if exchange.isAnsweredEarly {
      advance()
      return
    }
    let answer = loop.hooks.render(problem, exchange.requestID)
    exchange.respond(answer.status, answer.headers, answer.body)
  }

  // MARK: The order of answers

  private func enqueue(_ exchange: HTTP1Exchange) {
    if let last { last.next = exchange } else { first = exchange }
    last = exchange
    count += 1
  }

  /// Lets go of finished answers at the front, and sends what the next ones have held back.
  func advance() {
    while let exchange = first, exchange.phase == .finished, exchange !== receiving {
      first = exchange.next
      exchange.next = nil
      if first == nil { last = nil }
      count -= 1
      if exchange.closes {
        dropAll()
        isInputOver = true
        inbound = ByteBuffer()
        connection.closeAfterFlush()
        return
      }
      if let next = first {
        for buffer in next.held { connection.send(buffer) }
        dropHeld(next)
        if next.phase == .streaming, let onDrain = next.onDrain { connection.later(onDrain) }
      }
    }
    if let exchange = waiting, exchange === first {
      waiting = nil
      handle(exchange)
    }
    if first == nil {
      phaseStart = loop.tick
      if (hasInputEnded && inbound.readableBytes == 0) || (isDraining && !parser.isMidRequest) {
        connection.closeAfterFlush()
        return
      }
    }
    if inbound.readableBytes > 0 { process() } else { updateReading() }
  }

  private func updateReading() {
    connection.setPaused(.requests, !isInputOver && !mayTakeMore)
  }

  // MARK: The connection's fate

  /// The peer took what was unsent.
  func drained() {
    if let exchange = first, exchange.phase == .streaming { exchange.onDrain?() }
    if inbound.readableBytes > 0 || hasInputEnded { process() } else { updateReading() }
  }

  /// The peer will send no more, but may still read.
  func inputEnded() {
    hasInputEnded = true
    if let exchange = first, exchange.phase == .streaming, exchange.isEventStream {
      connection.abort()
    } else {
      // Requests that wait for their turn came before the end, and are still answered.
      if isInputOver { cutOff() } else { process() }
      tellInputEnd()
    }
  }

  private func tellInputEnd() {
    var listeners: [() -> Void] = []
    var exchange = first
    while let one = exchange {
      if one.phase == .handling, let listener = one.onInputEnd { listeners.append(listener) }
      one.onInputEnd = nil
      exchange = one.next
    }
    for listener in listeners { listener() }
  }

  /// All that came before the end of input has been read.
  private func cutOff() {
    isInputOver = true
    inbound = ByteBuffer()
    if let exchange = receiving {
      receiving = nil
      if !exchange.isAnsweredEarly {
        // Its body will never be whole; those before it are still answered.
        loop.counters.connectionsBroken += 1
        exchange.closes = true
        exchange.phase = .finished
        exchange.session = nil
        release(exchange)
      }
      advance()
      return
    }
    // The last answer may still be on its way to the socket.
    if first == nil { connection.closeAfterFlush() }
  }

  func drain() {
    isDraining = true
    if first == nil, !parser.isMidRequest, inbound.readableBytes == 0 {
      connection.closeAfterFlush()
    }
  }

  /// The connection is gone.
  func closed() { dropAll() }

  private func dropAll() {
    var exchange = first
    first = nil
    last = nil
    receiving = nil
    waiting = nil
    count = 0
    var lost = false
    while let gone = exchange {
      exchange = gone.next
      gone.next = nil
      gone.session = nil
      dropHeld(gone)
      release(gone)
      if gone.phase != .finished {
        lost = true
        let onClose = gone.onClose
        gone.onClose = nil
        gone.onInputEnd = nil
        gone.onDrain = nil
        onClose?()
      }
    }
    if lost { loop.counters.connectionsBroken += 1 }
  }

  // MARK: Time limits

  private func armForPartial() {
    let limits = loop.limits
    if receiving != nil {
      connection.wake(at: phaseStart + loop.ticks(limits.bodyStallTime))
    } else if inbound.readableBytes > 0 || parser.isMidRequest {
      connection.wake(at: phaseStart + loop.ticks(limits.headTime))
    }
  }

  /// Looks at the clock; returns when to look again.
  func due() -> UInt64 {
    let now = loop.tick
    let limits = loop.limits
    if let exchange = receiving, !isInputOver {
      let look = phaseStart + loop.ticks(limits.bodyStallTime)
      if now < look { return look }
      if bodyBytesSeen - bodyBytesChecked < limits.bytesWanted(within: limits.bodyStallTime) {
        if exchange.isAnsweredEarly {
          connection.abort()
        } else {
          fail(.bodyTimeout(after: limits.bodyStallTime))
        }
        return now + 1
      }
      bodyBytesChecked = bodyBytesSeen
      phaseStart = now
      return now + loop.ticks(limits.bodyStallTime)
    }
    if first != nil || isInputOver { return now + loop.ticks(limits.idleTime) }
    if inbound.readableBytes > 0 || parser.isMidRequest {
      let end = phaseStart + loop.ticks(limits.headTime)
      if now < end { return end }
      fail(.headTimeout(after: limits.headTime))
      return now + 1
    }
    let end = phaseStart + loop.ticks(limits.idleTime)
    if now < end { return end }
    connection.closeAfterFlush()
    return now + 1
  }
}
