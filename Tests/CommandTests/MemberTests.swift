// `millrace member`: its flags, its lines and pages, and which changes of keys it warns of.
import ArgumentParser
import Glibc
import Membership
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import millrace

private func settings(_ arguments: String...) throws -> MemberSettings {
  let command = try MemberCommand.parse(arguments)
  return try MemberSettings(command.options, http: command.keys.http)
}

private func fault(_ arguments: String...) -> FlagFault? {
  do {
    let command = try MemberCommand.parse(arguments)
    _ = try MemberSettings(command.options, http: command.keys.http)
    return nil
  } catch {
    return error as? FlagFault
  }
}

private let metadata: Metadata = {
  do {
    return try Metadata(pairs: [(name: "zone", value: "b\"")])
  } catch {
    preconditionFailure("one short pair fits: \(error)")
  }
}()

private let member = Member(
  id: MemberID("n4")!, claim: Claim(generation: 1_795_639_390_454, incarnation: 2, status: .alive),
  profile: Profile(
    endpoint: Endpoint("127.0.0.1:7004")!,
    metadata: metadata, keys: [KeyID(0x0bad_c0de)]),
  since: Instant(nanoseconds: 5_000_000_000))

private let noon = Timestamp(milliseconds: 1_767_268_800_123)

@Suite struct `Member flags` {
  @Test func `what is given is understood`() throws {
    let found = try settings(
      "--id", "n1", "--bind", "[::1]:0", "--join", "10.0.0.1:7000", "--join", "seed.example:7001",
      "--metadata", "zone=b", "--metadata", "note=a=b", "--http", "127.0.0.1:0")
    #expect(found.id == MemberID("n1"))
    #expect(found.bind == ListenAddress(host: "::1", port: 0))
    #expect(found.join.map(\.description) == ["10.0.0.1:7000", "seed.example:7001"])
    #expect(found.metadata.map(\.value) == ["b", "a=b"])
    #expect(found.http == ListenAddress(host: "127.0.0.1", port: 0))
  }

  @Test func `what is wrong is told with its flag and what to write instead`() {
    #expect(fault("--bind", "127.0.0.1:0")?.flag == "--id")
    #expect(fault("--id", "n 1")?.flag == "--id")
    #expect(fault("--id", "n1", "--bind", "127.0.0.1")?.flag == "--bind")
    #expect(fault("--id", "n1", "--join", "::1:7000")?.flag == "--join")
    #expect(fault("--id", "n1", "--join", "127.0.0.1:0")?.flag == "--join")
    #expect(fault("--id", "n1", "--metadata", "zone")?.flag == "--metadata")
    #expect(fault("--id", "n1", "--http", "9000")?.flag == "--http")
    #expect(fault("--id", "n1", "--impair", "loss=2")?.flag == "--impair")
  }

  @Test func `flags of keys are found behind either command`() throws {
    let arguments = ["member", "keys", "use", "0badc0de", "--key-file", "F", "--http", "h:1"]
    let use = try #require(try Millrace.parseAsRoot(arguments) as? KeysUse)
    #expect(use.options.keyFile == "F")
    #expect(use.options.http == "h:1")
    #expect(try use.target.id() == KeyID(0x0bad_c0de))
  }

  @Test func `metadata is of flags and file, the flag winning, and no larger than rides along`()
    throws
  {
    let flags = [(name: "zone", value: "b")]
    #expect(try MemberSettings.metadata(flags, file: nil)["zone"] == "b")
    let path = "/tmp/millrace-metadata-\(getpid())"
    let file = fopen(path, "w")
    fputs("# of the rack\nload=3\n\n  zone=c\n", file)
    fclose(file)
    defer { unlink(path) }
    let found = try MemberSettings.metadata(flags, file: path)
    #expect(found.pairs.map { "\($0.name)=\($0.value)" } == ["load=3", "zone=b"])
    #expect(throws: FlagFault.self) {
      try MemberSettings.metadata(
        [(name: "x", value: String(repeating: "y", count: 600))], file: nil)
    }
    #expect(throws: FlagFault.self) { try MemberSettings.metadata([], file: path + ".none") }
  }

  @Test func `a bad network is asked for in words`() throws {
    let found = try #require(Impairment("loss=0.3,delay=5ms..20ms,seed=7,from=10s,until=70s"))
    #expect(found.loss == 0.3)
    #expect(found.delay == .milliseconds(5) ... .milliseconds(20))
    #expect(found.window == .seconds(10) ..< .seconds(70))
    #expect(Impairment("delay=5ms")?.delay == .milliseconds(5) ... .milliseconds(5))
    for text in [
      "loss", "loss=x", "loss=1.1", "delay=9ms..1ms", "lose=1", "loss=0,loss=1", "until=1",
    ] {
      #expect(Impairment(text) == nil, "\(text)")
    }
  }
}

