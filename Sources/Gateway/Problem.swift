// Every way a request can fail: its code, HTTP status, title and facts, in one table. Nobody else knows error statuses.
import Engine
import NIOCore
import Wire

/// The codes that clients may switch on. `openapi.yaml` lists the same ones; a test holds them together.
public enum ProblemCode: String, CaseIterable, Sendable {
  // The request itself.
  case malformedRequest = "malformed_request"
  case tlsRequired = "tls_required"
  case badName = "bad_name"
  case unknownField = "unknown_field"
  case missingField = "missing_field"
  case wrongType = "wrong_type"
  case badValue = "bad_value"
  case badParameter = "bad_parameter"
  case badHeader = "bad_header"
  case badJSON = "bad_json"
  case badEncoding = "bad_encoding"
  case badCloudEvent = "bad_cloudevent"
  case badCursor = "bad_cursor"
  case badPageToken = "bad_page_token"
  case emptyBody = "empty_body"
  case keyNotFound = "key_not_found"
  case tooManyShards = "too_many_shards"
  case foreignOrigin = "foreign_origin"
  case foreignHost = "foreign_host"
  case notFound = "not_found"
  case methodNotAllowed = "method_not_allowed"
  case notAcceptable = "not_acceptable"
  case opaqueValues = "opaque_values"
  case requestTimeout = "request_timeout"
  case unsupportedMediaType = "unsupported_media_type"
  case unsupportedEncoding = "unsupported_encoding"
  case unknownExpectation = "unknown_expectation"
  case unsupportedMethod = "unsupported_method"
  case unsupportedTransferCoding = "unsupported_transfer_coding"
  case unsupportedHTTPVersion = "unsupported_http_version"
  // Limits.
  case recordTooLarge = "record_too_large"
  case bodyTooLarge = "body_too_large"
  case batchTooLarge = "batch_too_large"
  case headersTooLarge = "headers_too_large"
  case uriTooLong = "uri_too_long"
  // Streams.
  case streamNotFound = "stream_not_found"
  case shardNotFound = "shard_not_found"
  case existsDifferently = "exists_differently"
  case alreadyExists = "already_exists"
  case revisionMismatch = "revision_mismatch"
  case fixedField = "fixed_field"
  case catalogFull = "catalog_full"
  case catalogFailed = "catalog_failed"
  case streamReplaced = "stream_replaced"
  case streamInUse = "stream_in_use"
  // Subscriptions.
  case subscriptionNotFound = "subscription_not_found"
  case wrongDelivery = "wrong_delivery"
  case attemptNotFound = "attempt_not_found"
  case tooManyConsumers = "too_many_consumers"
  case badAckID = "bad_ack_id"
  // Places in a shard.
  case trimmed
  case beyondTail = "beyond_tail"
  case tailMoved = "tail_moved"
  // Exactly once.
  case sequenceReused = "sequence_reused"
  case sequenceTooOld = "sequence_too_old"
  case sequenceGap = "sequence_gap"
  case staleProducer = "stale_producer"
  case producersFull = "producers_full"
  case idempotencyMismatch = "idempotency_mismatch"
  case idempotencyInProgress = "idempotency_in_progress"
  case idempotencyFull = "idempotency_full"
  // The server.
  case overloaded
  case tooManyConnections = "too_many_connections"
  case ownerMoved = "owner_moved"
  case stopping
  case notReady = "not_ready"
  case diskFull = "disk_full"
  case storageFailed = "storage_failed"
  case damaged
  case partlyApplied = "partly_applied"
  case internalError = "internal"
}

extension ProblemCode {
  /// HTTP status, title, and whether the same request may succeed when it is sent again.
  struct Row {
    let status: Int
    let title: String
    let retryable: Bool
    init(_ status: Int, _ title: String, retryable: Bool = false) {
      self.status = status
      self.title = title
      self.retryable = retryable
    }
  }

