// What the transport refuses before a handler exists, with its facts. How that reads is Problem.swift's affair.
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
  case tooManyAnswers(bytesMax: Int)
  case plainTextOnTLSPort
}
