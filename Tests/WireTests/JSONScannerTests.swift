// The scanner against RFC 8259: what it takes, what it refuses and where.
import Testing

@testable import Wire

/// Accepted, each a whole text.
private let good = [
  "0", "-0", "1", "-1", "10", "123456789012345678901234567890", "0.0", "-0.5", "1e1", "1E+1",
  "1e-1", "0e0", "1.5e300", "1e400", "true", "false", "null", "\"\"", "\"a\"", "[]", "{}",
  "[ ]", "{ }", "[1]", "[1,2]", "[[],[]]", "{\"\":0}", "{\"a\":{\"b\":[null]}}",
  "{\"a\":1,\"a\":2}", "\"\\u0000\"", "{\"\\u0000\":1}", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20aC\"",
  "\"\\ud83c\\udf0a\"", "\"\\uD83C\\uDF0A\"", "\"\u{7f}\"", "\"\u{80}\u{7ff}\u{800}\u{ffff}\"",
  "\"\u{10000}\u{10ffff}\"", "\"\u{fffe}\u{feff}\"", "\"\u{2028}\u{2029}\"", " 1 ", "\t\r\n1\n",
  "[\"012345678901234567890123456789\",1234567890123,12345678]", "\"\\\\\"", "\"[{\"",
]

/// Refused, with the place of the fault.
private let bad: [(text: String, position: Int)] = [
  ("", 0), (" ", 1), ("\n", 1), ("nul", 0), ("tru", 0), ("truE", 0), ("True", 0), ("fals", 0),
  ("nulll", 4), ("undefined", 0), ("NaN", 0), ("Infinity", 0), ("-Infinity", 1), ("-", 1),
  ("+1", 0), ("01", 2), ("-01", 3), ("00", 2), ("1.", 2), (".5", 0), ("1.e1", 2), ("1e", 2),
  ("1e+", 3), ("1e1.5", 3), ("0x1", 1), ("1_000", 1), ("1 2", 2), ("--1", 1), ("1a", 1),
  ("\"", 1), ("\"a", 2), ("\"\\", 2), ("\"\\\"", 3), ("\"\\a\"", 1), ("\"\\u12\"", 1),
  ("\"\\u12g4\"", 1), ("\"\\U1234\"", 1), ("\"\\x41\"", 1), ("\"\t\"", 1), ("\"a\nb\"", 2),
  ("\"\u{1f}\"", 1), ("\"\u{0}\"", 1), ("\"\\ud800\"", 1), ("\"\\udc00\"", 1),
  ("\"\\ud800\\ud800\"", 1), ("\"\\ud800x\"", 1), ("\"\\ud83c\\u0041\"", 1), ("'a'", 0),
  ("[", 1), ("]", 0), ("[1", 2), ("[1,", 3), ("[1,]", 3), ("[,1]", 1), ("[1,,2]", 3),
  ("[1 2]", 3), ("[1}", 2), ("[1]]", 3), ("[\"a\":1]", 4), ("{", 1), ("}", 0), ("{]", 1),
  ("{\"a\"", 4), ("{\"a\":", 5), ("{\"a\":}", 5), ("{\"a\":1", 6), ("{\"a\":1,", 7),
  ("{\"a\":1,}", 7), ("{\"a\" 1}", 5), ("{\"a\",1}", 4), ("{a:1}", 1), ("{1:1}", 1),
  ("{,}", 1), ("{\"a\":1 \"b\":2}", 7), ("{\"a\":1]", 6), ("{\"a\"::1}", 5), ("1//c", 1),
  ("/*c*/1", 0), ("[1]x", 3), ("\u{feff}1", 0), ("\u{a0}1", 0), ("\u{0c}1", 0), ("1\u{0}", 1),
  ("[1,\u{0b}2]", 3), ("{\"a\":tru}", 5), ("[nul]", 1), ("[fals\u{65}x]", 6),
]

