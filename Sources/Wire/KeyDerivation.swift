// HKDF-SHA256 (RFC 5869), by OpenSSL: keys for one purpose each, from one secret.
import COpenSSL

public enum KeyDerivation {
  /// As many as 255 × 32 bytes (RFC 5869 §2.3).
  public static let bytesMax = 255 * Digest.sha256Bytes

  /// `count` bytes that tell nothing of `secret`, nor of what other salts and purposes give.
  public static func hkdfSHA256(
    secret: [UInt8], salt: [UInt8], info: [UInt8], count: Int
  ) -> [UInt8] {
    precondition(1...bytesMax ~= count, "\(count) bytes; HKDF-SHA256 gives 1 to \(bytesMax)")
    guard let context = EVP_KDF_CTX_new(algorithm) else {
      preconditionFailure("no memory for HKDF")
    }
    defer { EVP_KDF_CTX_free(context) }
    return [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
      let result = millrace_hkdf_sha256(
        context, secret, secret.count, salt, salt.count, info, info.count, target.baseAddress, count
      )
      precondition(result == 1, "HKDF-SHA256 takes any secret, salt and info")
      initialized = count
    }
  }

  private nonisolated(unsafe) static let algorithm: OpaquePointer = {
    guard let algorithm = EVP_KDF_fetch(nil, "HKDF", nil) else {
      preconditionFailure("OpenSSL has no HKDF")
    }
    return algorithm
  }()
}
