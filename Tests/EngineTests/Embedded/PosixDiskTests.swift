// The file system beneath a data directory: one writer, readers beside it, and readers that change nothing.
import Engine
import Glibc
import NIOCore
import Testing

@Suite struct `A directory on a real file system` {
  @Test func `one process may write, and whoever comes second hears who has it`() throws {
    let directory = TemporaryDirectory()
    let disk = try PosixDisk(directory.path, access: .exclusive)
    #expect(throws: StoreOpenError.locked(by: getpid())) {
      try PosixDisk(directory.path, access: .exclusive)
    }
    disk.unlock()
    #expect(throws: Never.self) { try PosixDisk(directory.path, access: .exclusive) }
  }

  @Test func `readers are let in beside a writer, and keep one out when there is none`() throws {
    let directory = TemporaryDirectory()
    let writer = try PosixDisk(directory.path, access: .exclusive)
    #expect(try PosixDisk(directory.path, access: .readOnly).server?.process == getpid())
    writer.unlock()
    let (one, other) = (
      try PosixDisk(directory.path, access: .readOnly),
      try PosixDisk(directory.path, access: .readOnly)
    )
    withExtendedLifetime((one, other)) {
      #expect(one.server == nil && other.server == nil)
      #expect(throws: StoreOpenError.self) { try PosixDisk(directory.path, access: .exclusive) }
    }
  }

  @Test func `who only reads can change nothing`() throws {
    let directory = TemporaryDirectory()
    let writer = try PosixDisk(directory.path, access: .exclusive)
    try writer.open("file", create: true).write([ByteBuffer(string: "bytes")], at: 0)
    writer.unlock()
    let reader = try PosixDisk(directory.path, access: .readOnly)
    #expect(throws: DiskError.self) { try reader.createDirectory("new") }
    #expect(throws: DiskError.self) { try reader.remove("file") }
    #expect(throws: DiskError.self) { try reader.rename("file", to: "other") }
    #expect(throws: DiskError.self) { try reader.open("other", create: true) }
    let file = try reader.open("file", create: true)
    #expect(throws: DiskError.self) { try file.write([ByteBuffer(string: "more")], at: 0) }
    var bytes = ByteBuffer()
    #expect(try file.read(at: 0, count: 9, into: &bytes) == 5)
    #expect(try reader.list("") == ["file", "lock"])
  }

  @Test func `a path is made with all that is above it`() throws {
    let directory = TemporaryDirectory()
    let deep = try PosixDisk(directory.path + "/a/b/c", access: .exclusive)
    #expect(try deep.list("") == ["lock"])
    #expect(try PosixDisk(directory.path, access: .readOnly).list("a/b") == ["c"])
  }

  @Test func `what is made is nobody else's to read, databases too`() throws {
    let directory = TemporaryDirectory()
    let disk = try PosixDisk(directory.path + "/data", access: .exclusive)
    try disk.createDirectory("lanes/0")
    _ = try disk.open("file", create: true)
    let thread = ThreadExecutor(name: "catalog")
    defer { thread.stop() }
    let loose = open(directory.path + "/data/catalog.db", O_CREAT | O_WRONLY, 0o644)
    close(loose)
    let meta = try SQLiteMeta(path: directory.path + "/data/catalog.db", on: thread)
    withExtendedLifetime(meta) {
      for (path, mode) in [
        ("", 0o700), ("/lanes/0", 0o700), ("/file", 0o600), ("/lock", 0o600),
        ("/catalog.db", 0o600), ("/catalog.db-wal", 0o600),
      ] as [(String, mode_t)] {
        var status = stat()
        #expect(stat(directory.path + "/data" + path, &status) == 0, "\(path)")
        #expect(status.st_mode & 0o777 == mode, "\(path)")
      }
    }
  }
}
