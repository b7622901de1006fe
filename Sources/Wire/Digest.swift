// Digests, by OpenSSL.
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
