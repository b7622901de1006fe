// Base64 both ways, against RFC 4648 and against damage.
import Testing

@testable import Wire

@Suite struct Base64Tests {
  /// RFC 4648, section 10.
  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
    ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"), ("\u{3ff}\u{3fe}", "z7/Pvg=="),
  ])
  func `text is encoded and decoded`(text: String, base64: String) {
    #expect(withBytes(of: text) { Base64.encode($0) } == base64)
    #expect(Base64.decode(base64) == Array(text.utf8))
    let url = String(base64.filter { $0 != "=" }.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
    #expect(withBytes(of: text) { Base64.encode($0, .url) } == url)
    #expect(Base64.decode(url, .url) == Array(text.utf8))
  }

  @Test(arguments: [
    "Z", "Zg", "Zg=", "Zg===", "Z===", "====", "=", "Zm9v=", "Zm9v====", "Zh==", "Zm9=", "Zm8 ",
    "Zm 8=", "Zm\n8", "Zm-v", "Zm_v", "Zg==Zg==", "é===", "Zm9\0",
  ])
  func `what nobody encodes is refused`(text: String) { #expect(Base64.decode(text) == nil) }

  @Test(arguments: ["Z", "Zh", "Zm9", "Zg==", "Zm+v", "Zm/v", "Zm9vZ"])
  func `and so in URLs`(text: String) { #expect(Base64.decode(text, .url) == nil) }

  @Test func `any bytes come back`() {
    var random = Random(seed: 3)
    for length in 0..<200 {
      let bytes = random.bytes(length)
      for alphabet in [Base64.Alphabet.standard, .url] {
        let text = withBytes(of: bytes) { Base64.encode($0, alphabet) }
        #expect(Base64.decode(text, alphabet) == bytes)
      }
    }
  }
}
