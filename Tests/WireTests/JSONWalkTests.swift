// Pointers, members, elements and strings inside checked JSON.
import Testing

@testable import Wire

/// The example of RFC 6901, section 5.
private let document = """
  {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\\\j": 5, "k\\"l": 6,
   " ": 7, "m~n": 8}
  """

private func located(_ pointer: String, in text: String) throws -> String? {
  let pointer = try #require(JSONPointer(pointer))
  return withBytes(of: text) { bytes in
    JSONScanner.locate(pointer, in: bytes).map {
      string(UnsafeRawBufferPointer(rebasing: bytes[$0]))
    }
  }
}

@Suite struct JSONWalkTests {
  @Test(arguments: [
    ("", document), ("/foo", "[\"bar\", \"baz\"]"), ("/foo/0", "\"bar\""), ("/foo/1", "\"baz\""),
    ("/", "0"), ("/a~1b", "1"), ("/c%d", "2"), ("/e^f", "3"), ("/g|h", "4"), ("/i\\j", "5"),
    ("/k\"l", "6"), ("/ ", "7"), ("/m~0n", "8"),
  ])
  func `the pointers of RFC 6901 find their values`(pointer: String, value: String) throws {
    #expect(try located(pointer, in: document) == value)
  }

  @Test(arguments: [
    "/no", "/foo/2", "/foo/-", "/foo/01", "/foo/-1", "/foo/+1", "/foo/0/0", "/foo/bar", "//",
    "/foo/", "/foo/99999999999999999999",
  ])
  func `a pointer to nothing finds nothing`(pointer: String) throws {
    #expect(try located(pointer, in: document) == nil)
  }

  @Test(arguments: ["a", "a/b", "#/a", "/~", "/a~2", "/~x/b", "/a~"])
  func `what is no pointer is refused`(text: String) { #expect(JSONPointer(text) == nil) }

  @Test(arguments: ["", "/", "//", "/a", "/a~1b/m~0n/0", "/~01", "/é/🌊"])
  func `a pointer says itself`(text: String) throws {
    #expect(try #require(JSONPointer(text)).description == text)
  }

  @Test func `pointers grow by names and indices`() {
    #expect(JSONPointer().appending("a/b").appending(3).appending("~").description == "/a~1b/3/~0")
  }

  @Test func `escaped names match, brackets in strings do not count, the last of a name does`()
    throws
  {
    let text = #" {"x":"]}\"{[","a":{"\u0062":[{"c":"}"},2]},"a\/b":9,"d":1,"d":[2]} "#
    #expect(try located("/a/b/0/c", in: text) == "\"}\"")
    #expect(try located("/a/b/1", in: text) == "2")
    #expect(try located("/a~1b", in: text) == "9")
    #expect(try located("/d", in: text) == "[2]")
    #expect(try located("/x", in: text) == #""]}\"{[""#)
  }

  @Test func `members and elements come in order, duplicates too`() {
    var members: [(String, String)] = []
    let object = #" { "a" : 1 , "\u00e9\n":[ ] ,"a":{"b":2},"":"x,y" } "#
    withBytes(of: object) { bytes in
      let isObject = JSONScanner.forEachMember(in: bytes) { name, range in
        members.append((name, string(UnsafeRawBufferPointer(rebasing: bytes[range]))))
        return true
      }
      #expect(isObject)
      #expect(!JSONScanner.forEachElement(in: bytes) { _ in true })
    }
    #expect(members.map(\.0) == ["a", "é\n", "a", ""])
    #expect(members.map(\.1) == ["1", "[ ]", "{\"b\":2}", "\"x,y\""])
    var elements: [String] = []
    withBytes(of: "[ 1,\"]\" ,[2,3], {}\n]") { bytes in
      let isArray = JSONScanner.forEachElement(in: bytes) { range in
        elements.append(string(UnsafeRawBufferPointer(rebasing: bytes[range])))
        return true
      }
      #expect(isArray)
      #expect(!JSONScanner.forEachMember(in: bytes) { _, _ in true })
    }
    #expect(elements == ["1", "\"]\"", "[2,3]", "{}"])
  }

  @Test func `a walk stops when told and passes errors on`() {
    struct Stop: Error {}
    var seen = 0
    withBytes(of: "[1,2,3]") { bytes in
      JSONScanner.forEachElement(in: bytes) { _ in
        seen += 1
        return seen < 2
      }
    }
    #expect(seen == 2)
    #expect(throws: Stop.self) {
      try withBytes(of: "{\"a\":1}") { bytes in
        try JSONScanner.forEachMember(in: bytes) { _, _ throws(Stop) in throw Stop() }
      }
    }
    withBytes(of: "[]") { bytes in
      #expect(JSONScanner.forEachElement(in: bytes) { _ in preconditionFailure("no element") })
    }
  }

  @Test func `a string without escapes is lent, one with escapes is undone`() {
    withBytes(of: "\"plain é\"") { bytes in
      #expect(JSONScanner.plainContent(of: bytes).map(string) == "plain é")
    }
    withBytes(of: #""\"\\\/\b\f\n\r\t\u0041\ud83c\udf0a\u0000""#) { bytes in
      #expect(JSONScanner.plainContent(of: bytes) == nil)
      #expect(JSONScanner.text(of: bytes) == "\"\\/\u{8}\u{c}\n\r\tA🌊\0")
    }
    withBytes(of: "12") { #expect(JSONScanner.plainContent(of: $0) == nil) }
    withBytes(of: "\"\"") { #expect(JSONScanner.unescaped($0) == []) }
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `walking agrees with the tree, and survives bytes that were never checked`(seed: UInt64)
    throws
  {
    var random = Random(seed: seed)
    for _ in 0..<200 {
      let text = random.json()
      try compare(text)
      var bytes = Array(text.utf8)
      for _ in 0..<3 where !bytes.isEmpty {
        bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
      }
      withBytes(of: bytes) { bytes in
        for pointer in ["", "/0", "/a/0/key", "/key"] {
          _ = JSONScanner.locate(JSONPointer(pointer)!, in: bytes)
        }
        JSONScanner.forEachMember(in: bytes) { _, _ in true }
        JSONScanner.forEachElement(in: bytes) { _ in true }
      }
    }
  }

  private func compare(_ text: String) throws {
    guard let tree = try? JSONValue.parse(text) else { return }  // duplicate names
    try withBytes(of: text) { bytes in
      var values: [JSONValue] = []
      try JSONScanner.forEachElement(in: bytes) { range throws(JSONFault) in
        values.append(try JSONValue.parse(UnsafeRawBufferPointer(rebasing: bytes[range])))
        return true
      }
      if let elements = tree.asArray { #expect(values == elements) }
      for name in tree.asObject?.names ?? [] {
        let range = try #require(JSONScanner.locate(JSONPointer(tokens: [name]), in: bytes))
        let found = try JSONValue.parse(UnsafeRawBufferPointer(rebasing: bytes[range]))
        #expect(found == tree[name])
      }
    }
  }
}
