// Finding each other, from the first two to thirty at once.
import Testing
import Wire

@testable import Membership

@Suite struct JoiningTests {
  @Test func `two nodes see each other, and both tell a view of both`() {
    let network = TestNetwork.cluster(of: 2, seed: 1, settle: .seconds(1))
    #expect(network.story(of: 0, at: 1) == ["joined"])
    #expect(network.story(of: 1, at: 0) == ["joined"])
    #expect(network.allView([0, 1]))
    #expect(network.swim(0).view?.id == network.swim(1).view?.id)
    #expect(network.hasEqualRecords())
  }

  @Test func `a node without peers tells a view of itself at once`() {
    let network = TestNetwork(seed: 2)
    network.start(0)
    network.run(for: .milliseconds(1))
    #expect(network.swim(0).view?.members == [TestNetwork.id(0)])
  }

  @Test func `a node with a peer that is not there tells its first view after the hold`() {
    let network = TestNetwork(seed: 3)
    network.start(0, peers: [TestNetwork.endpoint(9)])
    network.run(for: .milliseconds(9_900))
    #expect(network.swim(0).view == nil)
    network.run(for: .milliseconds(200))
    #expect(network.swim(0).view?.members == [TestNetwork.id(0)])
  }

  @Test(arguments: [5, 30, 100])
  func `all that start at once see each other within two seconds`(count: Int) {
    let network = TestNetwork.cluster(of: count, seed: 4, settle: .seconds(2))
    #expect(network.allView(Array(0..<count)))
    #expect(network.hasEqualRecords())
    for observer in 0..<count {
      #expect(network.views(at: observer, since: .init(nanoseconds: 0)).count <= 3)
    }
  }

  @Test func `one that joins is known to all within a second`() {
    let network = TestNetwork.cluster(of: 50, seed: 5)
    network.start(50, peers: [TestNetwork.endpoint(7)])
    #expect(network.run(atMost: .seconds(1)) { network.all(hold: 50, .alive) })
    #expect(network.run(atMost: .seconds(1)) { network.allView(Array(0...50)) })
  }

  @Test func `a peer that comes late is found`() {
    let network = TestNetwork(seed: 6)
    network.start(0, peers: [TestNetwork.endpoint(1)])
    network.run(for: .seconds(40))
    network.start(1)
    #expect(network.run(atMost: .seconds(10)) { network.status(of: 1, at: 0) == .alive })
  }

  @Test func `a name whose addresses change for ever is still looked for at the last one`() {
    let network = TestNetwork(seed: 10)
    network.start(0, peers: [TestNetwork.endpoint(2)])
    for number in 0..<2000 as Range<UInt32> {
      network.perform(.join([Endpoint(ipv4: 0x0a00_0000 + number, port: 7000)!]), on: 0)
    }
    network.start(1)
    network.perform(.join([TestNetwork.endpoint(1)]), on: 0)
    #expect(network.run(atMost: .seconds(20)) { network.status(of: 1, at: 0) == .alive })
    // Nor is the one forgotten that was named at the start.
    network.start(2)
    #expect(network.run(atMost: .seconds(20)) { network.status(of: 2, at: 0) == .alive })
  }

  @Test func `many peers that do not answer keep nobody from the one that does`() {
    let network = TestNetwork(seed: 11)
    for index in 1...100 { network.start(index) }
    // Only the last two of the hundred and one reach each other.
    network.isCut = { [$0, $1].sorted() != [99, 100] }
    network.start(0, peers: (1...100).map { TestNetwork.endpoint($0) })
    #expect(network.run(atMost: .seconds(40)) { network.swim(99).memberCount == 2 })
  }

  @Test func `nobody joins itself`() {
    let network = TestNetwork(seed: 7)
    network.start(0, peers: [TestNetwork.endpoint(0), TestNetwork.endpoint(1)])
    network.start(1, peers: [TestNetwork.endpoint(0), TestNetwork.endpoint(1)])
    network.run(for: .seconds(2))
    #expect(network.allView([0, 1]))
  }

  @Test func `thirty that restart at once see each other complete within five seconds`() {
    let network = TestNetwork.cluster(of: 30, seed: 8)
    let peers = (0..<30).map { TestNetwork.endpoint($0) }
    for index in 0..<30 { network.kill(index) }
    let start = network.now
    for index in 0..<30 {
      network.at(start + .milliseconds(Int64(index * 66))) { network.restart(index, peers: peers) }
    }
    network.run(for: .seconds(5))
    #expect(network.allView(Array(0..<30)))
    #expect(network.hasEqualRecords())
  }

  @Test func `the same in seals`() {
    let network = TestNetwork.cluster(of: 5, seed: 9, settle: .seconds(2)) {
      $0.keyring = Keyring([MemberKey(bytes: [UInt8](repeating: 7, count: 32))!])
    }
    #expect(network.allView(Array(0..<5)))
    #expect(network.datagramBytesMaxSeen <= 1200)
  }
}
