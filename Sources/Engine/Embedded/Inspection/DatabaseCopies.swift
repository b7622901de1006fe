// Copies of a store's databases in a directory of their own: SQLite makes files beside a database that it only reads.
import Glibc
import NIOCore

/// Removed with its last owner.
final class DatabaseCopies {
  static let catalog = "catalog.db"
  static func checkpoint(_ lane: Int) -> String { "\(LaneFiles.directory(lane))/checkpoint.db" }

  private static let pieceBytes = 1 << 20
  private let source: PosixDisk
  private let directory: String
  private let target: PosixDisk
  private var known: [String: String] = [:]

  init(of source: PosixDisk) throws(InspectionFailure) {
    self.source = source
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/millrace-look-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw InspectionFailure(
        description: "no directory can be made in \(parent): \(String(cString: strerror(errno)))")
    }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    do {
      target = try PosixDisk(directory, access: .exclusive)
    } catch {
      throw InspectionFailure(description: "\(directory): \(error)")
    }
  }

  deinit {
    for name in (try? target.list("")) ?? [] { try? target.remove(name) }
    rmdir(directory)
  }

  /// The path of a copy of this database with what its write-ahead log has for it. The original must not be in use.
  func path(of name: String) throws(MetaError) -> String {
    if let path = known[name] { return path }
    let copy = name.split(separator: "/").joined(separator: "-")
    do throws(DiskError) {
      try self.copy(name, to: copy)
      if try source.exists(name + "-wal") { try self.copy(name + "-wal", to: copy + "-wal") }
    } catch {
      throw .failed(
        "\(error.operation) \(error.path): \(String(cString: strerror(error.code)))")
    }
    let path = "\(directory)/\(copy)"
    known[name] = path
    return path
  }

  private func copy(_ name: String, to copy: String) throws(DiskError) {
    let from = try source.open(name, create: false)
    defer { from.close() }
    let to = try target.open(copy, create: true)
    defer { to.close() }
    var position = 0
    while true {
      var piece = ByteBuffer()
      let count = try from.read(at: position, count: Self.pieceBytes, into: &piece)
      guard count > 0 else { return }
      try to.write([piece], at: position)
      position += count
    }
  }
}
