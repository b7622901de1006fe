// The name of a request: the client's own if it is sane, else thirteen characters that cost nearly nothing.

enum RequestID {
  static let name = "request-id"
  static let generatedBytes = 13

  /// Whether a client's own may be kept: it goes into logs, headers and documents as it is.
  static func isSane(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        byte &- 48 < 10 || (byte | 32) &- 97 < 26 || byte == 46 || byte == 95 || byte == 126
          || byte == 45
      }
  }

  /// 65 bits of base 32, most significant first, into `target`.
  static func write(_ bits: UInt64, to target: UnsafeMutablePointer<UInt8>) {
    let alphabet: StaticString = "0123456789abcdefghjkmnpqrstvwxyz"
    var rest = bits
    for index in (0..<generatedBytes).reversed() {
      target[index] = alphabet.utf8Start[Int(rest & 31)]
      rest >>= 5
    }
  }

  static func text(_ bits: UInt64) -> String {
    String(unsafeUninitializedCapacity: generatedBytes) { target in
      write(bits, to: target.baseAddress!)
      return generatedBytes
    }
  }
}
