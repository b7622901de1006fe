// One id, one life: restarts, wiped states, slow clocks, and two who bear the same name.
import NIOCore
import Testing
import Wire

@testable import Membership

@Suite struct IdentityTests {
  @Test func `a restart is a new life that all see within a second`() {
    let network = TestNetwork.cluster(of: 10, seed: 51)
    let old = network.swim(4).claim.generation
    network.kill(4)
    let start = network.now
    network.restart(4, peers: [TestNetwork.endpoint(0)])
    #expect(
      network.run(atMost: .seconds(1)) {
        network.running.allSatisfy {
          let member = network.swim($0).member(TestNetwork.id(4))
          return member!.status == .alive && member!.claim.generation > old
        }
      })
    network.run(for: .seconds(10))
    for observer in network.running where observer != 4 {
      #expect(network.story(of: 4, at: observer, since: start).last == "joined")
      #expect(!network.story(of: 4, at: observer, since: start).contains("died"))
    }
    #expect(network.hasEqualRecords())
  }

  @Test func `a restart with a wiped state and a slow clock beats what is remembered of it`() {
    let network = TestNetwork.cluster(of: 10, seed: 52)
    let old = network.swim(4).claim.generation
    network.kill(4)
    network.restart(4, peers: [TestNetwork.endpoint(0)], generation: old - 3_600_000)
    #expect(
      network.run(atMost: .seconds(1)) {
        network.running.allSatisfy {
          network.swim($0).member(TestNetwork.id(4))?.claim.generation == old + 1
        }
      })
    #expect(network.nodes[4].snapshots.first?.generation == old + 1)
    network.run(for: .seconds(10))
    #expect(network.all(hold: 4, .alive))
  }

  @Test func `it does after it was found dead, too`() {
    let network = TestNetwork.cluster(of: 10, seed: 53)
    let old = network.swim(4).claim.generation
    network.kill(4)
    network.run(for: .seconds(5))
    #expect(network.all(hold: 4, .dead))
    network.restart(4, peers: [TestNetwork.endpoint(0)], generation: old - 3_600_000)
    #expect(network.run(atMost: .seconds(1)) { network.all(hold: 4, .alive) })
    #expect(network.swim(4).claim.generation > old)
  }

  @Test func `at another address, with a slow clock, it asks the old one first`() {
    let network = TestNetwork.cluster(of: 5, seed: 54)
    let old = network.swim(4).claim.generation
    network.kill(4)
    let again = network.start(
      20, id: TestNetwork.id(4), peers: [TestNetwork.endpoint(0)], generation: old - 3_600_000)
    network.run(for: .milliseconds(50))
    #expect(network.swim(again).claim.generation == old - 3_600_000)
    network.run(for: .seconds(2))
    #expect(network.swim(again).claim.generation > old)
    network.run(for: .seconds(5))
    #expect(network.swim(0).member(TestNetwork.id(4))?.endpoint == TestNetwork.endpoint(20))
    #expect(network.swim(0).member(TestNetwork.id(4))?.status == .alive)
    #expect(network.hasEqualRecords())
  }

  @Test func `of two with one id the one with the earlier generation stops`() {
    let network = TestNetwork.cluster(of: 5, seed: 55)
    let again = network.start(20, id: TestNetwork.id(4), peers: [TestNetwork.endpoint(0)])
    network.run(for: .seconds(3))
    #expect(network.nodes[4].stopped == .superseded)
    #expect(network.nodes[again].stopped == nil)
    #expect(
      network.nodes[4].events.contains {
        if case .superseded(_, TestNetwork.endpoint(20)) = $0.event { true } else { false }
      })
    network.run(for: .seconds(5))
    #expect(network.swim(0).member(TestNetwork.id(4))?.status == .alive)
  }

  @Test(arguments: [true, false])
  func `a later life that answers from its machine's other address is believed in seals`(
    isSealed: Bool
  ) throws {
    let network = TestNetwork.cluster(of: 2, seed: 61) {
      if isSealed { $0.keyring = Keyring([MemberKey(bytes: [UInt8](repeating: 7, count: 32))!]) }
    }
    var later = Envelope(keyring: network.keyring, label: "test", session: 97)
    func hear(_ message: Message, _ rumours: [Rumour], from source: Endpoint) {
      var body = ByteBuffer()
      Codec.encode(message, rumours: rumours.map { Codec.encode($0) }, into: &body)
      _ = network.inject(later.seal(body), from: source, to: 1)
    }
    var claim = network.swim(1).claim
    claim.generation += 5
    let rumour = Rumour(
      id: TestNetwork.id(1), claim: claim, profile: Profile(endpoint: TestNetwork.endpoint(20)))
    hear(.gossip(Gossip(from: TestNetwork.id(0))), [rumour], from: TestNetwork.endpoint(0))
    let contest = try #require(network.swim(1).contest)
    let ack = Ack(
      sequence: contest.sequence, from: TestNetwork.id(1), generation: claim.generation,
      view: ViewMark(hash: 0, settled: 0))
    hear(.ack(ack), [], from: TestNetwork.endpoint(21))
    #expect(network.nodes[1].stopped == (isSealed ? .superseded : nil))
  }

  @Test func `of two whose generations are the same, one is left`() {
    let network = TestNetwork.cluster(of: 5, seed: 56)
    let generation = network.swim(4).claim.generation
    let again = network.start(
      20, id: TestNetwork.id(4), peers: [TestNetwork.endpoint(0)], generation: generation)
    network.run(for: .seconds(15))
    #expect([network.nodes[4].stopped, network.nodes[again].stopped].count { $0 == nil } == 1)
    #expect(network.swim(0).member(TestNetwork.id(4))?.status == .alive)
  }

  @Test func `a ping whose target is another id is not answered`() {
    let network = TestNetwork.cluster(of: 2, seed: 57)
    let ping = Ping(
      sequence: 1, from: TestNetwork.id(0), generation: 1, target: MemberID("other")!,
      targetGeneration: 0, view: ViewMark(hash: 0, settled: 0))
    #expect(network.ask(ping, of: 1).isEmpty)
    let own = Ping(
      sequence: 1, from: TestNetwork.id(0), generation: 1, target: TestNetwork.id(1),
      targetGeneration: 0, view: ViewMark(hash: 0, settled: 0))
    #expect(network.ask(own, of: 1).count == 1)
  }

  @Test func `a ping for an earlier life is answered with the news of this one`() throws {
    let network = TestNetwork.cluster(of: 2, seed: 58)
    let ping = Ping(
      sequence: 1, from: TestNetwork.id(0), generation: 1, target: TestNetwork.id(1),
      targetGeneration: 5, view: ViewMark(hash: 0, settled: 0))
    let answer = try #require(network.ask(ping, of: 1).first)
    #expect(answer.rumours.contains { $0.id == TestNetwork.id(1) })
  }

  @Test func `in clear an unknown asker gets no more bytes than it sent`() {
    let network = TestNetwork.cluster(of: 3, seed: 59)
    // Something to tell waits.
    network.perform(.setMetadata(try! Metadata(pairs: [("zone", "a")])), on: 1)
    let ping = Ping(
      sequence: 1, from: MemberID("stranger")!, generation: 1, target: TestNetwork.id(1),
      targetGeneration: 5, view: ViewMark(hash: 0, settled: 0))
    let (question, answers) = network.exchange(
      .ping(ping), from: Endpoint("10.0.0.1:5000")!, with: 1)
    #expect(answers.count == 1)
    #expect(answers.allSatisfy { $0.readableBytes <= question.readableBytes })
  }

  @Test func `in clear nobody makes a node ping who is no member`() {
    let network = TestNetwork.cluster(of: 3, seed: 60)
    let request = PingRequest(
      sequence: 1, from: MemberID("stranger")!, target: TestNetwork.id(2),
      endpoint: Endpoint("10.0.0.2:53")!, remainingMilliseconds: 500)
    #expect(
      network.exchange(.pingRequest(request), from: Endpoint("10.0.0.1:5000")!, with: 1).answers
        .isEmpty)
    #expect(
      network.exchange(.pingRequest(request), from: TestNetwork.endpoint(0), with: 1).answers
        .isEmpty)
  }
}

extension TestNetwork {
  /// What a node sends to `source` when it is asked, and the question's bytes.
  func exchange(
    _ message: Message, rumours: [Rumour] = [], from source: Endpoint, with index: Int
  ) -> (question: ByteBuffer, answers: [ByteBuffer]) {
    var envelope = Envelope(keyring: keyring, label: "test", session: 99)
    var body = ByteBuffer()
    Codec.encode(message, rumours: rumours.map { Codec.encode($0) }, into: &body)
    let question = envelope.seal(body)
    let actions = inject(question, from: source, to: index)
    let answers: [ByteBuffer] = actions.compactMap {
      if case .send(let bytes, let to) = $0, to == source { bytes } else { nil }
    }
    return (question, answers)
  }

  /// The acks to a ping from node 0's address.
  func ask(_ ping: Ping, of index: Int) -> [Packet] {
    var envelope = Envelope(keyring: keyring, label: "test", session: 98)
    return exchange(.ping(ping), from: Self.endpoint(0), with: index).answers.compactMap {
      guard let body = try? envelope.open($0.readableBytesView),
        let packet = try? Codec.decode(body), case .ack = packet.message
      else { return nil }
      return packet
    }
  }
}
