// Digests and secrets, all by OpenSSL.
import COpenSSL
import NIOCore

public enum Digest {
  public static let sha256Bytes = 32

  /// What an append remembers of a request's body: the first 16 bytes of its SHA-256, read as big-endian numbers.
  public static func bodyDigest(of bytes: UnsafeRawBufferPointer) -> BodyDigest {
    withSHA256(of: bytes) { digest in
      BodyDigest(
        high: UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
        low: UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }
  }

  public static func bodyDigest(of body: ByteBuffer) -> BodyDigest {
    body.withUnsafeReadableBytes { bodyDigest(of: $0) }
  }

  public static func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    withSHA256(of: bytes) { Array($0) }
  }

  /// HMAC-SHA-256, RFC 2104.
  public static func hmac(
    _ bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer
  ) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: sha256Bytes) { target, count in
      var written: UInt32 = 0
      // An empty key is a key, but a null one means "the last key" to OpenSSL.
      let start = key.baseAddress ?? UnsafeRawPointer(target.baseAddress!)
      let result = HMAC(
        EVP_sha256(), start, CInt(key.count),
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, target.baseAddress,
        &written)
      precondition(result != nil && written == sha256Bytes, "OpenSSL has no HMAC-SHA-256")
      count = sha256Bytes
    }
  }

  /// Bytes that nobody can guess. Traps if the system's source of chance fails: there is no way on.
  public static func secureRandom(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { target, written in
      precondition(RAND_bytes(target.baseAddress, CInt(count)) == 1, "no secure random bytes")
      written = count
    }
  }

  /// Fetched once: a lookup by name costs more than hashing a kilobyte.
  private nonisolated(unsafe) static let algorithm: OpaquePointer = {
    guard let algorithm = EVP_MD_fetch(nil, "SHA256", nil) else {
      preconditionFailure("OpenSSL has no SHA-256")
    }
    return algorithm
  }()

  private static func withSHA256<Result>(
    of bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    withUnsafeTemporaryAllocation(byteCount: sha256Bytes, alignment: 8) { target in
      var written: UInt32 = 0
      let result = EVP_Digest(
        bytes.baseAddress, bytes.count, target.baseAddress?.assumingMemoryBound(to: UInt8.self),
        &written, algorithm, nil)
      precondition(result == 1 && written == sha256Bytes, "SHA-256 failed")
      return body(UnsafeRawBufferPointer(target))
    }
  }
}
