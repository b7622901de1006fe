// HMAC against published values, and the secrets of webhooks.
import Testing

@testable import Wire

private func hex(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}

@Suite struct SigningTests {
  /// RFC 4231, cases 1, 2, 6 and 7.
  @Test(
    arguments: [
      (
        Array(repeating: 0x0b, count: 20), "Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
      ),
      (
        Array("Jefe".utf8), "what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
      ),
      (
        Array(repeating: 0xaa, count: 131),
        "Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
      ),
      (
        Array(repeating: 0xaa, count: 131),
        "This is a test using a larger than block-size key and a larger than block-size data. "
          + "The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
      ),
    ] as [([UInt8], String, String)])
  func `a code is what the RFC says, however its text is divided`(
    key: [UInt8], text: String, code: String
  ) {
    let key = HMACKey(key)
    let bytes = Array(text.utf8)
    for cut in [0, 1, bytes.count / 2, bytes.count] {
      bytes.withUnsafeBytes { bytes in
        let found = key.code(
          UnsafeRawBufferPointer(rebasing: bytes[..<cut]),
          UnsafeRawBufferPointer(rebasing: bytes[cut...]))
        #expect(hex(found) == code)
      }
    }
  }

  @Test func `a secret is read back from its text`() {
    let secret = SigningSecret.generate()
    #expect(secret.bytes.count == 32)
    #expect(SigningSecret(secret.text) == secret)
    #expect(SigningSecret.generate() != secret)
  }

  @Test(arguments: [
    "", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==",
    "whsec_" + String(repeating: "AAAA", count: 22),
  ])
  func `anything else is no secret`(text: String) {
    #expect(SigningSecret(text) == nil)
  }

  @Test func `a secret does not show when it is printed`() {
    let secret = SigningSecret.generate()
    var dumped = ""
    dump(secret, to: &dumped)
    for text in ["\(secret)", String(reflecting: secret), dumped] {
      #expect(text.contains("whsec_…"))
      #expect(text.utf8.count < 16)
    }
  }
}
