// Each mechanism beyond SWIM does what it is there for, and can be switched off.
import NIOCore
import Testing
import Wire

@testable import Membership

@Suite struct MechanismTests {
  private func cluster(
    of count: Int, seed: UInt64, without mechanism: Mechanisms, settle: Duration = .seconds(5)
  ) -> TestNetwork {
    TestNetwork.cluster(of: count, seed: seed, settle: settle) {
      $0.configuration.mechanisms.remove(mechanism)
    }
  }

  @Test func `without evidence a killed node is found as a silent one is`() {
    let network = cluster(of: 10, seed: 81, without: .evidence)
    network.kill(3)
    network.run(for: .seconds(3))
    #expect(network.running.allSatisfy { network.status(of: 3, at: $0) != .dead })
    #expect(network.run(atMost: .seconds(5)) { network.all(hold: 3, .dead) })
  }

  @Test func `without lifelines nobody opens streams that stay`() {
    let network = cluster(of: 10, seed: 82, without: .lifelines)
    #expect(network.running.allSatisfy { network.swim($0).openStreams == 0 })
    let others = TestNetwork.cluster(of: 10, seed: 82)
    #expect(others.running.allSatisfy { others.swim($0).openStreams >= 3 })
  }

  @Test func `without decay a suspicion lasts its least time however many confirm`() {
    let network = cluster(of: 10, seed: 83, without: [.decayingSuspicion, .evidence])
    network.freeze(3, for: .seconds(60))
    network.run(for: .seconds(10))
    #expect(network.all(hold: 3, .dead))
    #expect(network.running.allSatisfy { network.swim($0).counters.probesUrgent <= 3 })
  }

  @Test func `a suspicion that nobody confirms lasts six times as long`() {
    // The accuser alone is cut off from the suspect, and hears no helper.
    let network = cluster(of: 6, seed: 84, without: [.tcpPing, .lifelines, .watch, .buddy])
    let start = network.now
    network.isCut = { from, to in [from, to] == [0, 1] || [from, to] == [1, 0] }
    network.run(for: .seconds(60))
    for observer in 2..<6 {
      #expect(!network.story(of: 1, at: observer, since: start).contains("died"))
    }
  }

  @Test func `helpers keep two apart from suspecting each other`() {
    let network = cluster(of: 6, seed: 85, without: .tcpPing)
    let start = network.now
    network.isCut = { from, to in [from, to] == [0, 1] || [from, to] == [1, 0] }
    network.run(for: .seconds(30))
    #expect(network.story(of: 1, at: 0, since: start) == [])
    #expect(network.swim(0).counters.probesHelped > 0)
    #expect(network.swim(0).localHealthScore == 0)
  }

  @Test func `a helper that has no answer says so before the verdict`() throws {
    let network = TestNetwork.cluster(of: 3, seed: 86)
    network.freeze(2, for: .seconds(5))
    let request = PingRequest(
      sequence: 77, from: TestNetwork.id(0), target: TestNetwork.id(2),
      endpoint: TestNetwork.endpoint(2), remainingMilliseconds: 500)
    let before = network.swim(1).counters.sent[.nack]
    _ = network.exchange(.pingRequest(request), from: TestNetwork.endpoint(0), with: 1)
    network.run(for: .milliseconds(390))
    #expect(network.swim(1).counters.sent[.nack] == before)
    network.run(for: .milliseconds(20))
    #expect(network.swim(1).counters.sent[.nack] == before + 1)
  }

  @Test func `a node whose helpers are silent doubts itself`() {
    let network = TestNetwork.cluster(of: 6, seed: 87)
    network.isCut = { $0 == 0 || $1 == 0 }
    network.run(for: .seconds(4))
    #expect(network.swim(0).localHealthScore > 2)
    let other = cluster(of: 6, seed: 87, without: .localHealth)
    other.isCut = { $0 == 0 || $1 == 0 }
    other.run(for: .seconds(4))
    #expect(other.swim(0).counters.probes > network.swim(0).counters.probes)
  }

  @Test func `without anti-entropy a view that misses a member stays so`() {
    for mechanisms in [Mechanisms.all, Mechanisms.all.subtracting(.antiEntropy)] {
      let network = TestNetwork.cluster(of: 5, seed: 88) {
        $0.configuration.mechanisms = mechanisms
      }
      // A record that only one has, and that nobody gossips.
      let stranger = Rumour(
        id: TestNetwork.id(9), claim: Claim(generation: 5, incarnation: 0, status: .left),
        profile: Profile(endpoint: TestNetwork.endpoint(9)))
      network.adopt([stranger], on: 2)
      #expect(!network.hasEqualRecords())
      network.run(for: .seconds(10))
      #expect(network.hasEqualRecords() == mechanisms.contains(.antiEntropy))
    }
  }

  @Test(arguments: [Mechanisms.all, Mechanisms.all.subtracting(.stallShift)])
  func `a node that stood still drops its verdicts only when it shifts`(mechanisms: Mechanisms) {
    let network = TestNetwork.cluster(of: 10, seed: 89) {
      $0.configuration.mechanisms = mechanisms
    }
    // Its last pings get lost, and it stands still before it can tell why.
    network.isCut = { $0 == 4 || $1 == 4 }
    network.run(for: .milliseconds(900))
    network.freeze(4, for: .seconds(20))
    network.run(for: .milliseconds(19_900))
    network.isCut = { _, _ in false }
    network.run(for: .seconds(5))
    #expect((network.swim(4).counters.accusations == 0) == mechanisms.contains(.stallShift))
    #expect((network.swim(4).counters.stalls > 0) == mechanisms.contains(.stallShift))
  }

  @Test func `without the watch nobody shows itself`() {
    let network = cluster(of: 10, seed: 90, without: .watch, settle: .seconds(20))
    let datagrams = network.datagramsSent
    network.run(for: .seconds(60))
    #expect(network.datagramsSent - datagrams <= 60 * 10 * 2 + 30)
  }

  @Test func `a silent successor is probed within a second`() {
    for seed in 0..<5 as Range<UInt64> {
      let network = TestNetwork.cluster(of: 30, seed: 900 + seed)
      let start = network.now
      network.freeze(7, for: .seconds(30))
      #expect(network.run(atMost: .seconds(5)) { network.all(hold: 7, .dead) })
      #expect(network.now - start >= .seconds(4))
    }
  }

  @Test func `many streams that open and end leave no timers behind`() {
    let network = TestNetwork.cluster(of: 2, seed: 91)
    network.openAndClose(5000, at: 0)
    #expect(network.swim(0).timerCount < 2500)
    #expect(network.swim(0).openStreams <= 4)
  }

  @Test func `more streams than there may be are closed at once`() {
    let network = TestNetwork.cluster(of: 2, seed: 92)
    network.open(600, at: 0)
    #expect(network.swim(0).openStreams <= Stream.acceptedMax + 3)
    #expect(network.swim(0).counters.refused[.limit] > 80)
    network.run(for: .seconds(11))
    #expect(network.swim(0).openStreams <= 4)
  }
}