  var row: Row {
    switch self {
    case .malformedRequest: Row(400, "The request is not well-formed HTTP")
    case .tlsRequired: Row(400, "This port speaks TLS")
    case .badName: Row(400, "The name is not allowed")
    case .unknownField: Row(400, "There is no such field or parameter")
    case .missingField: Row(400, "A required field is missing")
    case .wrongType: Row(400, "A field has the wrong type")
    case .badValue: Row(400, "A field has a value that is not allowed")
    case .badParameter: Row(400, "A query parameter has a value that is not allowed")
    case .badHeader: Row(400, "A header has a value that is not allowed")
    case .badJSON: Row(400, "The body is not valid JSON")
    case .badEncoding: Row(400, "The body does not match its encoding")
    case .badCloudEvent: Row(400, "The body is not a valid CloudEvent")
    case .badCursor: Row(400, "The cursor is damaged or belongs elsewhere")
    case .badPageToken: Row(400, "The page token is damaged")
    case .emptyBody: Row(400, "The body holds nothing")
    case .keyNotFound: Row(400, "A record has no key at key_pointer")
    case .tooManyShards: Row(400, "The stream has too many shards to read at once")
    case .foreignOrigin: Row(403, "Web pages of this origin may not call this server")
    case .foreignHost: Row(403, "The Host is not this machine's loopback")
    case .notFound: Row(404, "There is nothing at this path")
    case .methodNotAllowed: Row(405, "The path does not take this method")
    case .notAcceptable: Row(406, "No form of the answer is acceptable")
    case .opaqueValues: Row(406, "Newline framing cannot carry opaque bytes")
    case .requestTimeout: Row(408, "The request took too long to arrive", retryable: true)
    case .unsupportedMediaType: Row(415, "The content type is not taken here")
    case .unsupportedEncoding: Row(415, "The content encoding is not taken here")
    case .unknownExpectation: Row(417, "The expectation cannot be met")
    case .unsupportedMethod: Row(501, "The method is not known")
    case .unsupportedTransferCoding: Row(501, "The transfer coding is not known")
    case .unsupportedHTTPVersion: Row(505, "The HTTP version is not spoken here")
    case .recordTooLarge: Row(413, "A record is too large")
    case .bodyTooLarge: Row(413, "The body is too large")
    case .batchTooLarge: Row(413, "The batch has too many records")
    case .uriTooLong: Row(414, "The request line is too long")
    case .headersTooLarge: Row(431, "The request's headers are too large")
    case .streamNotFound: Row(404, "There is no such stream")
    case .shardNotFound: Row(404, "The stream has no such shard")
    case .existsDifferently: Row(409, "It exists with other settings")
    case .alreadyExists: Row(412, "There is one of this name, and only creating was asked for")
    case .revisionMismatch: Row(412, "It has changed since")
    case .fixedField: Row(409, "The field cannot be changed")
    case .catalogFull: Row(409, "The catalog is full")
    case .catalogFailed: Row(500, "The catalog could not be changed", retryable: true)
    case .streamReplaced: Row(410, "The stream was deleted, and perhaps made again")
    case .streamInUse: Row(409, "Subscriptions need the stream")
    case .subscriptionNotFound: Row(404, "There is no such subscription")
    case .attemptNotFound: Row(404, "There is no such attempt, or it is forgotten")
    case .wrongDelivery: Row(409, "The subscription delivers in another way")
    case .tooManyConsumers: Row(429, "The subscription has too many consumers", retryable: true)
    case .badAckID: Row(400, "An ack_id is damaged or belongs elsewhere")
    case .trimmed: Row(410, "The records asked for are gone")
    case .beyondTail: Row(416, "The offset is beyond the tail")
    case .tailMoved: Row(412, "The shard's tail is elsewhere")
    case .sequenceReused: Row(422, "The sequence was used for another body")
    case .sequenceTooOld: Row(409, "The sequence is too old to be told apart")
    case .sequenceGap: Row(409, "A sequence was skipped")
    case .staleProducer: Row(403, "A newer epoch of this producer has taken over")
    case .producersFull: Row(429, "The shard remembers too many producers", retryable: true)
    case .idempotencyMismatch: Row(422, "The idempotency key was used for another body")
    case .idempotencyInProgress:
      Row(409, "The first request with this key is still in progress", retryable: true)
    case .idempotencyFull:
      Row(429, "The shard remembers too many idempotency keys", retryable: true)
    case .overloaded: Row(429, "Too much is waiting to be written", retryable: true)
    case .tooManyConnections: Row(503, "There are too many connections", retryable: true)
    case .ownerMoved: Row(503, "The shard has another owner now", retryable: true)
    case .stopping: Row(503, "The server is stopping", retryable: true)
    case .notReady: Row(503, "The server cannot take an append now", retryable: true)
    case .diskFull: Row(507, "The disk is full", retryable: true)
    case .storageFailed: Row(500, "The storage failed", retryable: true)
    case .damaged: Row(500, "Stored records are damaged")
    case .partlyApplied: Row(503, "Some shards took their records, others not", retryable: true)
    case .internalError: Row(500, "Something went wrong here")
    }
  }
}

