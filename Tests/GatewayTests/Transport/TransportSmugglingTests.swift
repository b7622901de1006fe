// What request smuggling is made of: each message that two servers might read differently, and what this one says.
//
// The cases are those of RFC 9112 §11, of PortSwigger's "HTTP Desync Attacks", of the http-garden and llhttp advisories
// (CVE-2021-22959, -22960, CVE-2022-32213 … -32215, -35256, CVE-2023-30589), and of nginx's and Node's own suites.
import Testing

@testable import Gateway

struct SmugglingCase: Sendable, CustomTestStringConvertible {
  var name: String
  var input: String
  var problem: TransportProblem
  var testDescription: String { name }

  init(_ name: String, _ input: String, _ how: Malformation) {
    self.init(name, input, .malformed(how))
  }

  init(_ name: String, _ input: String, _ problem: TransportProblem) {
    self.name = name
    self.input = input
    self.problem = problem
  }

  /// A POST with these header lines, and then `rest`.
  static func post(
    _ name: String, _ lines: String, _ rest: String = "", _ how: Malformation
  ) -> SmugglingCase {
    SmugglingCase(name, "POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n\(rest)", how)
  }

  /// A chunked POST with this body.
  static func chunked(_ name: String, _ body: String, _ how: Malformation) -> SmugglingCase {
    SmugglingCase(
      name, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(body)", how)
  }
}

enum Smuggling {
  static let cases = lengths + codings + chunks + lines + hosts + requestLines

  static let lengths: [SmugglingCase] = [
    .post("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nG", .bothLengths),
    .post(
      "TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 3", "1\r\nG\r\n0\r\n\r\n",
      .bothLengths),
    .post(
      "two lengths that agree", "Content-Length: 1\r\nContent-Length: 1", "a",
      .contentLengthRepeated),
    .post(
      "two lengths that differ", "Content-Length: 1\r\nContent-Length: 2", "ab",
      .contentLengthRepeated),
    .post("a list of lengths", "Content-Length: 1, 1", "a", .contentLength),
    .post("a signed length", "Content-Length: +1", "a", .contentLength),
    .post("a negative length", "Content-Length: -1", "", .contentLength),
    .post("a hexadecimal length", "Content-Length: 0x1", "a", .contentLength),
    .post("a length with a blank inside", "Content-Length: 1 1", "a", .contentLength),
    .post("an empty length", "Content-Length:", "", .contentLength),
    .post("a length with an underscore", "Content-Length: 1_0", "", .contentLength),
    .post("a length with a fraction", "Content-Length: 1.0", "a", .contentLength),
    .post("a length beyond 64 bits", "Content-Length: 18446744073709551617", "a", .contentLength),
    .post("a length in full-width digits", "Content-Length: １", "a", .contentLength),
    .post("a length with a form feed", "Content-Length: \u{0C}1", "a", .fieldValue),
    .post("a length hidden behind a vertical tab", "Content-Length:\u{0B}1", "a", .fieldValue),
    .post(
      "a length with a blank before the colon", "Content-Length : 1", "a", .whitespaceBeforeColon),
    .post(
      "a length with a tab before the colon", "Content-Length\t: 1", "a", .whitespaceBeforeColon),
  ]

