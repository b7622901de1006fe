// What holds of a node whatever it hears: legal stories, bounds, repetition and order without effect.
import NIOCore
import Testing
import Wire

@testable import Membership

@Suite struct PropertyTests {
  /// Any input at all, most of them well-formed.
  static func disturb(_ node: inout LoneNode, _ random: inout Random) {
    let names = LoneNode.names + [LoneNode.id]
    let from = names[random.below(7)]
    let target = names[random.below(7)]
    let source = Endpoint(ipv4: 0x0a00_0001 + UInt32(random.below(9)), port: 7000)!
    let rumours = (0..<random.below(4)).map { _ in
      LoneNode.rumour(about: names[random.below(7)], &random)
    }
    let mark = ViewMark(hash: random.next(), settled: UInt8(random.below(256)))
    // Sequences of pings that are under way, and others.
    let sequence = UInt32(random.below(400)) | (random.oneIn(4) ? 1 << 31 : 0)
    let generation = UInt64(random.below(9))
    var message = Message.gossip(Gossip(from: from))
    switch random.below(12) {
    case 0, 1:
      message = .ping(
        Ping(
          sequence: sequence, from: from, generation: generation, target: target,
          targetGeneration: UInt64(random.below(9)), view: mark))
    case 2, 3:
      // An ack of a contest is an end; there are tests for that.
      let from = from == LoneNode.id ? target : from
      guard from != LoneNode.id else { return }
      message = .ack(Ack(sequence: sequence, from: from, generation: generation, view: mark))
    case 4: message = .nack(Nack(sequence: sequence, from: from))
    case 5:
      message = .pingRequest(
        PingRequest(
          sequence: sequence, from: from, target: target, endpoint: source,
          remainingMilliseconds: UInt16(random.below(1000))))
    case 6: return streams(&node, rumours, from, &random)
    case 7:
      return node.input { swim, now, actions in
        if random.oneIn(2) {
          swim.hint(.connectionFailed, about: from, at: now, into: &actions)
        } else {
          swim.refused(by: source, at: now, into: &actions)
        }
      }
    case 8 where random.oneIn(3):
      let metadata = try! Metadata(pairs: [("load", "\(random.below(5))")])
      return node.input { swim, now, actions in
        swim.perform(.setMetadata(metadata), at: now, into: &actions)
      }
    default: break
    }
    node.hear(message, rumours, from: source)
  }

  /// The ends of streams that are open, and accepted ones with an offer or whatever.
  private static func streams(
    _ node: inout LoneNode, _ rumours: [Rumour], _ from: MemberID, _ random: inout Random
  ) {
    let ends: [StreamEnd] = [.refused, .reset, .ended, .timedOut, .unreachable]
    let own = StreamID(UInt64(random.below(100)) * 2)
    let accepted = StreamID(UInt64(random.below(1 << 20)) * 2 + 1)
    let end = ends[random.below(5)]
    let buckets = (0..<256).map { _ in UInt64(random.below(2)) }
    let offer = Offer(from: from, generation: 4, isJoin: random.oneIn(2), buckets: buckets)
    let body = node.body(.offer(offer), rumours)
    var envelope = Envelope(keyring: nil, label: "test", session: 7)
    var seal = StreamEnvelope(number: 2, isOpener: true)
    let frame = envelope.seal(body, on: &seal)
    let source = Endpoint(ipv4: 0x0a00_0001 + UInt32(random.below(9)), port: 40_000)!
    let isAccepted = random.oneIn(2)
    let choice = random.below(3)
    node.input { swim, now, actions in
      guard isAccepted else {
        return swim.stream(choice == 0 ? .connected : .closed(end), own, at: now, into: &actions)
      }
      swim.stream(.accepted(from: source), accepted, at: now, into: &actions)
      swim.stream(.frame(frame.readableBytesView), accepted, at: now, into: &actions)
      swim.stream(.closed(end), accepted, at: now, into: &actions)
    }
  }

