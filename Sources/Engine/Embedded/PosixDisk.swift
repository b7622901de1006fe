// The file system below one data directory, by POSIX calls, with a lock that keeps a second process out.
import CPlatform
import Glibc
import NIOCore
import Wire

public final class PosixDisk: Disk {
  public enum Access: Sendable {
    /// Makes the directory if need be and takes its lock for as long as this object lives.
    case exclusive
    /// For a look from outside: nothing is written. Beside a running server everything may change at any time; if
    /// there is none, none can start while this object lives.
    case readOnly
  }

  /// Who has the directory's lock.
  public struct Holder: Sendable, Equatable {
    /// nil if it cannot be told.
    public var process: Int32?
  }

  private static let lockName = "lock"
  /// Nobody else's: beside records the directory holds the secrets that webhooks are signed with.
  private static let directoryMode: mode_t = 0o700
  static let fileMode: mode_t = 0o600
  private let root: CInt
  /// -1 if a directory that is only read has no lock file, or a server holds it.
  private let lock: CInt
  private let access: Access
  /// The server beside which this directory is only read.
  public let server: Holder?

  /// - Throws: `.locked` when another process has the directory, `.disk` when it cannot be made or opened.
  public init(_ directory: String, access: Access) throws(StoreOpenError) {
    self.access = access
    var root: CInt = -1
    do {
      if access == .exclusive {
        try Self.makeDirectories(directory, below: AT_FDCWD, syncing: true)
      }
      root = try call("open", directory) {
        Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      }
    } catch {
      throw .disk(error)
    }
    var server: Holder?
    do throws(StoreOpenError) {
      lock = try Self.takeLock(below: root, access)
    } catch {
      guard access == .readOnly, case .locked(let process) = error else {
        _ = Glibc.close(root)
        throw error
      }
      server = Holder(process: process)
      lock = -1
    }
    self.server = server
    self.root = root
  }

  deinit {
    if lock >= 0 { _ = Glibc.close(lock) }
    _ = Glibc.close(root)
  }

  /// Lets another process have the directory, before this object is gone. Nothing may be written from then on.
  public func unlock() {
    if lock >= 0 { _ = flock(lock, LOCK_UN) }
  }

