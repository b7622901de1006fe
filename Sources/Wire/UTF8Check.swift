// Strict UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF (Unicode 15, table 3-7).

enum UTF8Check {
  /// The bytes of the well-formed sequence beyond ASCII at the start of `bytes`, of which there are `count` (at
  /// least one); 0 if there is none.
  @inline(always)
  static func sequence(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    func continues(_ place: Int) -> Bool { bytes[place] & 0xc0 == 0x80 }
    let lead = bytes[0]
    if lead < 0xe0 { return lead >= 0xc2 && count >= 2 && continues(1) ? 2 : 0 }
    if lead < 0xf0 {
      guard count >= 3, continues(1), continues(2) else { return 0 }
      // E0 80…9F would be overlong, ED A0…BF are surrogates.
      if lead == 0xe0, bytes[1] < 0xa0 { return 0 }
      if lead == 0xed, bytes[1] >= 0xa0 { return 0 }
      return 3
    }
    guard lead < 0xf5, count >= 4, continues(1), continues(2), continues(3) else { return 0 }
    // F0 80…8F would be overlong, F4 90… is beyond U+10FFFF.
    if lead == 0xf0, bytes[1] < 0x90 { return 0 }
    if lead == 0xf4, bytes[1] >= 0x90 { return 0 }
    return 4
  }
}
