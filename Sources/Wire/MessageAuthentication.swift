// HMAC-SHA256 (RFC 2104), by OpenSSL.
import COpenSSL

/// Owns an `EVP_MAC_CTX` that has taken its key and nothing else: a signature begins with a copy of it, which costs a
/// third of setting the key up again. Immutable once made.
public final class HMACKey: @unchecked Sendable {
  public static let codeBytes = 32
  private let keyed: OpaquePointer

  public init(_ key: [UInt8]) {
    guard let algorithm = EVP_MAC_fetch(nil, "HMAC", nil), let keyed = EVP_MAC_CTX_new(algorithm)
    else { preconditionFailure("OpenSSL has no HMAC") }
    EVP_MAC_free(algorithm)  // counted; the context keeps it
    self.keyed = keyed
    let result = millrace_hmac_sha256_init(keyed, key, key.count)
    precondition(result == 1, "HMAC-SHA256 takes any key")
  }

  deinit { EVP_MAC_CTX_free(keyed) }

  /// The code of `head` followed by `rest`.
  public func code(_ head: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer) -> [UInt8] {
    guard let context = EVP_MAC_CTX_dup(keyed) else { preconditionFailure("no memory for HMAC") }
    defer { EVP_MAC_CTX_free(context) }
    for part in [head, rest] where !part.isEmpty {
      precondition(EVP_MAC_update(context, part.baseAddress, part.count) == 1, "HMAC failed")
    }
    return [UInt8](unsafeUninitializedCapacity: Self.codeBytes) { target, count in
      let result = EVP_MAC_final(context, target.baseAddress, &count, target.count)
      precondition(result == 1 && count == Self.codeBytes, "HMAC failed")
    }
  }
}
