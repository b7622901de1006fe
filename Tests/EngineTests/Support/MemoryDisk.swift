// A disk in memory whose operations a test can make fail, and whose bytes it can spoil.
import Engine
import NIOCore
import Synchronization
import Wire

final class MemoryDisk: Disk {
  typealias Fault = @Sendable (_ operation: String, _ path: String) -> DiskError.Kind?

  fileprivate struct State {
    var files: [String: MemoryFile] = [:]
    var directories: Set<String> = [""]
    var fault: Fault?
    var freeBytes = Int.max
    var log: [String] = []
  }
  fileprivate let state = Mutex(State())

  /// Asked before each operation: what should go wrong?
  func setFault(_ fault: Fault?) { state.withLock { $0.fault = fault } }
  func setFreeBytes(_ bytes: Int) { state.withLock { $0.freeBytes = bytes } }
  /// "operation path" of everything done so far.
  var operations: [String] { state.withLock { $0.log } }
  func forgetOperations() { state.withLock { $0.log = [] } }

  /// All files with their bytes: what a machine that lost its power after a full sync would find.
  func copy() -> MemoryDisk {
    let copy = MemoryDisk()
    let (files, directories) = state.withLock { ($0.files, $0.directories) }
    copy.state.withLock { state in
      state.directories = directories
      for (path, file) in files {
        let twin = MemoryFile(path: path, disk: copy)
        twin.bytes.withLock { $0 = file.contents }
        state.files[path] = twin
      }
    }
    return copy
  }

  func paths(below prefix: String) -> [String] {
    state.withLock { $0.files.keys.filter { $0.hasPrefix(prefix) }.sorted() }
  }

  func bytes(of path: String) -> [UInt8] {
    state.withLock { $0.files[path] }?.contents ?? []
  }

  /// Changes one byte behind everybody's back.
  func spoil(_ path: String, at position: Int, by bits: UInt8 = 0x5a) {
    state.withLock { $0.files[path] }?.bytes.withLock { $0[position] ^= bits }
  }

  /// Puts other bytes there, behind everybody's back.
  func replace(_ path: String, with bytes: [UInt8]) {
    state.withLock { $0.files[path] }?.bytes.withLock { $0 = bytes }
  }

  fileprivate func check(_ operation: String, _ path: String) throws(DiskError) {
    let fault = state.withLock { state in
      state.log.append("\(operation) \(path)")
      return state.fault
    }
    if let kind = fault?(operation, path) {
      throw DiskError(kind, operation: operation, path: path, code: 5)
    }
  }

  func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
    try check("open", path)
    let file = state.withLock { state -> MemoryFile? in
      if let file = state.files[path] { return file }
      let directory = path.split(separator: "/").dropLast().joined(separator: "/")
      guard create, state.directories.contains(directory) else { return nil }
      let file = MemoryFile(path: path, disk: self)
      state.files[path] = file
      return file
    }
    guard let file else { throw DiskError(.notFound, operation: "open", path: path) }
    return file
  }

  func exists(_ path: String) throws(DiskError) -> Bool {
    state.withLock { $0.files[path] != nil || $0.directories.contains(path) }
  }

  func list(_ directory: String) throws(DiskError) -> [String] {
    try check("list", directory)
    let prefix = directory.isEmpty ? "" : directory + "/"
    return state.withLock { state in
      let paths = Array(state.files.keys) + Array(state.directories)
      return Set(
        paths.filter { $0.hasPrefix(prefix) && $0 != directory }
          .map { String($0.dropFirst(prefix.count).prefix { $0 != "/" }) }
      ).sorted()
    }
  }

  func createDirectory(_ path: String) throws(DiskError) {
    try check("mkdir", path)
    state.withLock { state in
      var made = ""
      for name in path.split(separator: "/") {
        made += made.isEmpty ? String(name) : "/\(name)"
        state.directories.insert(made)
      }
    }
  }

  func remove(_ path: String) throws(DiskError) {
    try check("remove", path)
    state.withLock { state in
      state.files = state.files.filter { $0.key != path && !$0.key.hasPrefix(path + "/") }
      state.directories = state.directories.filter { $0 != path && !$0.hasPrefix(path + "/") }
    }
  }

  func rename(_ from: String, to: String) throws(DiskError) {
    try check("rename", from)
    state.withLock { $0.files[to] = $0.files.removeValue(forKey: from) }
  }

  func syncDirectory(_ path: String) throws(DiskError) { try check("syncDirectory", path) }
  func witness() throws(DiskError) -> any DiskWitness { MemoryWitness(disk: self) }
  func freeBytes() throws(DiskError) -> Int { state.withLock { $0.freeBytes } }
}

private final class MemoryWitness: DiskWitness {
  private let disk: MemoryDisk
  init(disk: MemoryDisk) { self.disk = disk }
  func syncAll() throws(DiskError) { try disk.check("syncAll", "") }
}

final class MemoryFile: DiskFile {
  fileprivate let bytes = Mutex<[UInt8]>([])
  private let path: String
  private let disk: MemoryDisk

  fileprivate init(path: String, disk: MemoryDisk) {
    self.path = path
    self.disk = disk
  }

  var contents: [UInt8] { bytes.withLock { $0 } }

  func read(at position: Int, count: Int, into buffer: inout ByteBuffer) throws(DiskError) -> Int {
    try disk.check("read", path)
    let found = bytes.withLock { bytes -> [UInt8] in
      guard position < bytes.count else { return [] }
      return Array(bytes[position..<min(bytes.count, position + count)])
    }
    buffer.writeBytes(found)
    return found.count
  }

  func write(_ buffers: [ByteBuffer], at position: Int) throws(DiskError) {
    try disk.check("write", path)
    bytes.withLock { bytes in
      var position = position
      for buffer in buffers {
        let end = position + buffer.readableBytes
        if bytes.count < end { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
        bytes.replaceSubrange(position..<end, with: buffer.readableBytesView)
        position = end
      }
    }
  }

  func sync() throws(DiskError) { try disk.check("sync", path) }
  func size() throws(DiskError) -> Int { contents.count }
  func truncate(to size: Int) throws(DiskError) {
    try disk.check("truncate", path)
    bytes.withLock { bytes in
      bytes = Array(bytes.prefix(size)) + [UInt8](repeating: 0, count: max(0, size - bytes.count))
    }
  }
  func prewrite(to size: Int) throws(DiskError) {
    try disk.check("prewrite", path)
    bytes.withLock { bytes in
      if bytes.count < size { bytes += [UInt8](repeating: 0, count: size - bytes.count) }
    }
  }
  func close() {}
}
