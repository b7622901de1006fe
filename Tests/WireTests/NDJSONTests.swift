// Lines of JSON: which are values, which are blank, which are wrong.
import NIOCore
import Testing

@testable import Wire

private func check(
  _ body: String, recordsMax: Int = 100, recordBytesMax: Int = 1000
) throws -> (values: [String], lines: NDJSONLines) {
  try withBytes(of: body) { bytes in
    let limits = NDJSONLimits(recordsMax: recordsMax, recordBytesMax: recordBytesMax)
    let lines = try JSONScanner.lines(bytes, limits: limits)
    var values: [String] = []
    lines.forEachRange { values.append(string(UnsafeRawBufferPointer(rebasing: bytes[$0]))) }
    return (values, lines)
  }
}

@Suite struct NDJSONTests {
  @Test func `values each followed by LF lie as a frame wants them`() throws {
    let (values, lines) = try check("1\n{\"a\":[2]}\n\"three\"\n")
    #expect(values == ["1", "{\"a\":[2]}", "\"three\""])
    #expect(lines.isVerbatim && lines.lengths == [1, 9, 7])
  }

  @Test func `the last LF may be missing`() throws {
    let (values, lines) = try check("1\n22")
    #expect(values == ["1", "22"])
    #expect(lines.isVerbatim)
  }

  @Test(arguments: [
    "1\r\n2\r\n", " 1\n2\n", "1 \n2\n", "1\n\n2\n", "\n1\n2", "1\n \t\r\n2\n\n", "1\n2\n\n",
  ])
  func `whitespace and blank lines are left out`(body: String) throws {
    let (values, lines) = try check(body)
    #expect(values == ["1", "2"])
    #expect(!lines.isVerbatim && !lines.hasCarriageReturns)
  }

  @Test func `CR between tokens is told, for it must be flattened`() throws {
    let (values, lines) = try check("[1,\r2]\n3\n")
    #expect(values == ["[1,\r2]", "3"])
    #expect(lines.hasCarriageReturns && !lines.isVerbatim)
  }

  @Test func `a body without values has none`() throws {
    for body in ["", "\n", " \r\n\t\n"] { #expect(try check(body).lines.count == 0) }
  }

  @Test(
    arguments: [
      ("1\n2\n{\n}\n", 3, 1, "the line ends within the value"),
      ("[1,\n2]\n", 1, 3, "the line ends within the value"),
      ("1\n\n \n{\"a\":\n1}", 4, 5, "the line ends within the value"),
      ("1\n{\"a\"\n:1}", 2, 4, "the line ends within the value"),
      ("1\n{\"a\":1,\n\"b\":1}", 2, 7, "the line ends within the value"),
      ("1\n2 3\n", 2, 2, "something follows the value"),
      ("1\r2\n", 1, 2, "something follows the value"),
      ("\n\n  nul\n", 3, 2, "only true, false and null are words"),
      ("1\n{\"a\":", 2, 5, "the text ends too early"),
      ("1\n\"a\nb\"\n", 2, 2, "a control character in a string must be escaped"),
    ] as [(String, Int, Int, String)])
  func `the wrong line is named`(body: String, line: Int, position: Int, reason: String) {
    #expect(throws: NDJSONFault.line(line, JSONFault(position: position, reason: reason))) {
      try check(body)
    }
  }

  @Test func `limits are named with the line that breaks them`() throws {
    #expect(try check("\"aaaaaaaa\"\n", recordBytesMax: 10).lines.count == 1)
    #expect(throws: NDJSONFault.recordTooLarge(line: 3, bytes: 10, bytesMax: 9)) {
      try check("1\n\n \"aaaaaaaa\" \n", recordBytesMax: 9)
    }
    #expect(try check("1\n2\n\n", recordsMax: 2).lines.count == 2)
    #expect(throws: NDJSONFault.tooManyRecords(recordsMax: 2)) {
      try check("1\n2\n3\n", recordsMax: 2)
    }
  }

  @Test(arguments: 0..<20 as Range<UInt64>) func `random lines come back`(seed: UInt64) throws {
    var random = Random(seed: seed)
    let values = (0..<random.below(60)).map { _ in random.json() }
    var body = ""
    for value in values {
      if random.oneIn(9) { body += random.element(of: ["\n", " \n", "\r\n"]) }
      body += random.element(of: ["", "", "", " "]) + value
      body += random.element(of: ["\n", "\n", "\n", "\r\n", " \n"])
    }
    let (read, lines) = try check(body)
    #expect(read == values)
    #expect(lines.isVerbatim == (body == values.map { $0 + "\n" }.joined()))
  }
}
