// The context in force, and its replacement when the files it was made from change.
import Glibc
import Synchronization

/// Shared by all loops; new connections use the newest context that could be loaded.
final class TLSCertificates: Sendable {
  /// What tells one version of a file from another; a symbolic link set anew changes the inode.
  private struct Stamp: Equatable {
    var seconds = 0
    var nanoseconds = 0
    var bytes: Int64 = 0
    var inode: UInt64 = 0

    init(_ file: String) {
      var status = stat()
      guard stat(file, &status) == 0 else { return }
      seconds = status.st_mtim.tv_sec
      nanoseconds = status.st_mtim.tv_nsec
      bytes = Int64(status.st_size)
      inode = UInt64(status.st_ino)
    }
  }

  private struct State {
    var context: TLSContext
    /// Of the files last tried, whether they could be used or not.
    var tried: [Stamp]
  }

  private let configuration: TLSConfiguration
  private let state: Mutex<State>

  init(_ configuration: TLSConfiguration) throws(TLSError) {
    self.configuration = configuration
    let stamps = Self.stamps(configuration)
    state = Mutex(State(context: try TLSContext(configuration), tried: stamps))
  }

  var context: TLSContext { state.withLock { $0.context } }

  /// Loads the files again if they have changed, or in any case if `isForced`. Returns whether there is a new context.
  /// - Throws: what is wrong with the new files; the old context stays in force.
  func reload(isForced: Bool) throws(TLSError) -> Bool {
    let stamps = Self.stamps(configuration)
    let isDue = state.withLock { state in
      if !isForced && state.tried == stamps { return false }
      state.tried = stamps
      return true
    }
    if !isDue { return false }
    let context = try TLSContext(configuration)
    state.withLock { $0.context = context }
    return true
  }

  private static func stamps(_ configuration: TLSConfiguration) -> [Stamp] {
    let files = [configuration.certificateFile, configuration.keyFile]
    return (files + [configuration.clientAuthorityFile].compactMap(\.self)).map { Stamp($0) }
  }
}