  /// Each step is held against what `LoneNode` checks: claims of members only grow, events follow the automaton, views
  /// are of those present and never told twice, packets and queues are bounded, nobody is woken for nothing.
  @Test(arguments: 0..<60 as Range<UInt64>)
  func `whatever comes, what it knows and tells stays legal`(seed: UInt64) {
    var random = Random(seed: seed)
    var node = LoneNode(seed: seed)
    for _ in 0..<400 {
      Self.disturb(&node, &random)
      if random.oneIn(3) {
        node.advance(by: .milliseconds(random.below(random.oneIn(5) ? 9000 : 200)))
      }
    }
    #expect(!node.swim.isStopped)
    node.advance(by: .seconds(60))
    #expect(node.swim.claim.status == .alive)
    #expect(node.events.count > 8)
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func `it outdoes within two seconds whatever is said of itself`(seed: UInt64) {
    var random = Random(seed: seed)
    var node = LoneNode(seed: seed)
    for _ in 0..<20 {
      let said = (0...random.below(4)).map { _ in LoneNode.rumour(about: LoneNode.id, &random) }
      for rumour in said {
        node.hear(
          .gossip(Gossip(from: LoneNode.names[0])), [rumour],
          from: LoneNode.profile(LoneNode.names[0], 1, 0).endpoint)
      }
      node.advance(by: .seconds(2))
      for rumour in said {
        let isTrue = rumour.claim == node.swim.claim && rumour.profile == node.swim.own.profile
        #expect(node.swim.claim > rumour.claim || isTrue)
      }
    }
    #expect(node.swim.claim.status == .alive)
  }

  @Test func `it refutes an accusation once, however often it comes`() {
    var node = LoneNode(seed: 1)
    let accusation = node.swim.own.suspicion(by: LoneNode.names[1], isRefused: false)
    let source = LoneNode.profile(LoneNode.names[0], 1, 0).endpoint
    let claim = node.swim.claim
    for _ in 0..<50 {
      node.hear(.gossip(Gossip(from: LoneNode.names[0])), [accusation], from: source)
    }
    #expect(node.swim.claim.generation == claim.generation)
    #expect(node.swim.claim.incarnation == claim.incarnation + 1)
    #expect(node.swim.localHealthScore == 1)
  }

  @Test(arguments: 0..<40 as Range<UInt64>)
  func `the order of what it hears and its repetition change nothing of what it knows`(seed: UInt64)
  {
    var random = Random(seed: seed)
    let rumours = (0..<40).map { _ in
      LoneNode.rumour(about: LoneNode.names[random.below(6)], &random)
    }
    let repeated = rumours + (0..<40).map { _ in rumours[random.below(40)] }
    let source = LoneNode.endpoint
    var (one, two) = (LoneNode(seed: 1), LoneNode(seed: 1))
    for rumour in rumours {
      one.hear(.gossip(Gossip(from: LoneNode.names[0])), [rumour], from: source)
    }
    for rumour in repeated.shuffled(using: &random) {
      two.hear(.gossip(Gossip(from: LoneNode.names[0])), [rumour], from: source)
    }
    #expect(one.swim.viewHash == two.swim.viewHash)
    for id in LoneNode.names { #expect(one.swim.member(id)?.claim == two.swim.member(id)?.claim) }
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func `each datagram twice makes the same story as once`(seed: UInt64) {
    var (one, two) = (LoneNode(seed: seed), LoneNode(seed: seed))
    var random = Random(seed: seed)
    // Of a life and incarnation later than any other, so that it is not told anything in return.
    let speaker = MemberID("speaker")!
    let source = Endpoint("10.0.0.99:7000")!
    let profile = Profile(endpoint: source)
    let alive = Rumour(
      id: speaker, claim: Claim(generation: 99, incarnation: 0, status: .alive), profile: profile)
    for _ in 0..<150 {
      let rumour = LoneNode.rumour(about: LoneNode.names[random.below(6)], &random)
      let datagram = one.datagram(.gossip(Gossip(from: speaker)), [alive, rumour])
      one.hear(datagram, from: source)
      for _ in 0...random.below(3) { two.hear(datagram, from: source) }
      let wait = Duration.milliseconds(random.below(400))
      one.advance(by: wait)
      two.advance(by: wait)
      #expect(one.events == two.events)
      #expect(one.swim.viewHash == two.swim.viewHash)
    }
  }

  @Test func `one that is suspected and refutes for hours leaves nothing behind`() {
    var node = LoneNode(seed: 3)
    let id = LoneNode.names[0]
    let endpoint = LoneNode.profile(id, 3, 0).endpoint
    for second in 0..<UInt32(1000) {
      let alive = Rumour(
        id: id, claim: Claim(generation: 3, incarnation: second, status: .alive),
        profile: Profile(endpoint: endpoint))
      let suspect = Rumour(
        id: id, claim: alive.claim.with(.suspect), profile: alive.profile,
        accuser: LoneNode.names[1])
      node.hear(.gossip(Gossip(from: id)), [alive, suspect], from: endpoint)
      node.advance(by: .seconds(1))
    }
    #expect(node.swim.timerCount <= 64)
    #expect(node.swim.queuedRumours <= 8)
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `nobody unknown is sent more than he sent`(seed: UInt64) {
    var random = Random(seed: seed)
    var node = LoneNode(seed: seed)
    for id in LoneNode.names {
      node.hear(
        .gossip(Gossip(from: id)), [LoneNode.rumour(about: id, &random)], from: LoneNode.endpoint)
    }
    let stranger = Endpoint("192.0.2.1:53")!
    let mark = ViewMark(hash: 1, settled: 255)
    for id in LoneNode.names + [LoneNode.id] {
      for message in [
        Message.ping(
          Ping(
            sequence: 1, from: id, generation: 1, target: LoneNode.id, targetGeneration: 1,
            view: mark)),
        .ack(Ack(sequence: 1, from: id, generation: 1, view: mark)),
        .nack(Nack(sequence: 1, from: id)),
        .gossip(Gossip(from: id)),
        .pingRequest(
          PingRequest(
            sequence: 1, from: id, target: LoneNode.names[0], endpoint: stranger,
            remainingMilliseconds: 500)),
      ] {
        let datagram = node.datagram(message)
        node.hear(datagram, from: stranger)
        var sent = 0
        for case .send(let bytes, let to) in node.actions where to == stranger {
          sent += bytes.readableBytes
        }
        #expect(sent <= datagram.readableBytes, "\(message)")
      }
    }
  }
}
