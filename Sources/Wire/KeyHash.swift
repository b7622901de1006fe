// xxHash, 64 bits: which shard a key belongs to. The same key goes to the same shard for ever, so this never changes.

/// XXH64 as its specification has it (github.com/Cyan4973/xxHash, doc/xxhash_spec.md, version 0.2.0).
public enum KeyHash {
  private static let prime1: UInt64 = 0x9e37_79b1_85eb_ca87
  private static let prime2: UInt64 = 0xc2b2_ae3d_27d4_eb4f
  private static let prime3: UInt64 = 0x1656_67b1_9e37_79f9
  private static let prime4: UInt64 = 0x85eb_ca77_c2b2_ae63
  private static let prime5: UInt64 = 0x27d4_eb2f_1656_67c5

  public static func xxh64(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    var position = 0
    var hash: UInt64
    if bytes.count >= 32 {
      var lane1 = seed &+ prime1 &+ prime2
      var lane2 = seed &+ prime2
      var lane3 = seed
      var lane4 = seed &- prime1
      repeat {
        lane1 = round(lane1, bytes.little(UInt64.self, at: position))
        lane2 = round(lane2, bytes.little(UInt64.self, at: position + 8))
        lane3 = round(lane3, bytes.little(UInt64.self, at: position + 16))
        lane4 = round(lane4, bytes.little(UInt64.self, at: position + 24))
        position += 32
      } while position + 32 <= bytes.count
      hash = rotated(lane1, 1) &+ rotated(lane2, 7) &+ rotated(lane3, 12) &+ rotated(lane4, 18)
      for lane in [lane1, lane2, lane3, lane4] {
        hash = (hash ^ round(0, lane)) &* prime1 &+ prime4
      }
    } else {
      hash = seed &+ prime5
    }
    hash &+= UInt64(bytes.count)
    while position + 8 <= bytes.count {
      hash ^= round(0, bytes.little(UInt64.self, at: position))
      hash = rotated(hash, 27) &* prime1 &+ prime4
      position += 8
    }
    if position + 4 <= bytes.count {
      hash ^= UInt64(bytes.little(UInt32.self, at: position)) &* prime1
      hash = rotated(hash, 23) &* prime2 &+ prime3
      position += 4
    }
    while position < bytes.count {
      hash ^= UInt64(bytes[position]) &* prime5
      hash = rotated(hash, 11) &* prime1
      position += 1
    }
    return avalanche(hash)
  }

  public static func xxh64(_ key: String, seed: UInt64 = 0) -> UInt64 {
    var key = key
    return key.withUTF8 { xxh64(UnsafeRawBufferPointer($0), seed: seed) }
  }

  private static func round(_ lane: UInt64, _ input: UInt64) -> UInt64 {
    rotated(lane &+ input &* prime2, 31) &* prime1
  }

  private static func rotated(_ value: UInt64, _ bits: UInt64) -> UInt64 {
    value << bits | value >> (64 - bits)
  }

  private static func avalanche(_ hash: UInt64) -> UInt64 {
    var mixed = (hash ^ hash >> 33) &* prime2
    mixed = (mixed ^ mixed >> 29) &* prime3
    return mixed ^ mixed >> 32
  }
}
