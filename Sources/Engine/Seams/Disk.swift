// The seam to the file system: every byte the embedded store keeps goes through it, so a simulator can lose some.
import Glibc
import NIOCore
import Wire

/// A file system below one data directory. Paths are relative to it, with "/" between names. Every call blocks.
public protocol Disk: AnyObject, Sendable {
  /// Opens a file for reading and writing.
  func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile
  func exists(_ path: String) throws(DiskError) -> Bool
  /// Names in a directory, sorted; empty if there is no such directory.
  func list(_ directory: String) throws(DiskError) -> [String]
  /// Makes the directory and those above it.
  func createDirectory(_ path: String) throws(DiskError)
  /// Removes a file, or a directory and all in it; not there is fine.
  func remove(_ path: String) throws(DiskError)
  func rename(_ from: String, to: String) throws(DiskError)
  /// Makes creations, renames and removals in a directory durable.
  func syncDirectory(_ path: String) throws(DiskError)
  /// Watches from now on over everything that is written: for checkpoints with thousands of dirty files.
  func witness() throws(DiskError) -> any DiskWitness
  /// Bytes that may still be written.
  func freeBytes() throws(DiskError) -> Int
}

/// Sees what becomes of writes from the moment it was made.
public protocol DiskWitness: AnyObject, Sendable {
  /// Makes everything written to the file system durable (`syncfs`). Throws also if anything written since the witness
  /// was made failed to arrive meanwhile, even if somebody else was told: the kernel has marked those pages clean.
  func syncAll() throws(DiskError)
}

/// An open file. Closed by `close`, once, by its owner.
public protocol DiskFile: AnyObject, Sendable {
  /// Reads up to `count` bytes at `position` into the end of `buffer`; fewer only at the file's end.
  func read(at position: Int, count: Int, into buffer: inout ByteBuffer) throws(DiskError) -> Int
  /// Writes all of `buffers`, one after another, from `position` on.
  func write(_ buffers: [ByteBuffer], at position: Int) throws(DiskError)
  /// Makes written bytes, and the size needed to read them, durable (`fdatasync`).
  func sync() throws(DiskError)
  func size() throws(DiskError) -> Int
  func truncate(to size: Int) throws(DiskError)
  /// Reserves and writes zeros up to `size`, so that later writes change no metadata.
  func prewrite(to size: Int) throws(DiskError)
  func close()
}

public struct DiskError: Error, Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    case notFound
    /// No space left, or a quota.
    case full
    case inputOutput
    case other
  }
  public var kind: Kind
  public var operation: String
  public var path: String
  /// errno, or 0.
  public var code: Int32
  public init(_ kind: Kind, operation: String, path: String, code: Int32 = 0) {
    self.kind = kind
    self.operation = operation
    self.path = path
    self.code = code
  }
}

extension DiskError: CustomStringConvertible {
  /// For people: `open lanes/0/wal-1.log: Permission denied`.
  public var description: String {
    "\(operation) \(path): \(code == 0 ? "\(kind)" : String(cString: strerror(code)))"
  }
}
