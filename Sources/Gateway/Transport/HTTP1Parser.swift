// HTTP/1.x requests from bytes: a strict state machine that knows no socket. Bytes in, events out.
import Glibc

/// How a request's body ends.
public enum HTTP1Framing: Sendable, Equatable {
  case none
  case length(Int)
  case chunked
}

/// A request's head and what it says about its connection.
public struct HTTP1Head: Sendable {
  public var request: RequestHead
  public var framing: HTTP1Framing
  public var keepsAlive: Bool
  public var expectsContinue: Bool
  public var isHTTP10: Bool
}

public enum HTTP1Event: Sendable {
  /// Nothing more can be said before more bytes come.
  case needsMore
  case head(HTTP1Head)
  /// A piece of the body: where it lies in the bytes given.
  case body(Range<Int>)
  /// The request is complete; the next byte begins another.
  case end
  /// The peer broke the rules: no further byte of it can be trusted, and every later call says the same.
  case failed(TransportProblem)
}

/// Takes requests apart line by line, as RFC 9112 has it, and refuses what two implementations might read differently.
///
/// The events do not depend on how the bytes are cut into pieces. The parser keeps no bytes: what it has not
/// consumed must be given again, with what came since behind it.
/// - SeeAlso: docs/decisions/003-http1-parser.md
public struct HTTP1Parser: Sendable {
  enum State: Sendable {
    case requestLine
    case fields
    case headDone
    case body(remaining: Int)
    case chunkSize
    case chunkData(remaining: Int)
    case chunkEnd
    case trailers
    case failed(TransportProblem)
  }

  let limits: TransportLimits
  let isTLS: Bool
  var state = State.requestLine
  /// Bytes after the position in which no LF is; they need not be searched again.
  private var scanned = 0
  /// Bytes of the head, or of the trailers, so far.
  private var headBytes = 0
  private var hasSkippedEmptyLine = false
  var draft = HTTP1HeadDraft()
  var bodyBytes = 0
  var extensionBytes = 0

  public init(limits: TransportLimits, isTLS: Bool) {
    self.limits = limits
    self.isTLS = isTLS
  }

  /// Whether a request has begun and is not complete.
  public var isMidRequest: Bool {
    if case .requestLine = state { return false }
    return true
  }

  /// The next event of the request that goes on at `position`, which moves past what was consumed.
  public mutating func next(in bytes: UnsafeRawBufferPointer, at position: inout Int) -> HTTP1Event
  {
    while true {
      switch state {
      case .requestLine, .fields:
        if let event = headLine(bytes, &position) { return event }
      case .headDone:
        return end()
      case .body(let remaining):
        let count = min(remaining, bytes.count - position)
        if count == 0 { return .needsMore }
        let range = position..<(position + count)
        position += count
        state = remaining == count ? .headDone : .body(remaining: remaining - count)
        return .body(range)
      case .chunkData(let remaining):
        let count = min(remaining, bytes.count - position)
        if count == 0 { return .needsMore }
        let range = position..<(position + count)
        position += count
        state = remaining == count ? .chunkEnd : .chunkData(remaining: remaining - count)
        return .body(range)
      case .chunkSize, .chunkEnd, .trailers:
        if let event = chunkLine(bytes, &position) { return event }
      case .failed(let problem):
        return .failed(problem)
      }
    }
  }

  private mutating func end() -> HTTP1Event {
    state = .requestLine
    headBytes = 0
    bodyBytes = 0
    extensionBytes = 0
    hasSkippedEmptyLine = false
    return .end
  }

  mutating func fail(_ problem: TransportProblem) -> HTTP1Event {
    state = .failed(problem)
    draft = HTTP1HeadDraft()
    return .failed(problem)
  }

  mutating func fail(_ how: Malformation) -> HTTP1Event { fail(.malformed(how)) }

  // MARK: Lines

  enum Line {
    case incomplete
    case tooLong
    case bareLF
    /// Without its CRLF.
    case line(UnsafeRawBufferPointer)
  }

  /// The line at `position`, if its LF is there. With its CRLF it may take `bytesMax`.
  mutating func line(
    _ bytes: UnsafeRawBufferPointer, _ position: inout Int, bytesMax: Int
  ) -> Line {
    let from = position + scanned
    let count = bytes.count - from
    guard count > 0, let base = bytes.baseAddress,
      let found = memchr(base + from, 10, count)
    else {
      scanned += max(count, 0)
      return scanned > bytesMax ? .tooLong : .incomplete
    }
    let lf = UnsafeRawPointer(found) - base
    let length = lf + 1 - position
    if length > bytesMax { return .tooLong }
    guard length >= 2, bytes[lf - 1] == 13 else { return .bareLF }
    let line = UnsafeRawBufferPointer(start: base + position, count: length - 2)
    position = lf + 1
    scanned = 0
    return .line(line)
  }

  /// A line of a head or of trailers, within what is left of `headBytesMax`.
  mutating func fieldLine(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Line {
    let line = line(bytes, &position, bytesMax: limits.headBytesMax - headBytes)
    if case .line(let text) = line { headBytes += text.count + 2 }
    return line
  }

  mutating func beginTrailers() {
    headBytes = 0
    draft = HTTP1HeadDraft()
    state = .trailers
  }

  // MARK: The head

  private mutating func headLine(
    _ bytes: UnsafeRawBufferPointer, _ position: inout Int
  ) -> HTTP1Event? {
    if case .requestLine = state {
      switch line(bytes, &position, bytesMax: limits.requestLineBytesMax) {
      case .incomplete: return .needsMore
      case .tooLong: return fail(.requestLineTooLong(bytesMax: limits.requestLineBytesMax))
      case .bareLF: return fail(.bareLF)
      case .line(let text):
        if text.isEmpty {
          // RFC 9112 §2.2: one empty line before a request is an old client's habit.
          if hasSkippedEmptyLine { return fail(.emptyLines) }
          hasSkippedEmptyLine = true
          return nil
        }
        headBytes = text.count + 2
        draft = HTTP1HeadDraft()
        do throws(TransportProblem) {
          try draft.requestLine(text)
        } catch {
          return fail(error)
        }
        state = .fields
        return nil
      }
    }
    switch fieldLine(bytes, &position) {
    case .incomplete: return .needsMore
    case .tooLong: return fail(.headersTooLarge(bytesMax: limits.headBytesMax))
    case .bareLF: return fail(.bareLF)
    case .line(let text):
      do throws(TransportProblem) {
        if text.isEmpty { return .head(try headComplete()) }
        if draft.fields.count == limits.headFieldsMax {
          throw .tooManyHeaders(countMax: limits.headFieldsMax)
        }
        try draft.field(text)
      } catch {
        return fail(error)
      }
      return nil
    }
  }

  private mutating func headComplete() throws(TransportProblem) -> HTTP1Head {
    let head = try draft.finished(isTLS: isTLS)
    draft = HTTP1HeadDraft()
    switch head.framing {
    case .none:
      state = .headDone
    case .length(let length):
      if length > limits.bodyBytesMax { throw .bodyTooLarge(bytesMax: limits.bodyBytesMax) }
      state = .body(remaining: length)
    case .chunked:
      state = .chunkSize
    }
    return head
  }
}
