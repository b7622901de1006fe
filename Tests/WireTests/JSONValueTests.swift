// The control plane's trees: reading by jansson, comparing, changing, writing.
import NIOCore
import Testing

@testable import Wire

@Suite struct JSONValueTests {
  @Test(
    arguments: [
      ("null", nil), ("true", true), ("[1,2.5,\"x\"]", [1, 2.5, "x"]),
      ("{\"b\":1,\"a\":{\"c\":[]}}", ["b": 1, "a": ["c": []]]),
      ("-9223372036854775808", -9_223_372_036_854_775_808),
      ("9223372036854775807", 9_223_372_036_854_775_807), ("\"\\u0000\\ud83c\\udf0a\"", "\0🌊"),
      (" 1 \n", 1), ("1e2", 100.0), ("{}", [:]), ("-0", 0),
    ] as [(String, JSONValue)])
  func `documents are read`(text: String, value: JSONValue) throws {
    #expect(try JSONValue.parse(text) == value)
  }

  @Test(arguments: [
    "", "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":1}}", "9223372036854775808", "1e400", "-1e400",
    "{\"\\u0000\":1}", "[1,]", "nul", "1 2", "\"\\ud800\"", "{'a':1}", "\u{feff}{}",
    "-9223372036854775809",
  ])
  func `what is no document of ours is refused`(text: String) {
    #expect(throws: JSONFault.self) { try JSONValue.parse(text) }
  }

  @Test func `faults say where`() {
    #expect(throws: JSONFault(position: 7, reason: "a member's name was expected")) {
      try JSONValue.parse("{\"a\":1,}")
    }
    let twice = #expect(throws: JSONFault.self) { try JSONValue.parse("{\"a\":1,\"a\":2}") }
    #expect(twice?.reason.contains("duplicate") == true && twice?.position == 10)
  }

  @Test(arguments: [
    "null", "{\"z\":1,\"a\":[true,false,null],\"\":\"\"}", "[0.1,1.5,-2.25]", "[1e300,2.5e-5]",
    "\"\\u0000\\u001F\\\"\\\\/é🌊\"", "[[],{}]", "0.30000000000000004", "-9223372036854775808",
  ])
  func `a document is written as it was read: compact, in order, with the fewest digits`(
    text: String
  )
    throws
  {
    #expect(try JSONValue.parse(text).text() == text)
  }

  @Test func `a document is appended to what is there`() {
    var buffer = ByteBuffer(string: "x")
    JSONValue.object(["a": 0.1, "b": "c"]).write(into: &buffer)
    #expect(String(buffer: buffer) == "x{\"a\":0.1,\"b\":\"c\"}")
  }

  @Test func `values are asked for what they are`() throws {
    let value: JSONValue = ["a": [1, "x", nil], "b": 2.5, "c": true]
    #expect(value["a"]?[0]?.asInteger == 1)
    #expect(value["a"]?[1]?.asString == "x")
    #expect(value["a"]?[2]?.isNull == true)
    #expect(value["a"]?[3] == nil && value["a"]?[-1] == nil && value["no"] == nil)
    #expect(value["b"]?.asReal == 2.5 && value["a"]?[0]?.asReal == 1)
    #expect(value["c"]?.asBool == true && value["c"]?.asInteger == nil)
    #expect(value[0] == nil && value["a"]?["a"] == nil)
    #expect(value.kind == "object" && value["b"]?.kind == "number" && JSONValue.null.kind == "null")
  }

  @Test func `objects keep their order, and do not compare it`() {
    var object: JSONObject = ["a": 1, "b": 2, "c": 3]
    object["b"] = nil
    object["d"] = 4
    object["a"] = "one"
    object["e"] = .some(nil)
    #expect(object.names == ["a", "c", "d", "e"])
    #expect(object["a"] == "one" && object["e"] == .some(.null) && object["b"] == nil)
    #expect(JSONValue.object(object) == ["e": nil, "d": 4, "c": 3, "a": "one"])
    #expect(JSONValue.object(object) != ["e": nil, "d": 4, "c": 3, "a": "two"])
    #expect(JSONValue.object(object) != ["d": 4, "c": 3, "a": "one"])
  }

  @Test(arguments: 0..<20 as Range<UInt64>) func `what is written reads back equal`(seed: UInt64)
    throws
  {
    var random = Random(seed: seed)
    for _ in 0..<100 {
      guard let value = try? JSONValue.parse(random.json()) else { continue }  // duplicate names
      let text = value.text()
      #expect(try JSONValue.parse(text) == value)
      #expect(try JSONValue.parse(text).text() == text)
      _ = try withBytes(of: text) { try JSONScanner.value($0) }
    }
    for _ in 0..<100 {
      let real = Double(bitPattern: random.next())
      guard real.isFinite else { continue }
      #expect(try JSONValue.parse(JSONValue.real(real).text()).asReal == real)
    }
  }
}
