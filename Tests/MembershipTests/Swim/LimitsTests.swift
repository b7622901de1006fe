// What strangers, and members that err, can ask of a node: never more than it can bear.
import NIOCore
import Testing
import Wire

@testable import Membership

@Suite struct LimitsTests {
  private func hello(_ name: String) -> Message {
    .hello(Hello(from: MemberID(name)!, generation: 1))
  }

  @Test func `lifelines of members stay, those of others are let go`() {
    let network = TestNetwork.cluster(of: 8, seed: 101)
    for number in 0..<400 { network.open(number, saying: [hello("ghost\(number)")], at: 0) }
    #expect(network.swim(0).openStreams > 400)
    network.run(for: .seconds(30))
    #expect((6...8).contains(network.swim(0).openStreams))
  }

  @Test func `a member has one lifeline here, the last that it opened`() {
    let network = TestNetwork.cluster(of: 2, seed: 102)
    for number in 0..<50 { network.open(number, saying: [hello("n1")], at: 0) }
    #expect(network.swim(0).openStreams <= 2)
  }

  @Test func `a stream that was let go of and is not closed is closed here`() {
    let network = TestNetwork.cluster(of: 2, seed: 103)
    for number in 0..<50 { network.open(number, saying: [hello("n1"), .bye], at: 0) }
    #expect(network.swim(0).openStreams > 50)
    network.run(for: .seconds(11))
    #expect(network.swim(0).openStreams <= 2)
  }

  @Test func `two do not tell each other for ever what one cannot refute`() {
    let network = TestNetwork.cluster(of: 2, seed: 104)
    let last = Rumour(
      id: TestNetwork.id(1),
      claim: Claim(generation: Codec.generationMax, incarnation: .max, status: .dead),
      profile: Profile(endpoint: TestNetwork.endpoint(1)))
    _ = network.exchange(
      .gossip(Gossip(from: TestNetwork.id(1))), rumours: [last], from: TestNetwork.endpoint(1),
      with: 0)
    let before = network.datagramsSent
    network.run(for: .seconds(10))
    #expect(network.status(of: 1, at: 0) == .dead)
    #expect(network.datagramsSent - before < 300)
  }

  @Test(arguments: [0, 1, 1 << 40] as [UInt64])
  func `in clear no ping gets more bytes than it has`(generation: UInt64) {
    let network = TestNetwork.cluster(of: 3, seed: 105)
    let ping = Ping(
      sequence: 1, from: MemberID("s")!, generation: generation, target: TestNetwork.id(1),
      targetGeneration: 0, view: ViewMark(hash: 0, settled: 0))
    let (question, answers) = network.exchange(
      .ping(ping), from: Endpoint("10.0.0.1:5000")!, with: 1)
    #expect(answers.allSatisfy { $0.readableBytes <= question.readableBytes })
    #expect(answers.isEmpty == (generation < 2))
  }

  @Test func `an answer without end fills no memory`() throws {
    var actions: [Action] = []
    var now = seconds(1)
    var swim = Swim(
      SwimConfiguration(), id: TestNetwork.id(0),
      profile: Profile(endpoint: TestNetwork.endpoint(0)), generation: 5, keyring: nil,
      label: "test", peers: [TestNetwork.endpoint(1)], seed: 1, session: 1, at: now,
      into: &actions)
    let opened: StreamID? = actions.lazy.compactMap {
      if case .openStream(let stream, _) = $0 { stream } else { nil }
    }.first
    let stream = try #require(opened)
    now += .milliseconds(1)
    swim.stream(.connected, stream, at: now, into: &actions)
    // Of members that were forgotten long ago, so that they leave no record.
    let rumours = (0..<100).map {
      Rumour(
        id: TestNetwork.id($0 + 1), claim: Claim(generation: 1, incarnation: 0, status: .dead),
        profile: Profile(endpoint: TestNetwork.endpoint($0 + 1)), ageSeconds: 73 * 3600)
    }
    let answer = Answer(
      from: TestNetwork.id(1), generation: 1, differing: BucketSet(), isLast: false)
    var body = ByteBuffer()
    Codec.encode(.answer(answer), rumours: rumours.map { Codec.encode($0) }, into: &body)
    var envelope = Envelope(keyring: nil, label: "test", session: 2)
    var seal = StreamEnvelope(number: 1, isOpener: false)
    let frame = envelope.seal(body, on: &seal)
    swim.stream(.frame(frame.readableBytesView), stream, at: now, into: &actions)
    #expect(swim.counters.received[.answer] == 1)
    #expect(swim.streams[stream]?.heard.isEmpty == true)
  }

  @Test func `answers to the questions of one life answer none of another`() {
    let numbers = (0..<8 as Range<UInt64>).map { seed in
      var actions: [Action] = []
      var swim = Swim(
        SwimConfiguration(), id: TestNetwork.id(0),
        profile: Profile(endpoint: TestNetwork.endpoint(0)), generation: 5, keyring: nil,
        label: "test", peers: [], seed: seed, session: 1, at: seconds(1), into: &actions)
      return swim.probes.nextNumber()
    }
    #expect(Set(numbers).count == numbers.count)
  }

  @Test func `the view of the largest cluster goes out in one go`() {
    #expect(StreamLimits().unsentBytesMax > Roster.membersMax * Codec.rumourBytesMax)
  }

  @Test func `one that leaves soon keeps where the others were`() {
    let network = TestNetwork.cluster(of: 5, seed: 106)
    network.perform(.leave, on: 2)
    network.run(for: .seconds(1))
    #expect(
      network.nodes[2].snapshots.last?.peers.map(\.id) == [0, 1, 3, 4].map { TestNetwork.id($0) })
  }
}
