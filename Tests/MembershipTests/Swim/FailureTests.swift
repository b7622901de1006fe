// Deaths, pauses, losses: who is held for dead, how soon, and who is not.
import Testing
import Wire

@testable import Membership

@Suite struct FailureTests {
  @Test(arguments: [5, 30, 100])
  func `a killed node is known for dead to all within two seconds`(count: Int) {
    let network = TestNetwork.cluster(of: count, seed: UInt64(10 + count))
    let killed = network.now
    network.kill(3)
    let isKnown = network.run(atMost: .seconds(2)) { network.all(hold: 3, .dead) }
    #expect(isKnown, "after \(network.now - killed)")
    #expect(network.story(of: 3, at: 0, since: killed) == ["suspected", "died"])
  }

  @Test(arguments: [5, 30, 100])
  func `one that falls silent is known for dead to all within six seconds`(count: Int) {
    let network = TestNetwork.cluster(of: count, seed: UInt64(20 + count))
    let start = network.now
    network.freeze(3, for: .seconds(60))
    let isKnown = network.run(atMost: .seconds(6)) { network.all(hold: 3, .dead) }
    #expect(isKnown, "after \(network.now - start)")
    #expect(network.now - start >= .seconds(4))
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func `a pause of three seconds kills nobody`(seed: UInt64) {
    let network = TestNetwork.cluster(of: 10, seed: 100 + seed)
    let start = network.now
    network.freeze(Int(seed) % 10, for: .seconds(3))
    network.run(for: .seconds(10))
    for observer in 0..<10 {
      for member in 0..<10 {
        #expect(!network.story(of: member, at: observer, since: start).contains("died"))
      }
    }
    #expect(network.allView(Array(0..<10)))
  }

  @Test func `a member that slept accuses nobody, and is back within two seconds`() {
    let network = TestNetwork.cluster(of: 10, seed: 31)
    let start = network.now
    network.freeze(4, for: .seconds(20))
    network.run(for: .seconds(20))
    #expect(network.all(hold: 4, .dead))
    #expect(network.run(atMost: .seconds(2)) { network.all(hold: 4, .alive) })
    network.run(for: .seconds(10))
    for observer in 0..<10 where observer != 4 {
      #expect(network.story(of: 4, at: observer, since: start) == ["suspected", "died", "joined"])
      for member in 0..<10 where member != 4 {
        #expect(network.story(of: member, at: observer, since: start) == [])
        #expect(network.story(of: member, at: 4, since: start) == [])
      }
    }
  }

  @Test func `three killed at once make one change of views`() {
    let network = TestNetwork.cluster(of: 30, seed: 32)
    let start = network.now
    for index in [3, 4, 5] { network.kill(index) }
    network.run(for: .seconds(5))
    let rest = (0..<30).filter { ![3, 4, 5].contains($0) }
    #expect(network.allView(rest))
    for observer in rest { #expect(network.views(at: observer, since: start).count == 1) }
  }

  @Test(arguments: 0..<4 as Range<UInt64>)
  func `a loss of thirty percent for a minute kills nobody`(seed: UInt64) {
    let network = TestNetwork.cluster(of: 10, seed: 300 + seed)
    let start = network.now
    network.loss = 0.3
    network.run(for: .seconds(60))
    network.loss = 0
    network.run(for: .seconds(5))
    for observer in 0..<10 {
      for member in 0..<10 {
        #expect(!network.story(of: member, at: observer, since: start).contains("died"))
      }
    }
    #expect(network.hasEqualRecords())
  }

  @Test func `where only datagrams are cut, nobody dies and views stay equal`() {
    let network = TestNetwork.cluster(of: 6, seed: 33)
    let start = network.now
    network.isCutForDatagrams = { ($0 < 3) != ($1 < 3) }
    network.run(for: .seconds(60))
    for observer in 0..<6 {
      for member in 0..<6 {
        #expect(!network.story(of: member, at: observer, since: start).contains("died"))
      }
    }
  }

  @Test func `a partition makes two views, and heals within five seconds to one`() {
    let network = TestNetwork.cluster(of: 10, seed: 34)
    network.isCut = { ($0 < 5) != ($1 < 5) }
    network.run(for: .seconds(60))
    #expect(network.allView(Array(0..<5)))
    #expect(network.allView(Array(5..<10)))
    network.isCut = { _, _ in false }
    let start = network.now
    #expect(network.run(atMost: .seconds(5)) { network.allView(Array(0..<10)) })
    network.run(for: .seconds(10))
    #expect(network.hasEqualRecords())
    // Nobody is taken for dead by his own side in this.
    for observer in 0..<10 {
      for member in 0..<10 where (member < 5) == (observer < 5) {
        #expect(!network.story(of: member, at: observer, since: start).contains("died"))
      }
    }
  }

  @Test func `a node that leaves is never taken for dead`() {
    let network = TestNetwork.cluster(of: 30, seed: 35)
    let start = network.now
    network.perform(.leave, on: 7)
    #expect(network.run(atMost: .seconds(1)) { network.nodes[7].stopped == .left })
    #expect(network.run(atMost: .seconds(1)) { network.all(hold: 7, .left) })
    network.run(for: .seconds(10))
    for observer in 0..<30 where observer != 7 {
      #expect(network.story(of: 7, at: observer, since: start) == ["left"])
      #expect(network.views(at: observer, since: start).count == 1)
    }
  }

  @Test func `idle, a node sends a ping and an ack a second, and shows itself to one`() {
    let network = TestNetwork.cluster(of: 10, seed: 36, settle: .seconds(20))
    let (datagrams, bytes) = (network.datagramsSent, network.bytesSent)
    network.run(for: .seconds(60))
    let datagramsMax = 600 * 2 + 600 * 4 / 3 + 50
    #expect(network.datagramsSent - datagrams <= datagramsMax)
    #expect((network.bytesSent - bytes) / 600 <= 150)
  }

  @Test func `evidence of the gateway starts a probe at once`() {
    let network = TestNetwork.cluster(of: 5, seed: 37)
    let before = network.swim(0).counters.probesUrgent
    network.hint(about: TestNetwork.id(3), on: 0)
    #expect(network.swim(0).counters.probesUrgent == before + 1)
    // And many failures in one second no more than one.
    network.run(for: .milliseconds(500))
    for _ in 0..<100 { network.hint(about: TestNetwork.id(3), on: 0) }
    #expect(network.swim(0).counters.probesUrgent == before + 1)
    network.run(for: .milliseconds(500))
    network.hint(about: TestNetwork.id(3), on: 0)
    #expect(network.swim(0).counters.probesUrgent == before + 2)
    network.run(for: .seconds(3))
    #expect(network.status(of: 3, at: 0) == .alive)
  }

  @Test func `a cut of one way makes two sides, and heals within five seconds, too`() {
    let network = TestNetwork.cluster(of: 8, seed: 38)
    network.isCut = { $0 < 4 && $1 >= 4 }
    network.run(for: .seconds(60))
    #expect(network.status(of: 6, at: 1) == .dead)
    #expect(network.status(of: 1, at: 6) == .dead)
    network.isCut = { _, _ in false }
    #expect(network.run(atMost: .seconds(5)) { network.allView(Array(0..<8)) })
    network.run(for: .seconds(10))
    #expect(network.hasEqualRecords())
  }

  @Test func `one that flaps is where it is at the end`() {
    let network = TestNetwork.cluster(of: 10, seed: 39)
    for round in 0..<8 {
      network.kill(6)
      network.run(for: .milliseconds(Int64(150 + round * 130)))
      network.restart(6, peers: [TestNetwork.endpoint(0)])
      network.run(for: .milliseconds(Int64(1300 - round * 140)))
    }
    #expect(network.run(atMost: .seconds(2)) { network.allView(Array(0..<10)) })
    network.run(for: .seconds(15))
    #expect(network.all(hold: 6, .alive))
    #expect(network.hasEqualRecords())
  }

  @Test func `after everything else has died a node still looks for the others`() {
    let network = TestNetwork.cluster(of: 4, seed: 40)
    network.isCut = { $0 == 0 || $1 == 0 }
    network.run(for: .seconds(40))
    #expect(network.allView([1, 2, 3]))
    #expect(network.swim(0).view?.members == [TestNetwork.id(0)])
    network.isCut = { _, _ in false }
    #expect(network.run(atMost: .seconds(5)) { network.allView([0, 1, 2, 3]) })
  }
}
