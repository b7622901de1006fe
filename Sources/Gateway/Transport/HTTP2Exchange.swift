// A request that came as an HTTP/2 stream, and its answer, whose pieces wait here until the stream's window opens.
import NIOCore

final class HTTP2Exchange: Exchange {
  enum Phase {
    case receiving
    case handling
    case streaming
    case finished
  }

  let stream: Int32
  private(set) var request: RequestHead
  var body = ByteBuffer()
  let eventLoop: any EventLoop
  private unowned let loop: LoopState
  var phase = Phase.receiving
  /// Nil once the stream is closed.
  var session: HTTP2Session?
  let requestIDBits: UInt64
  let isHEAD: Bool
  let receivedAt: NIODeadline
  private var keptRequestID: String?

  // The request's body.
  var isRequestComplete = false
  /// Answered before its body came, which is dropped.
  var isAnsweredEarly = false
  var heldBodyBytes = 0
  /// Received, and not given back to the peer's windows.
  var unconsumedBytes = 0
  var bodyExpected: Int?
  var bodyBytesSeen = 0
  var bodyBytesChecked = 0
  var bodyCheckedTick: UInt64 = 0
  /// Answered in full while the body still comes: how long the rest of it is taken and dropped.
  var restEndTick = UInt64.max

  // The answer.
  private var pieces: [ByteBuffer] = []
  private var piecesTaken = 0
  private(set) var pendingBytes = 0
  /// No more pieces will come.
  var isLast = false
  /// nghttp2 has been told that there is nothing to send at the moment.
  var isDeferred = false
  var owesDrain = false
  var status = 0
  var bodyBytesSent = 0
  var sendsBody = true
  var bytesTaken = 0
  private var bytesTakenSeen = 0
  private var bytesGivenSeen = 0
  private(set) var takenSeenTick: UInt64 = 0

  var onDrain: (() -> Void)?
  var onClose: (() -> Void)?
  var onInputEnd: (() -> Void)?

  init(
    _ request: RequestHead, stream: Int32, session: HTTP2Session, requestIDBits: UInt64,
    receivedAt: NIODeadline
  ) {
    self.request = request
    self.stream = stream
    self.session = session
    self.requestIDBits = requestIDBits
    self.receivedAt = receivedAt
    loop = session.loop
    eventLoop = session.loop.eventLoop
    isHEAD = request.method == "HEAD"
    bodyCheckedTick = session.loop.tick
    takenSeenTick = session.loop.tick
  }

  var clientRequestID: String? {
    keptRequestID ?? request.headers[RequestID.name].flatMap { RequestID.isSane($0) ? $0 : nil }
  }

  var requestID: String { clientRequestID ?? RequestID.text(requestIDBits) }

  /// What waits for this stream's turn; what the connection has taken is bounded for all its streams together.
  var unsentBytes: Int { pendingBytes }

  @discardableResult
  func respond(_ status: Int, _ headers: Headers, _ body: ByteBuffer?) -> Bool {
    guard let session else { return false }
    precondition(phase == .handling || phase == .receiving, "an exchange was answered twice")
    return session.respond(self, status, headers, body)
  }

  func start(_ status: Int, _ headers: Headers) {
    guard let session else { return }
    precondition(phase == .handling, "an exchange was answered twice")
    session.start(self, status, headers)
    keptRequestID = clientRequestID
    request.headers = Headers()
    session.release(self)
  }

  func write(_ chunk: BodyChunk) {
    guard let session else { return }
    precondition(phase == .streaming, "a piece was written outside a streamed answer")
    session.write(self, chunk.bytes)
  }

  func finish() {
    guard let session else { return }
    precondition(phase == .streaming, "a streamed answer was ended twice, or before it began")
    session.finish(self)
  }

  func abort() {
    guard let session else { return }
    precondition(phase == .streaming, "only a streamed answer can break off")
    session.breakOff(self)
  }

  // MARK: Pieces

  func append(_ piece: ByteBuffer) {
    pieces.append(piece)
    hold(piece.readableBytes)
  }

  private func hold(_ bytes: Int) {
    pendingBytes += bytes
    loop.counters.heldAnswerBytes += bytes
  }

  /// Whether all that waited at the last look has gone, or `wanted` bytes of it.
  func hasMoved(by wanted: Int) -> Bool {
    (bytesTaken > bytesTakenSeen && bytesTaken >= bytesGivenSeen)
      || bytesTaken - bytesTakenSeen >= wanted
  }

  func noteMoved(at tick: UInt64) {
    bytesTakenSeen = bytesTaken
    bytesGivenSeen = bytesTaken + pendingBytes
    takenSeenTick = tick
  }

  /// Moves `count` bytes to `buffer`.
  func take(_ count: Int, into buffer: inout ByteBuffer) {
    precondition(count <= pendingBytes, "\(count) bytes asked of \(pendingBytes)")
    var left = count
    while left > 0 {
      let bytes = min(left, pieces[piecesTaken].readableBytes)
      buffer.writeImmutableBuffer(pieces[piecesTaken].readSlice(length: bytes)!)
      left -= bytes
      if pieces[piecesTaken].readableBytes == 0 {
        pieces[piecesTaken] = ByteBuffer()
        piecesTaken += 1
      }
    }
    hold(-count)
    bytesTaken += count
    if piecesTaken == pieces.count {
      pieces.removeAll(keepingCapacity: pieces.count <= 4)
      piecesTaken = 0
    } else if piecesTaken >= 64 {
      pieces.removeFirst(piecesTaken)
      piecesTaken = 0
    }
  }

  func dropPieces() {
    pieces = []
    piecesTaken = 0
    hold(-pendingBytes)
  }
}