/// What went wrong with one request, with its facts.
public struct Problem: Error, Sendable {
  public enum Fact: Sendable, Equatable {
    case text(String)
    case number(Int)
    case list([String])
    /// JSON text as it is.
    case json(String)
    /// 64-bit numbers are decimal strings.
    static func long(_ value: UInt64) -> Fact { .text(String(value)) }
  }

  public var code: ProblemCode
  public var detail: String
  public var applied: Applied
  /// Members beside the fixed ones, in order: `tail`, `earliest`, `expected_seq`, `pointer`, …
  public var facts: [(name: String, value: Fact)]
  /// The same request will not succeed either, though its code says that it may.
  public var isFinal = false
  /// Headers beside the usual: `Allow`.
  public var headers: [(name: String, value: String)] = []

  public init(
    _ code: ProblemCode, _ detail: String, applied: Applied = .no,
    facts: [(name: String, value: Fact)] = []
  ) {
    self.code = code
    self.detail = detail
    self.applied = applied
    self.facts = facts
    precondition(
      applied != .maybe || [500, 502, 503, 504].contains(code.row.status),
      "only a server's failure leaves a request undecided")
  }

  static let stopping = Problem(.stopping, "The server is stopping; nothing was done.")

  public var status: Int { code.row.status }
  public var retryable: Bool { code.row.retryable && !isFinal }
  /// When to come back: with the statuses that ask for it.
  public var retryAfterSeconds: Int? {
    switch status {
    case 429, 503: 1
    case 507: 10
    default: nil
    }
  }

  public var type: String { "urn:millrace:problem:\(code.rawValue)" }

  public var responseHeaders: Headers {
    var fields: [(name: String, value: String)] = [
      ("content-type", "application/problem+json"), ("cache-control", "no-store"),
    ]
    if let seconds = retryAfterSeconds { fields.append(("retry-after", String(seconds))) }
    return Headers(fields + headers)
  }

  /// The document of RFC 9457, in one line.
  public func write(into buffer: inout ByteBuffer, requestID: String) {
    buffer.writeString("{\"type\":\"\(type)\",\"title\":")
    JSONText.writeEscapedString(code.row.title, into: &buffer)
    buffer.writeString(",\"status\":\(status),\"code\":\"\(code.rawValue)\",\"detail\":")
    JSONText.writeEscapedString(detail, into: &buffer)
    buffer.writeString(",\"retryable\":\(retryable),\"applied\":\"\(applied.rawValue)\"")
    buffer.writeString(",\"request_id\":")
    JSONText.writeEscapedString(requestID, into: &buffer)
    for (name, value) in facts {
      buffer.writeString(",\"\(name)\":")
      switch value {
      case .text(let text): JSONText.writeEscapedString(text, into: &buffer)
      case .number(let number): buffer.writeString(String(number))
      case .json(let text): buffer.writeString(text)
      case .list(let items):
        buffer.writeString("[")
        for (index, item) in items.enumerated() {
          if index > 0 { buffer.writeString(",") }
          JSONText.writeEscapedString(item, into: &buffer)
        }
        buffer.writeString("]")
      }
    }
    buffer.writeString("}")
  }

  public func answer(requestID: String) -> Answer {
    Answer(status, responseHeaders, document(requestID: requestID))
  }

  public func document(requestID: String) -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: 512)
    write(into: &buffer, requestID: requestID)
    return buffer
  }
}

// MARK: From the errors of the rooms below

