// Checksums, key hashes and digests against published values.
import NIOCore
import Testing

@testable import Wire

private func hex(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}

@Suite struct HashTests {
  /// From the reference library, version 0.8.2: seed 0 and seed 2654435761.
  @Test(
    arguments: [
      ([], 0xef46_db37_51d8_e999, 0xac75_fda2_929b_17ef),
      (Array("a".utf8), 0xd24e_c4f1_a98c_6e5b, 0x393d_a8b7_8992_279b),
      (Array("abc".utf8), 0x44bc_2cf5_ad77_0999, 0x1318_df30_094a_85fd),
      (Array("u1".utf8), 0x06e8_417d_0fe6_613f, 0x06fa_2471_bf38_e7b4),
      (
        Array("Nobody inspects the spammish repetition".utf8), 0xfbce_a83c_8a37_8bf1,
        0x56db_22dd_5b05_1147
      ),
      (Array(0..<32), 0xcbf5_9c51_16ff_32b4, 0x7181_3547_74e0_d600),
      (Array(0..<63), 0xe26a_a9e2_a95f_8e4f, 0x8923_6204_5c7b_adfb),
      (Array(0..<100), 0x6ac1_e580_3216_6597, 0x8832_442a_8828_4f11),
    ] as [([UInt8], UInt64, UInt64)])
  func `keys hash as xxHash says`(key: [UInt8], plain: UInt64, seeded: UInt64) {
    withBytes(of: key) { key in
      #expect(KeyHash.xxh64(key) == plain)
      #expect(KeyHash.xxh64(key, seed: 2_654_435_761) == seeded)
    }
  }

  /// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
  @Test(
    arguments: [
      (Array(repeating: 0, count: 32), 0x8a91_36aa),
      (Array(repeating: 0xff, count: 32), 0x62a8_ab43),
      (Array(0..<32), 0x46dd_794e), (Array((0..<32).reversed()), 0x113f_db5c),
      (Array("123456789".utf8), 0xe306_9283), ([], 0),
    ] as [([UInt8], UInt32)])
  func `checksums are CRC32C`(bytes: [UInt8], checksum: UInt32) {
    #expect(withBytes(of: bytes) { CRC32C.checksum($0) } == checksum)
  }

  @Test func `checksums of any length agree with one bit at a time, whole and in parts`() {
    var random = Random(seed: 7)
    for length in Array(0..<600) + [1023, 3072, 3073, 4000, 10_000] {
      let bytes = random.bytes(length)
      var slow: UInt32 = ~0
      for byte in bytes {
        slow ^= UInt32(byte)
        for _ in 0..<8 { slow = slow >> 1 ^ (slow & 1 == 1 ? 0x82f6_3b78 : 0) }
      }
      let cut = random.below(length + 1)
      let head = withBytes(of: Array(bytes[..<cut])) { CRC32C.checksum($0) }
      let whole = withBytes(of: Array(bytes[cut...])) { CRC32C.checksum($0, continuing: head) }
      #expect(withBytes(of: bytes) { CRC32C.checksum($0) } == ~slow)
      #expect(whole == ~slow)
    }
  }

  @Test func `digests are SHA-256`() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    #expect(hex(withBytes(of: "") { Digest.sha256($0) }) == empty)
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    #expect(hex(withBytes(of: "abc") { Digest.sha256($0) }) == abc)
    let body = Digest.bodyDigest(of: ByteBuffer(string: "abc"))
    #expect(body == BodyDigest(high: 0xba78_16bf_8f01_cfea, low: 0x4141_40de_5dae_2223))
  }
}