  static let codings: [SmugglingCase] = [
    .post("an unknown coding alone", "Transfer-Encoding: xchunked", "", .transferEncoding),
    .post("identity", "Transfer-Encoding: identity", "", .transferEncoding),
    .post("chunked not last", "Transfer-Encoding: chunked, identity", "", .transferEncoding),
    .post("chunked and a comma", "Transfer-Encoding: chunked,", "", .transferEncoding),
    .post("a comma and chunked", "Transfer-Encoding: ,chunked", "", .transferEncoding),
    .post("chunked with a parameter", "Transfer-Encoding: chunked;q=1", "", .transferEncoding),
    .post("chunked in quotes", "Transfer-Encoding: \"chunked\"", "", .transferEncoding),
    .post(
      "two chunked headers", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "",
      .transferEncodingRepeated),
    .post(
      "chunked, then identity in another header",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "", .transferEncodingRepeated),
    .post("an empty coding", "Transfer-Encoding:", "", .transferEncoding),
    .post("a coding with NUL", "Transfer-Encoding: chunked\0", "", .fieldValue),
    .post("a coding behind a vertical tab", "Transfer-Encoding: \u{0B}chunked", "", .fieldValue),
    .post("a coding with a bare CR", "Transfer-Encoding:\rchunked", "", .fieldValue),
    .post("a coding folded", "Transfer-Encoding:\r\n chunked", "", .transferEncoding),
    .post(
      "a coding folded behind a name", "X: y\r\n Transfer-Encoding: chunked", "", .obsoleteFolding),
    .post(
      "a coding with a blank before the colon", "Transfer-Encoding : chunked", "",
      .whitespaceBeforeColon),
    .post("a name with a leading blank", " Transfer-Encoding: chunked", "", .obsoleteFolding),
    SmugglingCase(
      "a coding in HTTP/1.0",
      "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      .transferEncodingInHTTP10),
    SmugglingCase(
      "a coding that is known, but not here",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
      .unsupportedTransferCoding),
    .post(
      "a length beside an unknown coding", "Transfer-Encoding: gzip, chunked\r\nContent-Length: 1",
      "a", .bothLengths),
  ]

  static let chunks: [SmugglingCase] = [
    .chunked("an empty size", "\r\n", .chunkSize),
    .chunked("a size with 0x", "0x1\r\na\r\n0\r\n\r\n", .chunkSize),
    .chunked("a signed size", "+1\r\na\r\n0\r\n\r\n", .chunkSize),
    .chunked("a negative size", "-1\r\na\r\n0\r\n\r\n", .chunkSize),
    .chunked("a size that is no number", "G\r\na\r\n0\r\n\r\n", .chunkSize),
    .chunked("a size with an underscore", "1_0\r\n", .chunkSize),
    .chunked("a size beyond 32 bits", "100000000\r\n", .chunkSize),
    .chunked("a size that wraps at 64 bits", "10000000000000001\r\na\r\n", .chunkSize),
    .chunked("a size with a blank behind", "1 \r\na\r\n0\r\n\r\n", .chunkSize),
    .chunked("a size with a blank before", " 1\r\na\r\n0\r\n\r\n", .chunkSize),
    .chunked("a size with a tab before its extension", "1\t;a\r\na\r\n0\r\n\r\n", .chunkSize),
    .chunked("a size line that ends in LF", "1\na\r\n0\r\n\r\n", .bareLF),
    .chunked("a size line that ends in CR", "1\ra\r\n0\r\n\r\n", .chunkSize),
    .chunked("a size line with CR CR LF", "1\r\r\na\r\n0\r\n\r\n", .chunkSize),
    .chunked("an extension with a bare CR", "1;a\rb\r\na\r\n0\r\n\r\n", .chunkExtension),
    .chunked("an extension with a bare LF", "1;a\nb\r\na\r\n0\r\n\r\n", .bareLF),
    .chunked("an extension with NUL", "1;\0\r\na\r\n0\r\n\r\n", .chunkExtension),
    .chunked(
      "an extension of 600 bytes", "1;" + String(repeating: "a", count: 600) + "\r\na\r\n",
      .chunkExtension),
    .chunked(
      "many extensions",
      String(repeating: "1;" + String(repeating: "e", count: 300) + "\r\na\r\n", count: 60),
      .chunkExtension),
    .chunked("a chunk longer than its size", "1\r\nab\r\n0\r\n\r\n", .chunkEnd),
    .chunked("a chunk that ends in LF", "1\r\na\n0\r\n\r\n", .chunkEnd),
    .chunked("a chunk that ends in CR", "1\r\na\r0\r\n\r\n", .chunkEnd),
    .chunked("a last chunk that ends in LF", "0\n\r\n", .bareLF),
    .chunked("trailers that end in LF", "0\r\n\n", .bareLF),
    .chunked("a trailer that ends in LF", "0\r\nA: b\n\r\n", .bareLF),
    .chunked("a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", .obsoleteFolding),
    .chunked("a trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n", .whitespaceBeforeColon),
  ]

  static let lines: [SmugglingCase] = [
    SmugglingCase("a request line that ends in LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", .bareLF),
    SmugglingCase("a header that ends in LF", "GET / HTTP/1.1\r\nHost: a\n\r\n", .bareLF),
    SmugglingCase("a head that ends in LF", "GET / HTTP/1.1\r\nHost: a\r\n\n", .bareLF),
    SmugglingCase("a head of LF alone", "GET / HTTP/1.1\nHost: a\n\n", .bareLF),
    .post("a bare CR in a value", "X: a\rContent-Length: 1", "", .fieldValue),
    .post("CR CR LF behind a value", "X: a\r", "", .fieldValue),
    .post("NUL in a value", "X: a\0b", "", .fieldValue),
    .post("NUL in a name", "X\0: a", "", .fieldName),
    .post("DEL in a value", "X: a\u{7F}b", "", .fieldValue),
    .post("an escape in a value", "X: \u{1B}[2J", "", .fieldValue),
    .post("an empty name", ": a", "", .fieldName),
    .post("a line without a colon", "X", "", .fieldName),
    .post("a name with a slash", "X/Y: a", "", .fieldName),
    .post("a name that is not ASCII", "Ñ: a", "", .fieldName),
    .post("a name in brackets", "[X]: a", "", .fieldName),
    .post("a folded line", "X: a\r\n b", "", .obsoleteFolding),
    .post("a line folded by a tab", "X: a\r\n\tb", "", .obsoleteFolding),
    SmugglingCase(
      "a fold before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", .obsoleteFolding),
    SmugglingCase(
      "three empty lines first", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .emptyLines),
    SmugglingCase("a bare LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .bareLF),
  ]

  static let hosts: [SmugglingCase] = [
    SmugglingCase("no host", "GET / HTTP/1.1\r\n\r\n", .hostMissing),
    SmugglingCase("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", .hostRepeated),
    SmugglingCase(
      "the same host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .hostRepeated),
    SmugglingCase("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", .hostInvalid),
    SmugglingCase("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .hostInvalid),
    SmugglingCase("a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", .hostInvalid),
    SmugglingCase("a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", .hostInvalid),
    SmugglingCase("a host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .hostInvalid),
    SmugglingCase("a port that is no number", "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", .hostInvalid),
    SmugglingCase("two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", .hostInvalid),
    SmugglingCase("a port alone", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", .hostInvalid),
    SmugglingCase("an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", .hostInvalid),
    SmugglingCase("text behind a bracket", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", .hostInvalid),
    SmugglingCase(
      "a target for another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", .hostConflict),
    SmugglingCase(
      "an absolute target without host", "GET http://a/ HTTP/1.1\r\n\r\n", .hostMissing),
  ]

  static let requestLines: [SmugglingCase] = [
    SmugglingCase("two blanks behind the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("two blanks before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("a tab behind the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", .method),
    SmugglingCase("a blank before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", .method),
    SmugglingCase("a blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", .requestLine),
    SmugglingCase("no version", "GET /\r\nHost: a\r\n\r\n", .requestLine),
    SmugglingCase("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", .requestLine),
    SmugglingCase("a target that is blank", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", .requestLine),
    SmugglingCase("a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", .requestLine),
    SmugglingCase("a version with two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", .requestLine),
    SmugglingCase("a version without a dot", "GET / HTTP/11\r\nHost: a\r\n\r\n", .requestLine),
    SmugglingCase("another protocol", "GET / RTSP/1.1\r\nHost: a\r\n\r\n", .requestLine),
    SmugglingCase("version 2 in text", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", .unsupportedVersion),
    SmugglingCase("version 0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", .unsupportedVersion),
    SmugglingCase("a method with a slash", "G/T / HTTP/1.1\r\nHost: a\r\n\r\n", .method),
    SmugglingCase(
      "a method of 25 letters",
      String(repeating: "A", count: 25) + " / HTTP/1.1\r\nHost: a\r\n\r\n", .method),
    SmugglingCase("a header in the place of a request", "Host: a\r\n\r\n", .method),
    SmugglingCase("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("a bare CR in the target", "GET /\rX HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("a backslash in the target", "GET \\\\b\\ HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("a target that is not ASCII", "GET /é HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("a target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("an asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("a user in the target", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", .target),
    SmugglingCase("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", .unsupportedMethod),
    SmugglingCase("a TLS hello in clear", "\u{16}\u{03}\u{01}\r\n", .requestLine),
  ]
}

@Test(arguments: Smuggling.cases)
func `a message that two servers might read differently is refused`(_ attack: SmugglingCase) {
  // What follows must never be read as a request, whatever came before it.
  let input = attack.input + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
  let parsed = parse(input)
  #expect(parsed.problem == attack.problem)
  #expect(parsed.requests.allSatisfy { $0.line != "GET /smuggled" && !$0.isComplete })
}

@Test(arguments: Smuggling.cases)
func `a refusal does not depend on how the bytes are cut`(_ attack: SmugglingCase) {
  let bytes = Array(attack.input.utf8)
  let whole = parse(bytes)
  #expect(parse(bytes, cuts: Array(1..<bytes.count)) == whole)
  for cut in 1..<min(bytes.count, 400) { #expect(parse(bytes, cuts: [cut]) == whole) }
}