@Suite struct JSONScannerTests {
  @Test(arguments: good) func `JSON is taken`(text: String) throws {
    let extent = try withBytes(of: text) { try JSONScanner.extent($0) }
    let spaces: Set<Character> = [" ", "\t", "\r", "\n", "\r\n"]
    let trimmed = text.drop { spaces.contains($0) }
    let leading = text.utf8.count - trimmed.utf8.count
    #expect(extent.range.lowerBound == leading)
    #expect(
      !spaces.contains(Character(Unicode.Scalar(Array(text.utf8)[extent.range.upperBound - 1]))))
  }

  @Test(arguments: bad) func `anything else is refused, with its place`(text: String, position: Int)
  {
    let fault = #expect(throws: JSONFault.self) {
      try withBytes(of: text) { try JSONScanner.value($0) }
    }
    #expect(fault?.position == position, "\(text): \(fault?.description ?? "")")
  }

  @Test(arguments: good) func `a text cut off anywhere is refused`(text: String) {
    // A shorter number is a number, and an empty rest of whitespace says nothing.
    let bytes = Array(text.utf8)
    guard let last = bytes.last, "]}\"e".utf8.contains(last) || text == "null" else { return }
    for end in 0..<bytes.count {
      #expect(throws: JSONFault.self) {
        try withBytes(of: Array(bytes[..<end])) { try JSONScanner.value($0) }
      }
    }
  }

  /// Not UTF-8: where the fault is, within a string after its quote.
  @Test(
    arguments: [
      [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x41], [0xe0, 0x80, 0x80],
      [0xe0, 0x9f, 0xbf], [0xe2, 0x82], [0xe2, 0x28, 0xa1], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf],
      [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x8f, 0xbf, 0xbf], [0xf0, 0x9f, 0x8c],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf5, 0x80, 0x80, 0x80], [0xff], [0xfe, 0xff], [0xf8, 0x88, 0x80, 0x80, 0x80],
    ] as [[UInt8]])
  func `bad UTF-8 is refused wherever it stands`(sequence: [UInt8]) {
    for before in 0..<40 {
      for after in [0, 1, 20] {
        let text =
          [UInt8(ascii: "\"")] + [UInt8](repeating: 0x61, count: before) + sequence
          + [UInt8](repeating: 0x61, count: after) + [UInt8(ascii: "\"")]
        let fault = #expect(throws: JSONFault.self) {
          try withBytes(of: text) { try JSONScanner.value($0) }
        }
        #expect(fault == JSONFault(position: 1 + before, reason: "not UTF-8"))
      }
    }
  }

  @Test func `every scalar is taken in a string, as itself and escaped`() throws {
    for value in stride(from: UInt32(0x20), through: 0x10ffff, by: 37) {
      guard let scalar = Unicode.Scalar(value), scalar != "\"", scalar != "\\" else { continue }
      let escaped = Character(scalar).utf16.map { unit in
        let hex = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      }
      for text in ["\"\(scalar)\"", "\"" + escaped.joined() + "\""] {
        let end = try withBytes(of: text) { try JSONScanner.value($0).upperBound }
        #expect(end == text.utf8.count)
        let meant = withBytes(of: text) { JSONScanner.text(of: $0) }
        #expect(meant == String(Character(scalar)))
      }
    }
  }

  @Test func `a special byte is found at every place of a block`() throws {
    for length in 0..<70 {
      let text = "\"" + String(repeating: "x", count: length) + "\""
      #expect(try withBytes(of: text) { try JSONScanner.value($0) } == 0..<(length + 2))
      for place in 0..<length {
        for byte in [UInt8(0), 0x0a, 0x1f, 0x22, 0x80] {
          var bytes = Array(text.utf8)
          bytes[1 + place] = byte
          let fault = #expect(throws: JSONFault.self) {
            try withBytes(of: bytes) { try JSONScanner.value($0) }
          }
          // A quote ends the string, and what follows is the fault.
          #expect(fault?.position == 1 + place + (byte == 0x22 ? 1 : 0))
        }
      }
    }
  }

  @Test func `containers nest 512 deep and no deeper`() throws {
    func nested(_ depth: Int, _ open: String, _ close: String) -> String {
      String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
      let each = open.count(where: { "[{".contains($0) })
      let text = nested(512 / each, open, close)
      #expect(try withBytes(of: text) { try JSONScanner.value($0) } == 0..<text.utf8.count)
      let deeper = nested(512 / each + 1, open, close)
      let fault = #expect(throws: JSONFault.self) {
        try withBytes(of: deeper) { try JSONScanner.value($0) }
      }
      #expect(fault?.position == open.utf8.count * (512 / each))
    }
    // Kinds of containers are remembered beyond 64.
    let mixed = nested(60, "[", "]")
    for wrong in ["}", "\"", "1"] {
      let broken = String(mixed.dropLast(10)) + wrong + "]]]]]]]]]"
      #expect(throws: JSONFault.self) { try withBytes(of: broken) { try JSONScanner.value($0) } }
    }
    for depth in 60..<140 {
      var text = Array((nested(depth, "{\"a\":[", "]}")).utf8)
      _ = try withBytes(of: text) { try JSONScanner.value($0) }
      let place = text.count - 1 - depth
      text[place] = text[place] == UInt8(ascii: "]") ? UInt8(ascii: "}") : UInt8(ascii: "]")
      #expect(throws: JSONFault.self) { try withBytes(of: text) { try JSONScanner.value($0) } }
    }
  }

  @Test func `line breaks between tokens are reported and flattened, those around are not`() throws
  {
    let text = "\r\n{\"a\" :\n[1,\r\n2 ]}\n"
    try withBytes(of: text) { bytes in
      let extent = try JSONScanner.extent(bytes)
      #expect(extent == JSONExtent(range: 2..<18, hasLineBreaks: true))
      let value = UnsafeRawBufferPointer(rebasing: bytes[extent.range])
      #expect(String(buffer: JSONScanner.flattened(value)) == "{\"a\" : [1,  2 ]}")
    }
    let single = try withBytes(of: "\n [1, 2] \r\n") { try JSONScanner.extent($0) }
    #expect(single == JSONExtent(range: 2..<8, hasLineBreaks: false))
  }

  @Test(arguments: 0..<20 as Range<UInt64>) func `random JSON is taken, and is one text only`(
    seed: UInt64
  ) throws {
    var random = Random(seed: seed)
    for _ in 0..<200 {
      let text = random.json()
      let range = try withBytes(of: text) { try JSONScanner.value($0) }
      #expect(range == 0..<text.utf8.count)
      for tail in [",", "]", "}", "1", "\"", ":"] where !(tail == "1" && text.last!.isNumber) {
        #expect(throws: JSONFault.self) {
          try withBytes(of: text + tail) { try JSONScanner.value($0) }
        }
      }
    }
  }
}
