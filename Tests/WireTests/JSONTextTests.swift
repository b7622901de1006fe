// Strings and numbers as hot paths write them.
import Testing

@testable import Wire

@Suite struct JSONTextTests {
  @Test(arguments: [
    ("", #""""#), ("plain", #""plain""#), ("a\"b\\c/", #""a\"b\\c/""#),
    ("\u{8}\t\n\u{c}\r\u{0}\u{1f}\u{7f}", "\"\\b\\t\\n\\f\\r\\u0000\\u001f\u{7f}\""),
    ("é水🌊\u{2028}", "\"é水🌊\u{2028}\""), ("0123456789abcdef\"", #""0123456789abcdef\"""#),
  ])
  func `strings are escaped where JSON asks for it`(text: String, json: String) {
    #expect(written { JSONText.writeEscapedString(text, into: &$0) } == json)
  }

  @Test func `what is not UTF-8 becomes replacement characters`() throws {
    for (bytes, meant) in [
      ([0xff], "\u{fffd}"), ([0x61, 0xc3], "a\u{fffd}"),
      ([0xed, 0xa0, 0x80], "\u{fffd}\u{fffd}\u{fffd}"),
      ([0xc3, 0xa9, 0x80, 0x62], "é\u{fffd}b"),
    ] as [([UInt8], String)] {
      let json = withBytes(of: bytes) { bytes in
        written { JSONText.writeEscapedString(bytes, into: &$0) }
      }
      #expect(json == "\"\(meant)\"")
    }
  }

  @Test(arguments: 0..<10 as Range<UInt64>) func `any bytes become JSON that means them`(
    seed: UInt64
  ) throws {
    var random = Random(seed: seed)
    for _ in 0..<300 {
      // Short and long ones: each takes another way through the writer.
      let bytes =
        random.oneIn(2) ? Array(random.jsonString().utf8) : random.bytes(random.below(400))
      let json = withBytes(of: bytes) { bytes in
        written { JSONText.writeEscapedString(bytes, into: &$0) }
      }
      try withBytes(of: json) { text in
        let range = try JSONScanner.value(text)
        #expect(range == 0..<text.count)
        let valid = String(validating: bytes, as: UTF8.self)
        if let valid { #expect(JSONScanner.text(of: text) == valid) }
      }
    }
  }

  @Test func `numbers are decimal, all of them`() {
    var numbers: [UInt64] = [0, .max, .max - 1]
    var power: UInt64 = 1
    for _ in 0..<20 {
      numbers += [power - 1, power, power + 1]
      power = power.multipliedReportingOverflow(by: 10).partialValue
    }
    var random = Random(seed: 1)
    for _ in 0..<1000 { numbers.append(random.anySize()) }
    for number in numbers {
      #expect(written { JSONText.writeDecimal(number, into: &$0) } == "\(number)")
      #expect(written { JSONText.writeDecimalString(number, into: &$0) } == "\"\(number)\"")
    }
  }
}
