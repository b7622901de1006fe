// What changes while a node lives: metadata, keys, snapshots, what is forgotten.
import NIOCore
import Testing
import Wire

@testable import Membership

@Suite struct RenewalTests {
  @Test func `a change of metadata is everywhere within a second, and told once`() throws {
    let network = TestNetwork.cluster(of: 30, seed: 71)
    let start = network.now
    let metadata = try Metadata(pairs: [("gateway", "10.0.0.1:8420"), ("zone", "a")])
    network.perform(.setMetadata(metadata), on: 5)
    #expect(
      network.run(atMost: .seconds(1)) {
        network.running.allSatisfy {
          network.swim($0).member(TestNetwork.id(5))?.profile.metadata == metadata
        }
      })
    network.run(for: .seconds(5))
    for observer in network.running where observer != 5 {
      #expect(network.story(of: 5, at: observer, since: start) == ["updated"])
      #expect(network.views(at: observer, since: start).isEmpty)
    }
  }

  @Test func `metadata that stays the same changes nothing`() {
    let network = TestNetwork.cluster(of: 3, seed: 72)
    let claim = network.swim(1).claim
    network.perform(.setMetadata(Metadata()), on: 1)
    #expect(network.swim(1).claim == claim)
  }

  @Test func `keys are rotated without a gap`() throws {
    let old = try #require(MemberKey(bytes: [UInt8](repeating: 1, count: 32)))
    let new = try #require(MemberKey(bytes: [UInt8](repeating: 2, count: 32)))
    let network = TestNetwork.cluster(of: 5, seed: 73) { $0.keyring = Keyring([old]) }
    let start = network.now
    for ring in [[old, new], [new, old], [new]] {
      for index in 0..<5 {
        network.perform(.setKeyring(try #require(Keyring(ring))), on: index)
        network.run(for: .milliseconds(700))
      }
      network.run(for: .seconds(5))
    }
    for observer in 0..<5 {
      for member in 0..<5 where member != observer {
        let story = network.story(of: member, at: observer, since: start)
        #expect(!story.isEmpty && story.allSatisfy { $0 == "updated" })
        #expect(network.swim(observer).member(TestNetwork.id(member))?.profile.keys == [new.id])
      }
    }
    #expect(network.nodes[0].snapshots.last?.keys == [new.id])
  }

  @Test func `another key or label changes nothing`() throws {
    let network = TestNetwork.cluster(of: 3, seed: 74) {
      $0.keyring = Keyring([MemberKey(bytes: [UInt8](repeating: 1, count: 32))!])
    }
    let hash = network.swim(0).viewHash
    network.keyring = Keyring([MemberKey(bytes: [UInt8](repeating: 9, count: 32))!])
    let other = network.start(9, peers: [TestNetwork.endpoint(0)])
    network.run(for: .seconds(20))
    #expect(network.swim(0).viewHash == hash)
    #expect(network.swim(other).memberCount == 1)
    #expect(network.swim(0).counters.refused[.unknownKey] > 0)
  }

  @Test func `a snapshot names the peers that were there`() {
    let network = TestNetwork.cluster(of: 5, seed: 75, settle: .seconds(15))
    let snapshot = network.nodes[2].snapshots.last
    #expect(snapshot?.generation == network.swim(2).claim.generation)
    #expect(snapshot?.peers.map(\.id) == [0, 1, 3, 4].map { TestNetwork.id($0) })
  }

  @Test func `the dead are forgotten by all after three days, and nobody brings them back`() {
    let network = TestNetwork.cluster(of: 3, seed: 76) {
      $0.configuration.probePeriod = .seconds(600)
      $0.configuration.mechanisms.remove(.watch)
    }
    network.perform(.leave, on: 2)
    network.run(for: .seconds(72 * 3600 - 60))
    #expect(network.all(hold: 2, .left))
    network.run(for: .seconds(300))
    #expect(network.status(of: 2, at: 0) == nil)
    #expect(network.status(of: 2, at: 1) == nil)
    network.run(for: .seconds(3600))
    #expect(network.status(of: 2, at: 0) == nil)
    #expect(network.hasEqualRecords())
  }

  @Test func `one that leaves after a long life has just left`() throws {
    let network = TestNetwork.cluster(of: 2, seed: 79) {
      $0.configuration.probePeriod = .seconds(600)
      $0.configuration.mechanisms.remove(.watch)
    }
    network.run(for: .seconds(80 * 3600))
    network.perform(.leave, on: 1)
    network.run(for: .seconds(1))
    let member = try #require(network.swim(0).member(TestNetwork.id(1)))
    #expect(member.status == .left)
    #expect(network.now - member.since <= .seconds(2))
  }

  @Test func `any datagram that is not understood changes nothing but a count`() {
    let network = TestNetwork.cluster(of: 3, seed: 77, settle: .seconds(10))
    var random = Random(seed: 5)
    let before = (
      network.swim(1).viewHash, network.swim(1).queuedRumours, network.swim(1).openStreams
    )
    let refused = network.swim(1).counters.refused.total
    for length in 0..<500 {
      var bytes = ByteBuffer()
      for _ in 0..<length { bytes.writeInteger(UInt8(truncatingIfNeeded: random.next())) }
      #expect(network.inject(bytes, from: Endpoint("10.0.0.9:1")!, to: 1).isEmpty)
    }
    let swim = network.swim(1)
    #expect((swim.viewHash, swim.queuedRumours, swim.openStreams) == before)
    #expect(swim.counters.refused.total == refused + 500)
  }

  @Test func `the same seed gives the same events`() {
    func trace() -> [String] {
      let network = TestNetwork.cluster(of: 12, seed: 78) { $0.loss = 0.1 }
      network.kill(3)
      network.freeze(5, for: .seconds(7))
      network.run(for: .seconds(20))
      return network.nodes.flatMap { $0.events.map { "\($0.at.nanoseconds) \($0.event)" } }
    }
    #expect(trace() == trace())
  }
}
