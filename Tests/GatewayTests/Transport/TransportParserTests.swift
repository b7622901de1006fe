// What the HTTP/1.1 parser takes, and that it takes it alike however the bytes come.
import Testing
import Wire

@testable import Gateway

struct AcceptedCase: Sendable, CustomTestStringConvertible {
  var name: String
  var input: String
  var expected: [ParsedRequest]
  var testDescription: String { name }
}

private func request(
  _ line: String, _ authority: String = "a", _ fields: [String] = ["host: a"],
  keepsAlive: Bool = true, expectsContinue: Bool = false, body: String = ""
) -> ParsedRequest {
  ParsedRequest(
    line: line, authority: authority, fields: fields, keepsAlive: keepsAlive,
    expectsContinue: expectsContinue, body: body, isComplete: true)
}

private let chunkedFields = ["host: a", "transfer-encoding: chunked"]
private let chunkedHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

private let accepted: [AcceptedCase] = [
  AcceptedCase(
    name: "a plain GET", input: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", expected: [request("GET /")]),
  AcceptedCase(
    name: "a path with escapes and a query",
    input: "GET /v1/streams/a%20b/records?from=-1&x=[1]|{2} HTTP/1.1\r\nHost: a\r\n\r\n",
    expected: [request("GET /v1/streams/a%20b/records?from=-1&x=[1]|{2}")]),
  AcceptedCase(
    name: "an empty query", input: "GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
    expected: [request("GET /?")]),
  AcceptedCase(
    name: "an absolute target", input: "GET HTTP://A:80/b?c=/d HTTP/1.1\r\nHost: a:80\r\n\r\n",
    expected: [request("GET /b?c=/d", "A:80", ["host: a:80"])]),
  AcceptedCase(
    name: "an absolute target without a path",
    input: "GET https://a?q HTTP/1.1\r\nHost: a\r\n\r\n", expected: [request("GET /?q")]),
  AcceptedCase(
    name: "OPTIONS of everything", input: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    expected: [request("OPTIONS *")]),
  AcceptedCase(
    name: "an IPv6 host", input: "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    expected: [request("GET /", "[::1]:8080", ["host: [::1]:8080"])]),
  AcceptedCase(
    name: "names in any case, values with their blanks trimmed",
    input: "GET / HTTP/1.1\r\nHOST:a\r\nAccept: \t*/* \t\r\nX-Custom-Thing:\r\nX-Ü: 1".replacing(
      "\r\nX-Ü: 1", with: "") + "\r\nX-Name: Zoë\r\n\r\n",
    expected: [
      request(
        "GET /", "a", ["host: a", "accept: */*", "x-custom-thing: ", "x-name: Zoë"])
    ]),
  AcceptedCase(
    name: "a body by length", input: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    expected: [request("POST /", "a", ["host: a", "content-length: 3"], body: "abc")]),
  AcceptedCase(
    name: "an empty body by length",
    input: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    expected: [request("POST /", "a", ["host: a", "content-length: 0"])]),
  AcceptedCase(
    name: "chunks", input: chunkedHead + "3\r\nabc\r\n0002\r\nde\r\n0\r\n\r\n",
    expected: [request("POST /", "a", chunkedFields, body: "abcde")]),
  AcceptedCase(
    name: "chunk sizes in both cases",
    input: chunkedHead + "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
    expected: [request("POST /", "a", chunkedFields, body: "01234567890123456789")]),
  AcceptedCase(
    name: "chunk extensions", input: chunkedHead + "1;a=b\r\nx\r\n1;q=\"c;d\"\r\ny\r\n0;z\r\n\r\n",
    expected: [request("POST /", "a", chunkedFields, body: "xy")]),
  AcceptedCase(
    name: "trailers", input: chunkedHead + "1\r\nx\r\n0\r\nChecksum: 1\r\nA: b\r\n\r\n",
    expected: [request("POST /", "a", chunkedFields, body: "x")]),
  AcceptedCase(
    name: "a coding in upper case",
    input: "POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
    expected: [request("POST /", "a", ["host: a", "transfer-encoding: Chunked"])]),
  AcceptedCase(
    name: "a body that looks like a request",
    input: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    expected: [
      request(
        "POST /", "a", ["host: a", "content-length: 18"], body: "GET / HTTP/1.1\r\n\r\n")
    ]),
  AcceptedCase(
    name: "pipelined requests, one empty line between them",
    input: "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\n"
      + "Content-Length: 1\r\n\r\nxGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    expected: [
      request("GET /1"), request("POST /2", "a", ["host: a", "content-length: 1"], body: "x"),
      request("GET /3"),
    ]),
  AcceptedCase(
    name: "connection: close among other options",
    input: "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE , Close\r\n\r\n",
    expected: [request("GET /", "a", ["host: a", "connection: TE , Close"], keepsAlive: false)]),
  AcceptedCase(
    name: "HTTP/1.0 without host", input: "GET / HTTP/1.0\r\n\r\n",
    expected: [request("GET /", "", [], keepsAlive: false)]),
  AcceptedCase(
    name: "HTTP/1.0 kept alive", input: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    expected: [request("GET /", "", ["connection: keep-alive"])]),
  AcceptedCase(
    name: "an expectation with a body",
    input: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
    expected: [
      request(
        "POST /", "a", ["host: a", "expect: 100-Continue", "content-length: 1"],
        expectsContinue: true, body: "x")
    ]),
  AcceptedCase(
    name: "an expectation without a body",
    input: "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    expected: [request("GET /", "a", ["host: a", "expect: 100-continue"])]),
]

@Test(arguments: accepted)
func `a well-formed request is read as it was meant`(_ accepted: AcceptedCase) {
  let parsed = parse(accepted.input)
  #expect(parsed == ParsedInput(requests: accepted.expected))
}

@Test(arguments: accepted)
func `a well-formed request is read alike byte by byte and at any cut`(_ accepted: AcceptedCase) {
  let bytes = Array(accepted.input.utf8)
  let whole = parse(bytes)
  #expect(parse(bytes, cuts: Array(1..<bytes.count)) == whole)
  for cut in 1..<bytes.count { #expect(parse(bytes, cuts: [cut]) == whole) }
}

@Test(arguments: 0..<40)
func `mutated requests are read alike however they are cut`(seed: UInt64) {
  var random = Random(seed: seed)
  let inputs = accepted.map(\.input) + Smuggling.cases.map(\.input)
  let spice = Array("\r\n\0 \t:;,0aZ\u{7F}é%/?#HTTP/1.1".utf8)
  for _ in 0..<200 {
    var bytes: [UInt8] = []
    for _ in 0..<(1 + random.next() % 3) {
      bytes += Array(inputs[Int(random.next() % UInt64(inputs.count))].utf8)
    }
    for _ in 0..<(random.next() % 4) {
      let at = Int(random.next() % UInt64(bytes.count))
      let byte = spice[Int(random.next() % UInt64(spice.count))]
      switch random.next() % 3 {
      case 0: bytes[at] = byte
      case 1: bytes.insert(byte, at: at)
      default: bytes.remove(at: at)
      }
    }
    let whole = parse(bytes)
    let cuts = (0..<6).map { _ in Int(random.next() % UInt64(bytes.count + 1)) }
    #expect(parse(bytes, cuts: cuts) == whole, "\(String(decoding: bytes, as: UTF8.self))")
    #expect(parse(bytes, cuts: Array(1..<max(bytes.count, 2))) == whole)
  }
}

@Test func `an incomplete request waits for more`() {
  let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
  for end in 1..<text.utf8.count {
    let parsed = parse(Array(text.utf8.prefix(end)))
    #expect(parsed.problem == nil)
    #expect(parsed.isMidRequest)
    #expect(parsed.requests.allSatisfy { !$0.isComplete })
  }
}

@Test func `limits are named when they are passed, and hold to the byte`() {
  var limits = TransportLimits()
  limits.requestLineBytesMax = 64
  limits.headBytesMax = 128
  limits.headFieldsMax = 3
  limits.bodyBytesMax = 5
  func problem(_ input: String) -> TransportProblem? { parse(input, limits: limits).problem }

  func line(_ bytes: Int) -> String {
    "GET /" + String(repeating: "a", count: bytes - 16) + " HTTP/1.1\r\n"
  }
  #expect(line(64).utf8.count == 64)
  #expect(problem(line(64) + "Host: a\r\n\r\n") == nil)
  #expect(problem(line(65) + "Host: a\r\n\r\n") == .requestLineTooLong(bytesMax: 64))
  #expect(problem(String(repeating: "a", count: 65)) == .requestLineTooLong(bytesMax: 64))

  func head(_ bytes: Int) -> String {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX: "
    return head + String(repeating: "a", count: bytes - head.utf8.count - 4) + "\r\n\r\n"
  }
  #expect(head(128).utf8.count == 128)
  #expect(problem(head(128)) == nil)
  #expect(problem(head(129)) == .headersTooLarge(bytesMax: 128))

  let three = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n"
  #expect(problem(three + "\r\n") == nil)
  #expect(problem(three + "C: 3\r\n\r\n") == .tooManyHeaders(countMax: 3))

  let post = "POST / HTTP/1.1\r\nHost: a\r\n"
  #expect(problem(post + "Content-Length: 5\r\n\r\nabcde") == nil)
  #expect(problem(post + "Content-Length: 6\r\n\r\n") == .bodyTooLarge(bytesMax: 5))
  let chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
  #expect(problem(chunked + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") == nil)
  #expect(problem(chunked + "3\r\nabc\r\n3\r\n") == .bodyTooLarge(bytesMax: 5))
  let trailer = "T: " + String(repeating: "t", count: 130) + "\r\n"
  #expect(problem(chunked + "0\r\n" + trailer) == .headersTooLarge(bytesMax: 128))
  #expect(problem(chunked + "0\r\nA:1\r\nB:1\r\nC:1\r\nD:1\r\n") == .tooManyHeaders(countMax: 3))
}

@Test func `the character sets are those of the RFCs`() {
  let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
  for byte in UInt8(0)...255 {
    let character = Character(UnicodeScalar(byte))
    let isASCII = byte < 128
    #expect(
      FieldText.token.contains(byte)
        == (isASCII && (letters + "!#$%&'*+-.^_`|~").contains(character)))
    #expect(
      FieldText.target.contains(byte)
        == (byte > 32 && byte < 127 && !"\"<>\\#".contains(character)))
    #expect(
      FieldText.host.contains(byte) == (isASCII && (letters + "-._~[]:%").contains(character)))
  }
}

@Test func `a value's bytes are checked at every place and length`() {
  for count in 1..<40 {
    var bytes = [UInt8](repeating: 65, count: count)
    for at in 0..<count {
      for bad in [UInt8(0), 10, 13, 31, 127] {
        bytes[at] = bad
        #expect(!bytes.withUnsafeBytes { FieldText.isValue($0).isValid })
      }
      for good in [UInt8(9), 32, 126, 128, 255] {
        bytes[at] = good
        let check = bytes.withUnsafeBytes { FieldText.isValue($0) }
        #expect(check.isValid)
        #expect(check.isASCII == (good < 128))
      }
      bytes[at] = 65
    }
  }
}
