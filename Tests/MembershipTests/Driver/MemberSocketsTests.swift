// Members over real sockets of loopback: they see each other, and who goes.
import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import Membership

/// A driver on a loop of its own group, and what it tells.
private final class LoopbackMember: Sendable {
  let events: AsyncStream<Event>
  let stops: AsyncStream<StopReason>
  let snapshots: AsyncStream<Snapshot>
  let endpoint: Endpoint
  private let group: MultiThreadedEventLoopGroup
  private let loop: any EventLoop
  private let driver: NIOLoopBound<MemberDriver>

  init(
    _ id: String, at address: String = "127.0.0.1", joining: [JoinTarget] = [],
    change: @Sendable (inout MemberSetup) -> Void = { _ in }
  ) async throws {
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    self.loop = loop
    let (events, tell) = AsyncStream.makeStream(of: Event.self)
    let (stops, stopped) = AsyncStream.makeStream(of: StopReason.self)
    let (snapshots, persist) = AsyncStream.makeStream(of: Snapshot.self)
    (self.events, self.stops, self.snapshots) = (events, stops, snapshots)
    var setup = MemberSetup(
      id: MemberID(id)!, startedAt: 1, seed: MemberID(id)!.place, session: MemberID(id)!.place)
    setup.join = joining
    change(&setup)
    let made = setup
    let address = try SocketAddress(ipAddress: address, port: 0)
    driver = try await loop.submit {
      let driver = MemberDriver(
        made, sockets: try BoundSockets(address), on: loop, logger: Logger(label: id),
        hooks: MemberHooks(
          event: { tell.yield($0) }, persist: { persist.yield($0) },
          stopped: { stopped.yield($0) }))
      return NIOLoopBound(driver, eventLoop: loop)
    }.get()
    let driver = driver
    endpoint = try await loop.submit { driver.value.endpoint }.get()
  }

  var target: JoinTarget {
    JoinTarget(host: endpoint.socketAddress.ipAddress!, port: Int(endpoint.port))!
  }

  /// Takes what was told up to and with the first that is looked for.
  func told(_ isSought: (Event) -> Bool) async -> Event? {
    for await event in events where isSought(event) { return event }
    return nil
  }

  func perform(_ command: Command) {
    let driver = driver
    loop.execute { driver.value.perform(command) }
  }

  func read<Value: Sendable>(_ body: @escaping @Sendable (MemberDriver) -> Value) async throws
    -> Value
  {
    let driver = driver
    return try await loop.submit { body(driver.value) }.get()
  }

  /// As a crash, and with it the loop.
  func kill() async throws {
    let driver = driver
    try await loop.submit { driver.value.close() }.get()
    try await group.shutdownGracefully()
  }
}

extension Event {
  fileprivate func isJoined(_ id: String) -> Bool {
    if case .joined(let member) = self { member.id.text == id } else { false }
  }
  fileprivate func isView(_ ids: String...) -> Bool {
    if case .view(let view) = self { view.members.map(\.text) == ids } else { false }
  }
  fileprivate func isDeath(_ id: String) -> Bool {
    if case .died(let member) = self { member.id.text == id } else { false }
  }
  fileprivate func isLeave(_ id: String) -> Bool {
    if case .left(let member) = self { member.id.text == id } else { false }
  }
}

