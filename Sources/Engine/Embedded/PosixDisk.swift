// The file system below one data directory, by POSIX calls, with a lock that keeps a second process out.
import Wire

public final class PosixDisk {
  public enum Access: Sendable {
    /// Makes the directory if need be and takes its lock for as long as this object lives.
    case exclusive
    /// Needs a directory that no server is using; nothing is written.
    case readOnly
  }
  /// - Throws: `.locked` when another process has the directory, `.disk` when it cannot be made or opened.
  public init(_ directory: String, access: Access) throws(StoreOpenError) { fatalError() }
}
