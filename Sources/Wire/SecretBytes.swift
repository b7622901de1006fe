// Bytes of chance that nobody can guess, by OpenSSL's generator for secrets.
import COpenSSL

public enum SecretBytes {
  /// For keys, and for names that must never be drawn twice. What can be played again uses `Random`.
  public static func generate(count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
      let result = RAND_bytes(target.baseAddress, CInt(count))
      precondition(result == 1, "the system gives no random bytes")
      initialized = count
    }
  }
}
