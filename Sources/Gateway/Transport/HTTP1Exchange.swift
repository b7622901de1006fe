// A request that came by HTTP/1.x and its answer, held back while earlier ones of its connection are unanswered.
import NIOCore

final class HTTP1Exchange: Exchange {
  enum Phase {
    /// Its body is still coming in.
    case receiving
    /// With its handler.
    case handling
    case streaming
    case finished
  }

  private(set) var request: RequestHead
  var body = ByteBuffer()
  let eventLoop: any EventLoop
  var phase = Phase.receiving
  /// The one behind it on its connection.
  var next: HTTP1Exchange?
  /// Nil once the answer is finished or the client is gone.
  var session: HTTP1Session?
  let requestIDBits: UInt64
  let keepsAlive: Bool
  let isHTTP10: Bool
  let isHEAD: Bool
  /// Answered before its body came, which is dropped.
  var isAnsweredEarly = false
  /// This answer is the connection's last.
  var closes = false
  var isChunked = false
  var sendsBody = true
  /// An event stream: nobody half-closes one and still reads it.
  var isEventStream = false
  /// Written while earlier answers were not finished.
  var held: [ByteBuffer] = []
  var heldBytes = 0
  /// Counted in the loop's budget.
  var heldBodyBytes = 0
  let receivedAt: NIODeadline
  var status = 0
  var bodyBytesSent = 0

  var onDrain: (() -> Void)?
  var onClose: (() -> Void)?
  var onInputEnd: (() -> Void)?

  init(_ head: HTTP1Head, session: HTTP1Session, requestIDBits: UInt64, receivedAt: NIODeadline) {
    request = head.request
    keepsAlive = head.keepsAlive
    isHTTP10 = head.isHTTP10
    isHEAD = head.request.method == "HEAD"
    eventLoop = session.loop.eventLoop
    self.session = session
    self.requestIDBits = requestIDBits
    self.receivedAt = receivedAt
  }

  /// The client's own name for the request, if it is sane.
  var clientRequestID: String? {
    request.headers[RequestID.name].flatMap { RequestID.isSane($0) ? $0 : nil }
  }

  var requestID: String { keptRequestID ?? clientRequestID ?? RequestID.text(requestIDBits) }
  private var keptRequestID: String?

  var unsentBytes: Int {
    guard let session else { return 0 }
    return session.unsentBytes(of: self)
  }

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
    // A stream may last for days: what it was asked with is let go.
    keptRequestID = clientRequestID
    request.headers = Headers()
    session.release(self)
  }

  func write(_ chunk: BodyChunk) {
    guard let session else { return }
    precondition(phase == .streaming, "a piece was written outside a streamed answer")
    session.write(self, chunk)
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
}