  private static func takeLock(below root: CInt, _ access: Access) throws(StoreOpenError) -> CInt {
    let descriptor: CInt
    do {
      descriptor = try call("open", lockName) {
        access == .exclusive
          ? openat(root, lockName, O_RDWR | O_CREAT | O_CLOEXEC, fileMode)
          : openat(root, lockName, O_RDONLY | O_CLOEXEC)
      }
    } catch {
      if access == .readOnly, error.kind == .notFound { return -1 }
      throw .disk(error)
    }
    guard flock(descriptor, (access == .exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 else {
      var text = [UInt8](repeating: 0, count: 32)
      let count = max(0, pread(descriptor, &text, text.count, 0))
      _ = Glibc.close(descriptor)
      let digits = text[..<count].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      // What a killed server left in it names nobody: the lock is held by one who only looks.
      let process = Int32(String(decoding: digits, as: UTF8.self))
      throw .locked(by: process.flatMap { kill($0, 0) == 0 || errno == EPERM ? $0 : nil })
    }
    if access == .exclusive {
      let text = Array("\(getpid())\n".utf8)
      // Only a hint for whoever finds the lock taken: what keeps others out is the lock itself.
      if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
    }
    return descriptor
  }

  public func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
    let flags = access == .exclusive ? O_RDWR | (create ? O_CREAT : 0) : O_RDONLY
    let root = root
    let descriptor = try call("open", path) { openat(root, path, flags | O_CLOEXEC, Self.fileMode) }
    return PosixFile(descriptor: descriptor, path: path)
  }

  public func exists(_ path: String) throws(DiskError) -> Bool {
    do {
      let root = root
      _ = try call("access", path) { faccessat(root, path, F_OK, 0) }
      return true
    } catch {
      if error.kind == .notFound { return false }
      throw error
    }
  }

  public func list(_ directory: String) throws(DiskError) -> [String] {
    let descriptor: CInt
    do {
      descriptor = try Self.openDirectory(directory, below: root)
    } catch {
      if error.kind == .notFound { return [] }
      throw error
    }
    guard let stream = fdopendir(descriptor) else {
      _ = Glibc.close(descriptor)
      throw DiskError("fdopendir", directory, errno)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        if errno != 0 { throw DiskError("readdir", directory, errno) }
        return names.sorted()
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  public func createDirectory(_ path: String) throws(DiskError) {
    try mayChange("mkdir", path)
    try Self.makeDirectories(path, below: root, syncing: false)
  }

  /// - Parameter syncing: makes the names durable in the directories above, too.
  private static func makeDirectories(_ path: String, below root: CInt, syncing: Bool)
    throws(DiskError)
  {
    let slash = path.lastIndex(of: "/")
    let above = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    if mkdirat(root, path, directoryMode) != 0 {
      if errno == EEXIST { return }
      guard errno == ENOENT, above != "/", above != "." else {
        throw DiskError("mkdir", path, errno)
      }
      try makeDirectories(above, below: root, syncing: syncing)
      if mkdirat(root, path, directoryMode) != 0, errno != EEXIST {
        throw DiskError("mkdir", path, errno)
      }
    }
    if syncing { try syncDirectory(above, below: root) }
  }

  public func remove(_ path: String) throws(DiskError) {
    try mayChange("unlink", path)
    if unlinkat(root, path, 0) == 0 || errno == ENOENT { return }
    guard errno == EISDIR || errno == EPERM else { throw DiskError("unlink", path, errno) }
    for name in try list(path) { try remove("\(path)/\(name)") }
    if unlinkat(root, path, AT_REMOVEDIR) != 0, errno != ENOENT {
      throw DiskError("rmdir", path, errno)
    }
  }

  public func rename(_ from: String, to: String) throws(DiskError) {
    try mayChange("rename", from)
    let root = root
    _ = try call("rename", from) { renameat(root, from, root, to) }
  }

  private func mayChange(_ operation: String, _ path: String) throws(DiskError) {
    guard access == .exclusive else { throw DiskError(operation, path, EROFS) }
  }

  public func syncDirectory(_ path: String) throws(DiskError) {
    try Self.syncDirectory(path, below: root)
  }

  private static func syncDirectory(_ path: String, below root: CInt) throws(DiskError) {
    let descriptor = try openDirectory(path, below: root)
    defer { _ = Glibc.close(descriptor) }
    // Not tried again on EINTR, like every sync.
    guard fsync(descriptor) == 0 else { throw DiskError("fsync", path, errno) }
  }

  public func witness() throws(DiskError) -> any DiskWitness {
    PosixWitness(descriptor: try Self.openDirectory("", below: root))
  }

  public func freeBytes() throws(DiskError) -> Int {
    var status = statvfs()
    let root = root
    _ = try call("fstatvfs", ".") { fstatvfs(root, &status) }
    return Int(status.f_bavail) * Int(status.f_frsize)
  }

  private static func openDirectory(_ path: String, below root: CInt) throws(DiskError) -> CInt {
    try call("open", path) {
      openat(root, path.isEmpty ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    }
  }
}

/// May be used from several threads at once: the kernel sees to that.
private final class PosixFile: DiskFile {
  private let descriptor: CInt
  private let path: String

  init(descriptor: CInt, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  func read(at position: Int, count: Int, into buffer: inout ByteBuffer) throws(DiskError) -> Int {
    var done = 0
    var failure: CInt = 0
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
      while done < count {
        let got = pread(descriptor, bytes.baseAddress! + done, count - done, position + done)
        if got > 0 {
          done += got
        } else if got == 0 {
          break
        } else if errno != EINTR {
          failure = errno
          break
        }
      }
      return done
    }
    if failure != 0 { throw DiskError("pread", path, failure) }
    return done
  }

  func write(_ buffers: [ByteBuffer], at position: Int) throws(DiskError) {
    var position = position
    for buffer in buffers {
      var failure: CInt = 0
      buffer.withUnsafeReadableBytes { bytes in
        var done = 0
        while done < bytes.count {
          let put = pwrite(
            descriptor, bytes.baseAddress! + done, bytes.count - done, position + done)
          if put > 0 {
            done += put
          } else if put == 0 || errno != EINTR {
            // Nothing written and nothing said: not to be tried for ever.
            failure = put == 0 ? EIO : errno
            break
          }
        }
        position += done
      }
      if failure != 0 { throw DiskError("pwrite", path, failure) }
    }
  }

  func sync() throws(DiskError) {
    let descriptor = descriptor
    // Not tried again on EINTR: after a failed sync nobody knows what the kernel dropped.
    guard fdatasync(descriptor) == 0 else { throw DiskError("fdatasync", path, errno) }
  }

  func size() throws(DiskError) -> Int {
    var status = stat()
    let descriptor = descriptor
    _ = try call("fstat", path) { fstat(descriptor, &status) }
    return Int(status.st_size)
  }

  func truncate(to size: Int) throws(DiskError) {
    let descriptor = descriptor
    _ = try call("ftruncate", path) { ftruncate(descriptor, size) }
  }

  func prewrite(to size: Int) throws(DiskError) {
    var position = try self.size()
    var zeros = ByteBuffer()
    zeros.writeRepeatingByte(0, count: min(1 << 20, max(0, size - position)))
    while position < size {
      let count = min(zeros.readableBytes, size - position)
      try write([zeros.getSlice(at: 0, length: count)!], at: position)
      position += count
    }
  }

  func close() { _ = Glibc.close(descriptor) }
}

/// A descriptor of its own: Linux tells each open file once of every write that failed since it was opened (errseq_t,
/// for `syncfs` since 5.8), so one that several lanes share would tell only the first.
private final class PosixWitness: DiskWitness {
  private let descriptor: CInt

  init(descriptor: CInt) { self.descriptor = descriptor }
  deinit { _ = Glibc.close(descriptor) }

  func syncAll() throws(DiskError) {
    let descriptor = descriptor
    guard millrace_syncfs(descriptor) == 0 else { throw DiskError("syncfs", ".", errno) }
  }
}

/// Makes a system call, again as long as a signal interrupts it.
private func call(_ operation: String, _ path: String, _ body: () -> CInt) throws(DiskError) -> CInt
{
  while true {
    let result = body()
    if result >= 0 { return result }
    if errno != EINTR { throw DiskError(operation, path, errno) }
  }
}

extension DiskError {
  fileprivate init(_ operation: String, _ path: String, _ code: CInt) {
    let kind: Kind =
      switch code {
      case ENOENT: .notFound
      case ENOSPC, EDQUOT: .full
      case EIO: .inputOutput
      default: .other
      }
    self.init(kind, operation: operation, path: path, code: code)
  }
}