extension Problem {
  public init(_ error: AppendError) {
    switch error {
    case .tailMoved(let tail):
      self.init(
        .tailMoved, "The shard's tail is \(tail).", facts: [("tail", .long(tail.rawValue))])
    case .sequenceReused:
      self.init(
        .sequenceReused,
        "This producer sent another body under the same epoch and sequence.")
    case .sequenceTooOld(let oldest):
      self.init(
        .sequenceTooOld, "The oldest sequence remembered is \(oldest).",
        facts: [("oldest_seq", .long(oldest))])
    case .sequenceGap(let expected):
      self.init(
        .sequenceGap, "The next sequence of this producer is \(expected).",
        facts: [("expected_seq", .long(expected))])
    case .staleProducer(let current):
      self.init(
        .staleProducer, "This producer's epoch is \(current).",
        facts: [("current_epoch", .long(current))])
    case .producersFull:
      self.init(.producersFull, "Producers idle for long make room; try again later.")
    case .idempotencyMismatch:
      self.init(.idempotencyMismatch, "Use a new Idempotency-Key for a new body.")
    case .idempotencyInProgress:
      self.init(.idempotencyInProgress, "Its answer is not known yet; ask again.")
    case .idempotencyFull:
      self.init(.idempotencyFull, "Keys older than ten minutes make room; try again later.")
    case .tooLarge(let bytes, let bytesMax):
      self.init(
        .batchTooLarge,
        "One shard's records take \(bytes) bytes in its log; a request's may take \(bytesMax).",
        facts: Self.limit("frame_bytes_max", bytesMax))
    case .fenced:
      self.init(.ownerMoved, "Another owner has the shard; nothing was appended.")
    case .busy:
      self.init(.overloaded, "The queue to the disk is full; nothing was appended.")
    case .diskFull:
      self.init(.diskFull, "No space is left in the data directory; nothing was appended.")
    case .device(let reason, let applied):
      self.init(.storageFailed, "The disk failed: \(reason)", applied: applied)
    case .gone:
      self.init(.streamNotFound, "The stream was deleted; nothing was appended.")
    case .stopping:
      self.init(.stopping, "The server is stopping; nothing was appended.")
    }
  }

  /// A read that failed: nothing was to be applied.
  public init(_ error: LogError) {
    switch error {
    case .fenced:
      self.init(.ownerMoved, "Another owner has the shard.")
    case .full:
      self.init(.diskFull, "No space is left in the data directory.")
    case .device(let reason):
      self.init(.storageFailed, "The disk failed: \(reason)")
    case .damaged(let file, let position, let reason):
      self.init(
        .damaged, "\(file) is damaged at byte \(position): \(reason). Run millrace verify.",
        facts: [("file", .text(file)), ("position", .text(String(position)))])
    case .gone:
      self.init(.streamNotFound, "The stream was deleted.")
    }
  }

  /// What the transport refused before a handler saw it.
  public init(_ problem: TransportProblem) {
    switch problem {
    case .malformed(let how):
      self.init(.malformedRequest, "The request is malformed: \(how.rawValue).")
    case .requestLineTooLong(let bytesMax):
      self.init(
        .uriTooLong, "A request line has at most \(bytesMax) bytes.",
        facts: Self.limit("request_line_bytes_max", bytesMax))
    case .headersTooLarge(let bytesMax):
      self.init(
        .headersTooLarge, "A request's headers have at most \(bytesMax) bytes.",
        facts: Self.limit("header_bytes_max", bytesMax))
    case .tooManyHeaders(let countMax):
      self.init(
        .headersTooLarge, "A request has at most \(countMax) headers.",
        facts: Self.limit("header_fields_max", countMax))
    case .bodyTooLarge(let bytesMax):
      self.init(
        .bodyTooLarge, "A body has at most \(bytesMax) bytes.",
        facts: Self.limit("body_bytes_max", bytesMax))
    case .unknownExpectation:
      self.init(.unknownExpectation, "The only expectation known is 100-continue.")
    case .unsupportedVersion:
      self.init(.unsupportedHTTPVersion, "HTTP/1.1, HTTP/1.0 and HTTP/2 are spoken here.")
    case .unsupportedTransferCoding:
      self.init(.unsupportedTransferCoding, "The only transfer coding known is chunked.")
    case .unsupportedMethod:
      self.init(.unsupportedMethod, "This server is no proxy: it knows no CONNECT.")
    case .headTimeout(let after):
      self.init(
        .requestTimeout, "The request's head was not whole after \(DurationText.format(after)).")
    case .bodyTimeout(let after):
      self.init(
        .requestTimeout,
        "The request's body made too little progress in \(DurationText.format(after)).")
    case .tooManyConnections(let countMax):
      self.init(
        .tooManyConnections, "\(countMax) connections are open; try again later.",
        facts: Self.limit("connections_max", countMax))
    case .tooManyBodies(let bytesMax):
      self.init(
        .overloaded, "Requests in flight hold \(bytesMax) bytes; try again later.",
        facts: Self.limit("held_body_bytes_max", bytesMax))
    case .tooManyAnswers(let bytesMax):
      self.init(
        .overloaded, "Answers that nobody takes hold \(bytesMax) bytes; try again later.",
        facts: Self.limit("held_answer_bytes_max", bytesMax))
    case .plainTextOnTLSPort:
      self.init(.tlsRequired, "This port speaks TLS: use https.")
    }
  }
}
