// Authenticated encryption and key derivation against published values, and against every change.
import Testing

@testable import Wire

/// A case of the specification of GCM (McGrew, Viega, 2004, appendix B, test cases 13 to 16): those of AES-256 with
/// nonces of 96 bits, which NIST SP 800-38D took over.
private struct Sealing: Sendable {
  let key: String
  let nonce: AES256GCM.Nonce
  let text: String
  var associated = ""
  let sealed: String
  let tag: String
}

private let zeros = String(repeating: "0", count: 64)
private let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
private let nonce = AES256GCM.Nonce(high: 0xcafe_babe, counter: 0xface_dbad_deca_f888)
private let text =
  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
  + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
private let sealed =
  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
  + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"

private let sealings = [
  Sealing(
    key: zeros, nonce: AES256GCM.Nonce(high: 0, counter: 0), text: "", sealed: "",
    tag: "530f8afbc74536b9a963b4f1c4cb738b"),
  Sealing(
    key: zeros, nonce: AES256GCM.Nonce(high: 0, counter: 0),
    text: "00000000000000000000000000000000", sealed: "cea7403d4d606b6e074ec5d3baf39d18",
    tag: "d0d1c8a799996bf0265b98b5d48ab919"),
  Sealing(
    key: key, nonce: nonce, text: text, sealed: sealed, tag: "b094dac5d93471bdec1a502270e3cc6c"),
  Sealing(
    key: key, nonce: nonce, text: String(text.prefix(120)),
    associated: "feedfacedeadbeeffeedfacedeadbeefabaddad2", sealed: String(sealed.prefix(120)),
    tag: "76fc6ece0f4e1768cddf8853bb2d551b"),
]

@Suite struct SealingTests {
  @Test(arguments: sealings.indices)
  func `what is sealed is what the standard says, however often and however divided`(
    index: Int
  ) {
    let sealing = sealings[index]
    let sealer = AES256GCM.Sealer(key: bytes(sealing.key))
    let associated = bytes(sealing.associated)
    for cut in [0, associated.count / 2, associated.count, 0] {
      let (body, tag) = seal(sealer, sealing.nonce, associated, cut: cut, bytes(sealing.text))
      #expect(hex(body) == sealing.sealed)
      #expect(hex(tag) == sealing.tag)
    }
  }

  @Test(arguments: sealings.indices) func `what was sealed is opened`(index: Int) {
    let sealing = sealings[index]
    let opener = AES256GCM.Opener(key: bytes(sealing.key))
    for _ in 0..<2 {
      let found = open(
        opener, sealing.nonce, bytes(sealing.associated), bytes(sealing.sealed), bytes(sealing.tag))
      #expect(found.map(hex) == sealing.text)
    }
  }

  @Test func `nothing else is opened, and nothing of it is left`() {
    let sealing = sealings[3]
    let opener = AES256GCM.Opener(key: bytes(sealing.key))
    let (body, tag) = (bytes(sealing.sealed), bytes(sealing.tag))
    let associated = bytes(sealing.associated)
    for index in 0..<(body.count + tag.count + associated.count) * 8 {
      var parts = body + tag + associated
      parts[index / 8] ^= 1 << UInt8(index % 8)
      var changed = Array(parts[..<body.count])
      let isOpened = changed.withUnsafeMutableBytes { changed in
        parts.withUnsafeBytes { parts in
          opener.open(
            sealing.nonce,
            head: UnsafeRawBufferPointer(rebasing: parts[(body.count + tag.count)...]),
            rest: UnsafeRawBufferPointer(start: nil, count: 0), text: changed,
            tag: UnsafeRawBufferPointer(rebasing: parts[body.count..<body.count + tag.count]))
        }
      }
      #expect(!isOpened && changed.allSatisfy { $0 == 0 })
    }
    #expect(open(opener, AES256GCM.Nonce(high: 0, counter: 1), associated, body, tag) == nil)
    #expect(open(opener, sealing.nonce, associated, body, Array(tag.dropLast())) == nil)
    #expect(open(opener, sealing.nonce, associated, body, []) == nil)
    // After all these failures the key still opens what is right.
    #expect(open(opener, sealing.nonce, associated, body, tag).map(hex) == sealing.text)
  }

  /// RFC 5869, appendix A, cases 1 to 3.
  @Test(
    arguments: [
      (
        Array(repeating: 0x0b, count: 22), Array(0x00...0x0c), Array(0xf0...0xf9),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
      ),
      (
        Array(0x00...0x4f), Array(0x60...0xaf), Array(0xb0...0xff),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
          + "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
      ),
      (
        Array(repeating: 0x0b, count: 22), [], [],
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
      ),
    ] as [([UInt8], [UInt8], [UInt8], String)])
  func `a derived key is what the RFC says`(
    secret: [UInt8], salt: [UInt8], info: [UInt8], expected: String
  ) {
    for count in [1, 32, expected.utf8.count / 2] {
      let found = KeyDerivation.hkdfSHA256(secret: secret, salt: salt, info: info, count: count)
      #expect(hex(found) == expected.prefix(2 * count))
    }
  }

  @Test func `bytes of chance differ`() {
    let drawn = (0..<100).map { _ in SecretBytes.generate(count: 8) }
    #expect(Set(drawn).count == 100 && drawn.allSatisfy { $0.count == 8 })
    #expect(SecretBytes.generate(count: 0).isEmpty)
  }
}

private func seal(
  _ sealer: AES256GCM.Sealer, _ nonce: AES256GCM.Nonce, _ associated: [UInt8], cut: Int,
  _ text: [UInt8]
) -> (body: [UInt8], tag: [UInt8]) {
  var (body, tag) = (text, [UInt8](repeating: 0, count: AES256GCM.tagBytes))
  associated.withUnsafeBytes { associated in
    body.withUnsafeMutableBytes { body in
      tag.withUnsafeMutableBytes { tag in
        sealer.seal(
          nonce, head: UnsafeRawBufferPointer(rebasing: associated[..<cut]),
          rest: UnsafeRawBufferPointer(rebasing: associated[cut...]), text: body, tag: tag)
      }
    }
  }
  return (body, tag)
}

private func open(
  _ opener: AES256GCM.Opener, _ nonce: AES256GCM.Nonce, _ associated: [UInt8], _ body: [UInt8],
  _ tag: [UInt8]
) -> [UInt8]? {
  var text = body
  let isOpened = text.withUnsafeMutableBytes { text in
    associated.withUnsafeBytes { associated in
      tag.withUnsafeBytes { tag in
        opener.open(
          nonce, head: associated, rest: UnsafeRawBufferPointer(start: nil, count: 0), text: text,
          tag: tag)
      }
    }
  }
  return isOpened ? text : nil
}

private func hex(_ bytes: [UInt8]) -> String {
  bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}

private func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.compactMap { $0.hexDigitValue.map(UInt8.init) }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