@Suite struct `Member lines` {
  private func text(_ event: Event) -> String {
    String(buffer: EventLines.line(event, own: MemberID("n1")!, at: noon))
  }

  @Test func `an event is one object a line`() {
    let facts =
      #""member":"n4","at":"2026-01-01T12:00:00.123Z","generation":1795639390454,"#
      + #""incarnation":2,"address":"127.0.0.1:7004","metadata":{"zone":"b\""}"#
    #expect(text(.joined(member)) == #"{"event":"joined",\#(facts)}"# + "\n")
    #expect(text(.died(member)) == #"{"event":"died",\#(facts)}"# + "\n")
    #expect(
      text(.suspected(member, by: MemberID("n2"))) == #"{"event":"suspected",\#(facts),"by":"n2"}"#
        + "\n")
    #expect(text(.suspected(member, by: nil)) == #"{"event":"suspected",\#(facts)}"# + "\n")
  }

  @Test func `a view has its id in sixteen digits, and its members`() throws {
    let members: [(id: MemberID, generation: UInt64)] = [
      (try #require(MemberID("n2")), 1), (try #require(MemberID("n1")), 2),
    ]
    let view = View(members: members)
    let digits = String(view.id, radix: 16)
    let id = String(repeating: "0", count: 16 - digits.count) + digits
    #expect(
      text(.view(view)) == #"{"event":"view","at":"2026-01-01T12:00:00.123Z","id":"\#(id)","#
        + #""members":["n1","n2"]}"# + "\n")
  }

  @Test func `who is superseded says by whom`() throws {
    let claim = Claim(generation: 9, incarnation: 1, status: .alive)
    let line = text(.superseded(by: claim, at: Endpoint("[::1]:7")!))
    let json = try JSONValue.parse(line)
    #expect(json["event"] == "superseded")
    #expect(json["member"] == "n1")
    #expect(json["by"]?["generation"] == 9)
    #expect(json["by"]?["address"] == "[::1]:7")
  }

  @Test func `a page of members is JSON with everything that is known of each`() throws {
    var actions: [Action] = []
    let core = Swim(
      SwimConfiguration(), id: member.id, profile: member.profile, generation: 7, keyring: nil,
      label: "", peers: [], seed: 1, session: 1, at: Instant(nanoseconds: 5_000_000_000),
      into: &actions)
    var page = ByteBuffer()
    MemberPages.writeMembers(
      core, monotonic: Instant(nanoseconds: 6_000_000_000), wall: noon, into: &page)
    let json = try JSONValue.parse(page)
    #expect(json["self"] == "n4")
    let own = json["members"]?[0]
    #expect(own?["id"] == "n4")
    #expect(own?["status"] == "alive")
    #expect(own?["since"] == "2026-01-01T11:59:59.123Z")
    #expect(own?["metadata"]?["zone"] == "b\"")
  }
}

@Suite struct `Key changes` {
  private let old = KeyID(1)
  private let new = KeyID(2)

  @Test func `using a key that somebody has not installed is told, with who`() {
    let check = KeyCheck(members: [("n1", [old, new]), ("n2", [old]), ("n3", [old])])
    #expect(check.trouble(using: old) == nil)
    #expect(check.trouble(using: new)?.hasPrefix("n2, n3 would not hear") == true)
  }

