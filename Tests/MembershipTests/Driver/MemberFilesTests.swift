// What a member keeps on disk: its snapshot and its keys.
import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import Membership

private let endpoint = Endpoint("[2001:db8::7]:7001")!

@Suite struct SnapshotFileTests {
  private let directory = TemporaryDirectory()
  private let id = MemberID("n1")!

  private var snapshot: Snapshot {
    Snapshot(
      generation: 1_795_639_390_454,
      peers: [
        Snapshot.Peer(id: MemberID("n2")!, endpoint: Endpoint("127.0.0.1:7000")!),
        Snapshot.Peer(id: MemberID("n3")!, endpoint: endpoint),
      ], keys: [KeyID(0x0bad_c0de), KeyID(7)])
  }

  @Test func `what is written is read again, and nothing else is left behind`() throws {
    let file = SnapshotFile(directory: directory.path, id: id)
    #expect(try file.read() == nil)
    try file.write(Snapshot(generation: 1, peers: [], keys: []))
    try file.write(snapshot)
    #expect(try file.read() == snapshot)
    #expect(directory.names == ["member.json"])
  }

  @Test func `another member's state is refused by name`() throws {
    try SnapshotFile(directory: directory.path, id: MemberID("n2")!).write(snapshot)
    #expect(throws: SnapshotFault.foreign(MemberID("n2")!)) {
      try SnapshotFile(directory: directory.path, id: id).read()
    }
  }

  @Test func `a file that is cut anywhere is told to be unreadable`() throws {
    let file = SnapshotFile(directory: directory.path, id: id)
    try file.write(snapshot)
    let whole = try SmallFile.read(file.path, bytesMax: 4096)
    // Without its line end it still says everything.
    for count in 0..<(whole.count - 1) {
      try SmallFile.replace(file.path, with: whole.prefix(count), mode: 0o600)
      #expect {
        try file.read()
      } throws: { error in
        if case .unreadable = error as? SnapshotFault { true } else { false }
      }
    }
  }

  @Test func `a directory that is gone is a fault of the system`() {
    let file = SnapshotFile(directory: directory.path + "/none", id: id)
    #expect(throws: SnapshotFault.system(operation: "open", code: ENOENT)) {
      try file.write(snapshot)
    }
  }
}

@Suite struct SnapshotKeeperTests {
  private let directory = TemporaryDirectory()

  @Test func `a new generation is on the disk at once, the rest at the latest at the end`()
    async throws
  {
    let file = SnapshotFile(directory: directory.path, id: MemberID("n1")!)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let first = Snapshot(generation: 1, peers: [], keys: [])
    let second = Snapshot(generation: 2, peers: [], keys: [])
    let third = Snapshot(generation: 2, peers: [], keys: [KeyID(7)])
    try await loop.submit { () throws in
      let keeper = SnapshotKeeper(file, written: first, on: loop, logger: Logger(label: "n1"))
      keeper.keep(first)
      #expect(try file.read() == nil)
      keeper.keep(second)
      #expect(try file.read() == second)
      keeper.keep(third)
      keeper.flush()
      #expect(try file.read() == third)
    }.get()
    try await group.shutdownGracefully()
    #expect(directory.names == ["member.json"])
  }
}

@Suite struct KeyFileTests {
  private let directory = TemporaryDirectory()
  private var file: KeyFile { KeyFile(directory.path + "/keys") }

  @Test func `keys come back in their order, from a file for its owner alone`() throws {
    let keyring = Keyring([.generate(), .generate()])!
    try file.create(keyring)
    #expect(try file.read() == keyring)
    var status = stat()
    #expect(stat(file.path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    #expect(throws: KeyFileFault.system(operation: "open", code: EEXIST)) {
      try file.create(keyring)
    }
  }

  @Test func `a change is seen by its mark, and replaces the file as a whole`() throws {
    var keyring = Keyring([.generate()])!
    try file.create(keyring)
    let before = file.mark
    #expect(before != nil)
    try keyring.install(.generate())
    try file.write(keyring)
    #expect(file.mark != before)
    #expect(try file.read() == keyring)
    #expect(directory.names == ["keys"])
  }

  @Test(arguments: [0o640, 0o604, 0o660, 0o777] as [mode_t])
  func `a file that others can get at is refused`(mode: mode_t) throws {
    try file.create(Keyring([.generate()])!)
    #expect(chmod(file.path, mode) == 0)
    #expect(throws: KeyFileFault.exposed(mode: UInt32(mode))) { try file.read() }
  }

  @Test func `empty lines and comments are passed over`() throws {
    let key = MemberKey.generate()
    let text = "# cluster key\n\n  \(key.text)\r\n"
    #expect(try KeyFile.parse(Array(text.utf8)) == Keyring([key]))
  }

  @Test func `a line that is no key is told by its number, never by what it says`() {
    let short = String(MemberKey.generate().text.dropLast(4))
    let fault = #expect(throws: KeyFileFault.self) {
      try KeyFile.parse(Array("# one\n\(short)\n".utf8))
    }
    #expect(fault == .badLine(number: 2))
    #expect(fault.map { !"\($0)".contains(short.prefix(8)) } == true)
  }

  @Test func `no key, and one twice, are refused`() {
    let key = MemberKey.generate().text
    #expect(throws: KeyFileFault.badCount(keys: 0)) { try KeyFile.parse(Array("# none\n".utf8)) }
    #expect(throws: KeyFileFault.badCount(keys: 2)) {
      try KeyFile.parse(Array("\(key)\n\(key)\n".utf8))
    }
  }
}

@Suite struct JoinTargetTests {
  @Test func `an address is an endpoint, a name is not`() {
    #expect(JoinTarget(host: "127.0.0.1", port: 7000)?.endpoint == Endpoint("127.0.0.1:7000"))
    #expect(JoinTarget(host: "2001:db8::7", port: 7001)?.endpoint == endpoint)
    #expect(JoinTarget(host: "n1.example", port: 7000)?.endpoint == nil)
    #expect(JoinTarget(host: "127.0.0.1", port: 0) == nil)
  }

  @Test func `localhost is found, and what is reserved for nobody is not`() {
    let found = NameLookup.endpoints(of: JoinTarget(host: "localhost", port: 7000)!)
    #expect(found.contains(Endpoint("127.0.0.1:7000")!) || found.contains(Endpoint("[::1]:7000")!))
    // RFC 6761 §6.4
    #expect(NameLookup.endpoints(of: JoinTarget(host: "nobody.invalid", port: 7000)!).isEmpty)
  }
}