@Suite(.timeLimit(.minutes(1))) struct MemberSocketsTests {
  @Test(arguments: ["127.0.0.1", "::1"])
  func `two members see each other over either family`(address: String) async throws {
    let first = try await LoopbackMember("n1", at: address)
    let second = try await LoopbackMember("n2", at: address, joining: [first.target])
    #expect(await first.told { $0.isJoined("n2") } != nil)
    #expect(await second.told { $0.isView("n1", "n2") } != nil)
    #expect(await first.told { $0.isView("n1", "n2") } != nil)
    try await first.kill()
    try await second.kill()
  }

  @Test
  func `members with one key and label hear each other, and nobody hears a third with neither`()
    async throws
  {
    let keyring = Keyring([.generate()])!
    let first = try await LoopbackMember("n1") {
      $0.keyring = keyring
      $0.label = "blue"
    }
    let stranger = try await LoopbackMember("x", joining: [first.target])
    let second = try await LoopbackMember("n2", joining: [first.target]) {
      $0.keyring = keyring
      $0.label = "blue"
    }
    #expect(await second.told { $0.isView("n1", "n2") } != nil)
    #expect(await first.told { $0.isView("n1", "n2") } != nil)
    let refused = try await first.read { driver in
      PacketRefusal.allCases.reduce(0) { $0 + driver.core.counters.refused[$1] }
    }
    #expect(refused > 0)
    for member in [first, stranger, second] { try await member.kill() }
  }

  @Test func `one that crashes is known to be dead within seconds, for its sockets refuse`()
    async throws
  {
    let first = try await LoopbackMember("n1")
    let second = try await LoopbackMember("n2", joining: [first.target])
    let third = try await LoopbackMember("n3", joining: [first.target])
    for member in [first, second, third] {
      #expect(await member.told { $0.isView("n1", "n2", "n3") } != nil)
    }
    let began = ContinuousClock.now
    try await third.kill()
    for member in [first, second] {
      #expect(await member.told { $0.isDeath("n3") } != nil)
      #expect(await member.told { $0.isView("n1", "n2") } != nil)
    }
    // 0.5 s of suspicion, 0.3 s of a quiet view, and what two busy cores add.
    #expect(ContinuousClock.now - began < .seconds(10))
    try await first.kill()
    try await second.kill()
  }

  @Test func `one that leaves says so, and stops within a second or so`() async throws {
    let first = try await LoopbackMember("n1")
    let second = try await LoopbackMember("n2", joining: [first.target])
    #expect(await second.told { $0.isView("n1", "n2") } != nil)
    second.perform(.leave)
    for await reason in second.stops {
      #expect(reason == .left)
      break
    }
    #expect(await first.told { $0.isLeave("n2") } != nil)
    try await first.kill()
    try await second.kill()
  }

  @Test func `a seed's name is looked up, and one that nobody knows does no harm`() async throws {
    let first = try await LoopbackMember("n1")
    let targets = [
      JoinTarget(host: "nobody.invalid", port: 7000)!,
      JoinTarget(host: "localhost", port: Int(first.endpoint.port))!,
    ]
    let second = try await LoopbackMember("n2", joining: targets)
    #expect(await second.told { $0.isView("n1", "n2") } != nil)
    try await first.kill()
    try await second.kill()
  }

  @Test func `a change of metadata is told`() async throws {
    let first = try await LoopbackMember("n1")
    let second = try await LoopbackMember("n2", joining: [first.target])
    #expect(await first.told { $0.isView("n1", "n2") } != nil)
    second.perform(.setMetadata(try Metadata(pairs: [(name: "load", value: "3")])))
    let update = await first.told { if case .updated = $0 { true } else { false } }
    guard case .updated(let member) = update else {
      Issue.record("no update: \(String(describing: update))")
      return
    }
    #expect(member.profile.metadata["load"] == "3")
    try await first.kill()
    try await second.kill()
  }

  @Test func `through a network that loses a third, members find each other all the same`()
    async throws
  {
    let first = try await LoopbackMember("n1") {
      $0.impairment = Impairment(seed: 1, loss: 0.3, delay: .zero ... .milliseconds(20))
    }
    let target = first.target
    let second = try await LoopbackMember("n2", joining: [target]) {
      $0.impairment = Impairment(seed: 2, loss: 0.3, delay: .zero ... .milliseconds(20))
    }
    #expect(await first.told { $0.isView("n1", "n2") } != nil)
    #expect(await second.told { $0.isView("n1", "n2") } != nil)
    try await first.kill()
    try await second.kill()
  }

  @Test func `a flood of rubbish over both sockets keeps nobody from being heard`() async throws {
    let first = try await LoopbackMember("n1")
    let target = first.endpoint
    var rubbish = Random(seed: 3)
    let flood = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
    defer { close(flood) }
    for _ in 0..<20_000 {
      let bytes = (0..<rubbish.below(1300)).map { _ in UInt8(truncatingIfNeeded: rubbish.next()) }
      target.socketAddress.withSockAddr { address, length in
        _ = sendto(flood, bytes, bytes.count, 0, address, socklen_t(length))
      }
    }
    let second = try await LoopbackMember("n2", joining: [first.target])
    #expect(await second.told { $0.isView("n1", "n2") } != nil)
    #expect(await first.told { $0.isView("n1", "n2") } != nil)
    let others = try await first.read { $0.core.memberCount }
    #expect(others == 2)
    try await first.kill()
    try await second.kill()
  }
}