  @Test func `removing a key that somebody seals with is told, with who`() {
    let check = KeyCheck(members: [("n1", [new, old]), ("n2", [old, new])])
    #expect(check.trouble(removing: new)?.hasPrefix("n1 ") == true)
    #expect(check.trouble(removing: old)?.hasPrefix("n2 ") == true)
    #expect(KeyCheck(members: [("n1", [new, old])]).trouble(removing: old) == nil)
  }

  @Test func `a member warns of what its own change does to the others`() {
    let check = KeyCheck(members: [("n2", [old])])
    #expect(check.troubles(from: [old], to: [old, new]).isEmpty)
    #expect(check.troubles(from: [old, new], to: [new, old]).count == 1)
    #expect(check.troubles(from: [old], to: [new]).count == 2)
  }

  @Test func `names of keys are eight digits and nothing else`() {
    #expect(KeyID(hexadecimal: "0badc0de") == KeyID(0x0bad_c0de))
    for text in ["badc0de", "0x0badc0", "+badc0de", "0badc0dex", ""] {
      #expect(KeyID(hexadecimal: text) == nil, "\(text)")
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct `Line output Sockets` {
  private final class Ends {
    var read: CInt = -1
    var write: CInt = -1
    init() {
      var ends: [CInt] = [-1, -1]
      precondition(pipe(&ends) == 0)
      (read, write) = (ends[0], ends[1])
    }
  }

  private func line(_ number: Int) -> ByteBuffer {
    ByteBuffer(string: String(repeating: "x", count: 4000) + " \(number)\n")
  }

  /// Reads until there are `count` lines.
  private func lines(_ descriptor: CInt, count: Int) -> [String] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    var found = 0
    while found < count {
      let got = read(descriptor, &piece, piece.count)
      guard got > 0 else { break }
      found += piece[..<got].count { $0 == UInt8(ascii: "\n") }
      bytes += piece[..<got]
    }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  @Test func `a reader that is slow makes nobody wait, and is told how much it missed`()
    async throws
  {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let ends = Ends()
    let (descriptor, source) = (ends.write, ends.read)
    let output = try await loop.submit {
      let output = LineOutput(
        descriptor, on: loop, lost: { ByteBuffer(string: "lost \($0)\n") }, closed: {})
      // Far beyond what the pipe takes and what is kept for it; nobody reads meanwhile.
      for number in 0..<1500 { output.write(self.line(number)) }
      return NIOLoopBound(output, eventLoop: loop)
    }.get()
    let dropped = try await loop.submit { output.value.droppedCount }.get()
    #expect(1..<1500 ~= dropped)
    let kept = lines(source, count: 1500 - dropped)
    #expect(kept.count == 1500 - dropped)
    #expect(kept.enumerated().allSatisfy { $1.hasSuffix("x \($0)") })
    try await loop.submit { output.value.write(self.line(9999)) }.get()
    let rest = lines(source, count: 2)
    #expect(rest.first == "lost \(dropped)")
    #expect(rest.last?.hasSuffix("x 9999") == true)
    close(ends.read)
    close(ends.write)
    try await group.shutdownGracefully()
  }

  @Test func `a full disk ends nothing`() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let descriptor = open("/dev/full", O_WRONLY)
    try #require(descriptor >= 0)
    let isClosed = try await loop.submit {
      let output = LineOutput(descriptor, on: loop, lost: { _ in ByteBuffer() }, closed: {})
      output.write(self.line(1))
      output.check()
      return output.isClosed
    }.get()
    #expect(!isClosed)
    close(descriptor)
    try await group.shutdownGracefully()
  }

  @Test func `that nobody reads any more is told once`() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let ends = Ends()
    let descriptor = ends.write
    close(ends.read)
    let count = try await loop.submit {
      var count = 0
      let output = LineOutput(
        descriptor, on: loop, lost: { _ in ByteBuffer() }, closed: { count += 1 })
      output.check()
      output.write(self.line(1))
      output.check()
      return count
    }.get()
    #expect(count == 1)
    close(ends.write)
    try await group.shutdownGracefully()
  }
}
