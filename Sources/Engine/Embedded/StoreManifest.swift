// The one small file that says what a data directory is: its format, its salt, and which lanes hold its logs.
import NIOCore
import Wire

struct StoreManifest: Equatable {
  static let path = "millrace.store"
  private static let draftPath = "millrace.store.new"
  private static let title = "millrace store 1"

  var salt: UInt64
  var firstLane: Int
  var laneCount: Int
  /// The lanes' files were made; from then on a missing one is a loss, not a beginning.
  var isReady: Bool

  var lanes: Range<Int> { firstLane..<(firstLane + laneCount) }

  /// nil when there is none: the directory is new, or holds something else.
  static func read(_ disk: any Disk) throws(StoreOpenError) -> StoreManifest? {
    var bytes = ByteBuffer()
    do {
      guard try disk.exists(path) else { return nil }
      let file = try disk.open(path, create: false)
      defer { file.close() }
      _ = try file.read(at: 0, count: 4096, into: &bytes)
    } catch {
      throw .disk(error)
    }
    let lines = String(decoding: bytes.readableBytesView, as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count == 6, lines[0].hasPrefix("millrace store ") else {
      throw .foreign(file: path, "it is not a Millrace store's")
    }
    guard lines[0] == title else {
      throw .foreign(file: path, "this version reads \"\(title)\", the file says \"\(lines[0])\"")
    }
    func value<T>(_ line: Int, _ name: String, _ parse: (Substring) -> T?) throws(StoreOpenError)
      -> T
    {
      guard lines[line].hasPrefix(name + " "),
        let value = parse(lines[line].dropFirst(name.count + 1))
      else { throw .foreign(file: path, "line \(line + 1) should name \(name)") }
      return value
    }
    let manifest = StoreManifest(
      salt: try value(1, "salt") { UInt64($0, radix: 16) },
      firstLane: try value(2, "first-lane") { Int($0).flatMap { $0 >= 0 ? $0 : nil } },
      laneCount: try value(3, "lanes") { Int($0).flatMap { $0 > 0 ? $0 : nil } },
      isReady: try value(4, "ready") { Bool(String($0)) })
    guard manifest.text == lines.joined(separator: "\n") else {
      throw .mismatched(file: path, "its checksum is wrong: it was changed or damaged")
    }
    return manifest
  }

  /// Replaces the manifest; durable when it returns, and never half of it.
  func write(_ disk: any Disk) throws(DiskError) {
    try writeDraft(disk)
    try disk.rename(Self.draftPath, to: Self.path)
    try disk.syncDirectory("")
  }

  private func writeDraft(_ disk: any Disk) throws(DiskError) {
    let file = try disk.open(Self.draftPath, create: true)
    defer { file.close() }
    try file.truncate(to: 0)
    try file.write([ByteBuffer(string: text)], at: 0)
    try file.sync()
  }

  private var text: String {
    let body = """
      \(Self.title)
      salt \(String(salt, radix: 16))
      first-lane \(firstLane)
      lanes \(laneCount)
      ready \(isReady)

      """
    var checked = body
    let checksum = checked.withUTF8 { CRC32C.checksum(UnsafeRawBufferPointer($0)) }
    return body + "crc \(String(checksum, radix: 16))"
  }
}
