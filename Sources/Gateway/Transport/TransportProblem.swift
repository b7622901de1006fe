// What the transport refuses before a handler exists, with its facts, and how that reads as a problem document.
import NIOCore

/// An answer given whole.
public struct Answer: Sendable {
  public var status: Int
  public var headers: Headers
  public var body: ByteBuffer?

  public init(_ status: Int, _ headers: Headers = Headers(), _ body: ByteBuffer? = nil) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

/// How a message breaks HTTP; the raw value completes "the request is malformed: …".
public enum Malformation: String, Error, Sendable, CaseIterable {
  case bareLF = "a line ends in LF without CR"
  case emptyLines = "empty lines before the request line"
  case requestLine = "the request line is not METHOD SP TARGET SP VERSION"
  case method = "the method is not a token of at most 24 characters"
  case target = "the request target is not a path, or holds characters that a URI cannot"
  case obsoleteFolding = "a header line begins with white space (obsolete folding)"
  case fieldName = "a header name is empty or holds characters that a token cannot"
  case whitespaceBeforeColon = "white space between a header's name and its colon"
  case fieldValue = "a header's value holds a control character or is not UTF-8"
  case hostMissing = "HTTP/1.1 asks for a Host header"
  case hostRepeated = "more than one Host header"
  case hostInvalid = "the Host header is not HOST or HOST:PORT"
  case hostConflict = "the Host header differs from the host in the request target"
  case contentLengthRepeated = "more than one Content-Length header"
  case contentLength = "Content-Length is not a decimal number"
  case bothLengths = "Content-Length and Transfer-Encoding together"
  case transferEncoding = "Transfer-Encoding does not end in one plain chunked"
  case transferEncodingRepeated = "more than one Transfer-Encoding header"
  case transferEncodingInHTTP10 = "Transfer-Encoding in HTTP/1.0"
  case chunkSize = "a chunk size is not hexadecimal"
  case chunkExtension = "chunk extensions are malformed or too long"
  case chunkEnd = "a chunk is not followed by CRLF"
  case http2Preface = "the HTTP/2 connection preface is damaged"
  case http2Messaging = "the header fields of an HTTP/2 request are malformed"
}

/// A refusal that needs no handler. Nothing has been applied when one is answered.
public enum TransportProblem: Error, Sendable, Equatable {
  case malformed(Malformation)
  case requestLineTooLong(bytesMax: Int)
  case headersTooLarge(bytesMax: Int)
  case tooManyHeaders(countMax: Int)
  case bodyTooLarge(bytesMax: Int)
  case unknownExpectation
  case unsupportedVersion
  case unsupportedTransferCoding
  case unsupportedMethod
  case headTimeout(after: Duration)
  case bodyTimeout(after: Duration)
  case tooManyConnections(countMax: Int)
  case tooManyBodies(bytesMax: Int)
  case plainTextOnTLSPort

  public var status: Int {
    switch self {
    case .malformed, .plainTextOnTLSPort: 400
    case .headTimeout, .bodyTimeout: 408
    case .bodyTooLarge: 413
    case .requestLineTooLong: 414
    case .unknownExpectation: 417
    case .headersTooLarge, .tooManyHeaders: 431
    case .unsupportedTransferCoding, .unsupportedMethod: 501
    case .tooManyConnections, .tooManyBodies: 503
    case .unsupportedVersion: 505
    }
  }

  /// The machine's word for it, as in `openapi.yaml`.
  public var code: String {
    switch self {
    case .malformed: "malformed_request"
    case .requestLineTooLong: "uri_too_long"
    case .headersTooLarge, .tooManyHeaders: "headers_too_large"
    case .bodyTooLarge: "body_too_large"
    case .unknownExpectation: "unknown_expectation"
    case .unsupportedVersion: "unsupported_http_version"
    case .unsupportedTransferCoding: "unsupported_transfer_coding"
    case .unsupportedMethod: "unsupported_method"
    case .headTimeout, .bodyTimeout: "request_timeout"
    case .tooManyConnections, .tooManyBodies: "overloaded"
    case .plainTextOnTLSPort: "tls_required"
    }
  }

  public var title: String {
    switch self {
    case .malformed: "Malformed request"
    case .requestLineTooLong: "Request line too long"
    case .headersTooLarge, .tooManyHeaders: "Request headers too large"
    case .bodyTooLarge: "Request body too large"
    case .unknownExpectation: "Unknown expectation"
    case .unsupportedVersion: "HTTP version not supported"
    case .unsupportedTransferCoding: "Transfer coding not supported"
    case .unsupportedMethod: "Method not supported"
    case .headTimeout, .bodyTimeout: "Request timeout"
    case .tooManyConnections, .tooManyBodies: "Overloaded"
    case .plainTextOnTLSPort: "TLS required"
    }
  }

  public var detail: String {
    switch self {
    case .malformed(let how): "the request is malformed: \(how.rawValue)"
    case .requestLineTooLong(let bytesMax): "the request line is longer than \(bytesMax) bytes"
    case .headersTooLarge(let bytesMax): "the request's headers take more than \(bytesMax) bytes"
    case .tooManyHeaders(let countMax): "the request has more than \(countMax) header fields"
    case .bodyTooLarge(let bytesMax): "the request's body is larger than \(bytesMax) bytes"
    case .unknownExpectation: "the only expectation known is 100-continue"
    case .unsupportedVersion: "this server speaks HTTP/1.1, HTTP/1.0 and HTTP/2"
    case .unsupportedTransferCoding: "the only transfer coding known is chunked"
    case .unsupportedMethod: "this server is no proxy: it knows no CONNECT"
    case .headTimeout(let after): "the request's head was not complete after \(after)"
    case .bodyTimeout(let after): "the request's body made too little progress in \(after)"
    case .tooManyConnections(let countMax): "\(countMax) connections are open: try again later"
    case .tooManyBodies(let bytesMax):
      "request bodies in flight hold \(bytesMax) bytes: try again later"
    case .plainTextOnTLSPort: "this port speaks TLS: use https"
    }
  }

  /// The limit that was passed, in its own unit.
  public var limit: Int? {
    switch self {
    case .requestLineTooLong(let limit), .headersTooLarge(let limit), .tooManyHeaders(let limit),
      .bodyTooLarge(let limit), .tooManyConnections(let limit), .tooManyBodies(let limit):
      limit
    default: nil
    }
  }

  public var retryable: Bool { status == 503 || status == 408 }

  /// The plain rendering, for a server whose handlers supply none of their own.
  public static func defaultAnswer(_ problem: TransportProblem, requestID: String) -> Answer {
    var text = #"{"type":"about:blank","title":"\#(problem.title)","status":\#(problem.status),"#
    text += #""code":"\#(problem.code)","detail":"\#(problem.detail)","#
    text += #""retryable":\#(problem.retryable),"applied":"no","request_id":"\#(requestID)""#
    if let limit = problem.limit { text += #","limit":\#(limit)"# }
    text += "}\n"
    var headers = Headers([("content-type", "application/problem+json")])
    if problem.status == 503 { headers.fields.append(("retry-after", "1")) }
    return Answer(problem.status, headers, ByteBuffer(string: text))
  }
}
