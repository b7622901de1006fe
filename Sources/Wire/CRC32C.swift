// CRC32C (Castagnoli, RFC 3720 appendix B.4): the checksum of every frame.
import CPlatform

public enum CRC32C {
  /// The checksum of `bytes`, or, given an earlier result as `continuing`, of everything so far and then `bytes`.
  @inlinable
  public static func checksum(_ bytes: UnsafeRawBufferPointer, continuing: UInt32 = 0) -> UInt32 {
    ~millrace_crc32c(~continuing, bytes.baseAddress, bytes.count)
  }
}
