// How the parser's tests feed it: whole, byte by byte, or cut where a seed says.
import NIOCore

@testable import Gateway

/// What one request came to, in a form that tests can compare.
struct ParsedRequest: Equatable {
  var line: String
  var authority: String
  var fields: [String]
  var keepsAlive: Bool
  var expectsContinue: Bool
  var body: String
  var isComplete: Bool
}

struct ParsedInput: Equatable {
  var requests: [ParsedRequest] = []
  var problem: TransportProblem?
  /// Bytes that were left for a request not yet begun or complete.
  var isMidRequest = false
}

/// Parses `input`, given in pieces that end at `cuts`.
func parse(
  _ input: [UInt8], cuts: [Int] = [], limits: TransportLimits = TransportLimits()
) -> ParsedInput {
  var parser = HTTP1Parser(limits: limits, isTLS: false)
  var result = ParsedInput()
  var held: [UInt8] = []
  var start = 0
  for end in cuts.filter({ $0 < input.count }).sorted() + [input.count] {
    held += input[start..<end]
    start = end
    var position = 0
    held.withUnsafeBytes { bytes in
      while take(&parser, bytes, &position, &result) {}
    }
    held.removeFirst(position)
  }
  result.isMidRequest = parser.isMidRequest || !held.isEmpty
  return result
}

private func take(
  _ parser: inout HTTP1Parser, _ bytes: UnsafeRawBufferPointer, _ position: inout Int,
  _ result: inout ParsedInput
) -> Bool {
  switch parser.next(in: bytes, at: &position) {
  case .needsMore: return false
  case .head(let head):
    let request = head.request
    result.requests.append(
      ParsedRequest(
        line: "\(request.method) \(request.path)" + (request.query.map { "?\($0)" } ?? ""),
        authority: request.authority,
        fields: request.headers.fields.map { "\($0.name): \($0.value)" },
        keepsAlive: head.keepsAlive, expectsContinue: head.expectsContinue, body: "",
        isComplete: false))
  case .body(let range):
    result.requests[result.requests.count - 1].body +=
      String(decoding: bytes[range], as: UTF8.self)
  case .end:
    result.requests[result.requests.count - 1].isComplete = true
  case .failed(let problem):
    result.problem = problem
    return false
  }
  return true
}

func parse(_ input: String, limits: TransportLimits = TransportLimits()) -> ParsedInput {
  parse(Array(input.utf8), limits: limits)
}
