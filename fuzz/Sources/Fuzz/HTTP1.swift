// HTTP/1.1, the parser and the whole connection: however the bytes are cut, the same requests and the same answers.
import NIOCore

@testable import Gateway

/// The first byte says how the rest is cut into pieces; limits are small, so that short inputs reach them.
func fuzzHTTP1(_ bytes: UnsafeRawBufferPointer) -> CInt {
  guard let first = bytes.first else { return 0 }
  let input = Array(bytes.dropFirst())
  let pieces = cut(input, seed: first)
  let whole = parse([input])
  check(parse(pieces) == whole, "what is parsed depends on how the bytes are cut")
  check(parse(input.map { [$0] }) == whole, "what is parsed depends on how single bytes are cut")
  // A connection that begins so is HTTP/2, which does not promise the same bytes: frames go out when there is time
  // for them, and a WINDOW_UPDATE that waits when the connection ends is not sent any more. Target http2 sees to it.
  if input.starts(with: http2Preface) { return 0 }

  let together = Conversation(limits: smallLimits)
  let apart = Conversation(limits: smallLimits)
  // The two may have been made in different seconds.
  if together.date != apart.date { return 0 }
  let answer = together.run([input])
  check(apart.run(pieces) == answer, "what is answered depends on how the bytes are cut")
  check(together.seen == apart.seen, "what is asked depends on how the bytes are cut")
  check(together.seen.count <= whole.requests, "a request was made of nothing")
  return 0
}

let smallLimits = {
  var limits = TransportLimits()
  limits.requestLineBytesMax = 256
  limits.headBytesMax = 1024
  limits.headFieldsMax = 16
  limits.bodyBytesMax = 512
  limits.pipelinedMax = 4
  return limits
}()

/// Pieces of one byte to a few dozen.
func cut(_ input: [UInt8], seed: UInt8) -> [[UInt8]] {
  var state = UInt32(seed) &* 2_654_435_761 | 1
  var pieces: [[UInt8]] = []
  var start = 0
  while start < input.count {
    state ^= state << 13
    state ^= state >> 17
    state ^= state << 5
    let end = min(input.count, start + 1 + Int(state >> 8) % (1 << Int(seed % 7)))
    pieces.append(Array(input[start..<end]))
    start = end
  }
  return pieces
}

private struct Parsed: Equatable {
  var requests = 0
  /// Bytes: where a body is cut, a character may be.
  var trace: [UInt8] = []
  var isMidRequest = false

  mutating func note(_ text: String) { trace += Array(text.utf8) }
}

/// Feeds a parser as a session does: what it has not consumed is given again with what came since.
private func parse(_ pieces: [[UInt8]]) -> Parsed {
  var parser = HTTP1Parser(limits: smallLimits, isTLS: false)
  var parsed = Parsed()
  var held: [UInt8] = []
  var bodyBytes = 0
  feeding: for piece in pieces {
    held += piece
    var position = 0
    var steps = 0
    while true {
      let before = position
      let event = held.withUnsafeBytes { parser.next(in: $0, at: &position) }
      check(position >= before && position <= held.count, "more was consumed than there is")
      steps += 1
      check(steps <= 2 * held.count + 4, "it makes no progress")
      if case .needsMore = event { break }
      switch event {
      case .needsMore: break
      case .head(let head):
        bodyBytes = 0
        parsed.requests += 1
        let request = head.request
        check(request.headers.fields.count <= smallLimits.headFieldsMax, "too many headers")
        parsed.note("\(request.method) \(request.path) \(request.query ?? "-") ")
        parsed.note("\(request.authority) \(head.framing) \(head.keepsAlive)")
        for field in request.headers.fields { parsed.note("\n\(field.name): \(field.value)") }
        parsed.note("\n")
      case .body(let range):
        check(range.upperBound <= held.count && !range.isEmpty, "a body outside its bytes")
        bodyBytes += range.count
        check(bodyBytes <= smallLimits.bodyBytesMax, "a body over the limit")
        parsed.trace += held[range]
      case .end: parsed.note("\nend\n")
      case .failed(let problem):
        parsed.note("\(problem)")
        guard case .failed(problem) = held.withUnsafeBytes({ parser.next(in: $0, at: &position) })
        else { fatalError("a parser that failed goes on") }
        return parsed
      }
    }
    held.removeFirst(position)
    check(held.count <= smallLimits.headBytesMax + 2, "more is held than a head may have")
  }
  parsed.isMidRequest = parser.isMidRequest || !held.isEmpty
  return parsed
}
