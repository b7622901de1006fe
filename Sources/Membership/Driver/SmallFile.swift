// Small files, read whole and replaced whole, by POSIX calls.
import Glibc

enum FileFault: Error {
  case system(operation: String, code: CInt)
  case tooLarge
}

enum SmallFile {
  static func read(_ path: String, bytesMax: Int) throws(FileFault) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system(operation: "open", code: errno) }
    defer { close(descriptor) }
    return try read(descriptor, bytesMax: bytesMax)
  }

  /// From where the descriptor is.
  static func read(_ descriptor: CInt, bytesMax: Int) throws(FileFault) -> [UInt8] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = Glibc.read(descriptor, &piece, piece.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .system(operation: "read", code: errno) }
      if count == 0 { return bytes }
      bytes += piece[..<count]
      guard bytes.count <= bytesMax else { throw .tooLarge }
    }
  }

  /// Writes `bytes` to `path` with `suffix`, syncs, and renames: a crash leaves the old file or the new one.
  static func replace(
    _ path: String, with bytes: some Sequence<UInt8>, mode: mode_t, suffix: String = ".new"
  ) throws(FileFault) {
    let beside = path + suffix
    // One that a crash left, or that somebody put there to get at what is written, is not written to.
    unlink(beside)
    try write(beside, bytes, mode: mode)
    do throws(FileFault) {
      try check("rename", rename(beside, path))
    } catch {
      unlink(beside)
      throw error
    }
    try syncDirectory(of: path)
  }

  /// As a new file; fails if there is one.
  static func create(_ path: String, with bytes: some Sequence<UInt8>, mode: mode_t)
    throws(FileFault)
  {
    try write(path, bytes, mode: mode)
    try syncDirectory(of: path)
  }

  /// A new file, whole or not at all.
  private static func write(
    _ path: String, _ bytes: some Sequence<UInt8>, mode: mode_t
  ) throws(FileFault) {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
    try check("open", descriptor)
    defer { close(descriptor) }
    do throws(FileFault) {
      try write(descriptor, bytes)
      try check("fsync", fsync(descriptor))
    } catch {
      unlink(path)
      throw error
    }
  }

  private static func write(
    _ descriptor: CInt, _ bytes: some Sequence<UInt8>
  ) throws(FileFault) {
    var rest = Array(bytes)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      // Nothing written and nothing said: not to be tried for ever.
      guard count > 0 else { throw .system(operation: "write", code: count == 0 ? EIO : errno) }
      rest = rest.dropFirst(count)
    }
  }

  private static func syncDirectory(of path: String) throws(FileFault) {
    let slash = path.lastIndex(of: "/")
    let above = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let descriptor = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    try check("open", descriptor)
    defer { close(descriptor) }
    try check("fsync", fsync(descriptor))
  }

  private static func check(_ operation: String, _ result: CInt) throws(FileFault) {
    guard result >= 0 else { throw .system(operation: operation, code: errno) }
  }
}
