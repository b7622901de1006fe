// One node that hears whatever a seed makes up, and what must hold of it all the same.
import NIOCore
import Testing
import Wire

@testable import Membership

/// Others exist in what the node is told alone: they answer nothing.
struct LoneNode {
  static let id = MemberID("own")!
  static let endpoint = Endpoint("10.0.0.1:7000")!
  static let names = (0..<6).map { MemberID("n\($0)")! }

  var swim: Swim
  var now = seconds(1000)
  var events: [Event] = []
  /// What the last input led to.
  var actions: [Action] = []
  var story = Story()
  private var others = Envelope(keyring: nil, label: "test", session: 1)
  private var claims: [MemberID: Claim] = [:]

  init(seed: UInt64, generation: UInt64 = 5) {
    var actions: [Action] = []
    swim = Swim(
      SwimConfiguration(), id: Self.id, profile: Profile(endpoint: Self.endpoint),
      generation: generation, keyring: nil, label: "test", peers: [], seed: seed, session: 2,
      at: now, into: &actions)
    note(actions)
  }

  /// What an owner says of itself follows from its life and incarnation; of few endpoints, so that some are shared.
  static func profile(_ id: MemberID, _ generation: UInt64, _ incarnation: UInt32) -> Profile {
    let host = id == Self.id && generation % 2 == 1 ? 1 : UInt32(2 + (id.place ^ generation) % 7)
    let metadata = try! Metadata(pairs: [("load", "\(incarnation / 2)")])
    return Profile(endpoint: Endpoint(ipv4: 0x0a00_0000 + host, port: 7000)!, metadata: metadata)
  }

  static func rumour(about id: MemberID, _ random: inout Random) -> Rumour {
    let generation = UInt64(3 + random.below(5))
    let incarnation = UInt32(random.below(5))
    let status = Status.allCases[random.below(4)]
    let isAccused = status == .suspect && !random.oneIn(4)
    return Rumour(
      id: id, claim: Claim(generation: generation, incarnation: incarnation, status: status),
      profile: profile(id, generation, incarnation),
      accuser: isAccused ? names[random.below(6)] : nil, isRefused: isAccused && random.oneIn(2),
      ageSeconds: status.isPresent ? 0 : UInt32(random.below(300_000)))
  }

  mutating func advance(by duration: Duration) {
    let end = now + duration
    while !swim.isStopped, let deadline = swim.nextDeadline, deadline <= end {
      now = max(now, deadline)
      input { swim, now, actions in swim.advance(to: now, into: &actions) }
      #expect(swim.nextDeadline.map { $0 > now } ?? true, "it would be woken again and again")
    }
    now = end
  }

  mutating func hear(_ message: Message, _ rumours: [Rumour] = [], from source: Endpoint) {
    hear(datagram(message, rumours), from: source)
  }

  mutating func hear(_ datagram: ByteBuffer, from source: Endpoint) {
    input { swim, now, actions in
      swim.receive(datagram.readableBytesView, from: source, at: now, into: &actions)
    }
  }

  mutating func datagram(_ message: Message, _ rumours: [Rumour] = []) -> ByteBuffer {
    others.seal(body(message, rumours))
  }

  func body(_ message: Message, _ rumours: [Rumour]) -> ByteBuffer {
    var body = ByteBuffer()
    Codec.encode(message, rumours: rumours.map { Codec.encode($0) }, into: &body)
    return body
  }

  mutating func input(_ body: (inout Swim, Instant, inout [Action]) -> Void) {
    var actions: [Action] = []
    body(&swim, now, &actions)
    note(actions)
  }

  private mutating func note(_ actions: [Action]) {
    self.actions = actions
    for action in actions {
      switch action {
      case .emit(let event):
        events.append(event)
        story.add(event)
      case .send(let bytes, _), .sendAsking(let bytes, _):
        #expect(bytes.readableBytes <= Codec.datagramBytesMax)
      case .write(_, let bytes): #expect(bytes.readableBytes <= Codec.frameBytesMax)
      default: break
      }
    }
    // The last event of a turn shows what is left after it.
    if case .emit(.view(let view)) = actions.last(where: {
      if case .emit = $0 { true } else { false }
    }) {
      let present = swim.members.filter { $0.status.isPresent }.map(\.id)
      #expect(view.members == present.sorted())
    }
    for member in swim.members {
      if let known = claims[member.id] { #expect(member.claim >= known, "of \(member.id)") }
      claims[member.id] = member.claim
    }
    #expect(swim.queuedRumours <= Dissemination.entriesMax)
    #expect(swim.openProbes <= 64)
    #expect(swim.timerCount <= 400)
  }
}

/// The events of each member, held against the automaton of `Event`.
struct Story {
  private enum State { case present, suspect, gone }
  private var states: [MemberID: (state: State, claim: Claim)] = [:]
  private var lastView: UInt64?

  mutating func add(_ event: Event) {
    switch event {
    case .joined(let member): turn(member, from: [nil, .gone], to: .present, event)
    case .suspected(let member, _): turn(member, from: [.present], to: .suspect, event)
    case .refuted(let member): turn(member, from: [.suspect], to: .present, event)
    case .updated(let member): turn(member, from: [.present], to: .present, event)
    case .died(let member), .left(let member):
      turn(member, from: [.present, .suspect], to: .gone, event)
    case .view(let view):
      #expect(view.id != lastView, "the same view twice")
      lastView = view.id
    case .superseded: break
    }
  }

  private mutating func turn(
    _ member: Member, from allowed: [State?], to next: State, _ event: Event
  ) {
    #expect(member.id != LoneNode.id, "of the node itself nothing is told")
    let known = states[member.id]
    if let known {
      #expect(member.claim.generation >= known.claim.generation, "\(event)")
    }
    let isSameLife = known?.claim.generation == member.claim.generation
    #expect(allowed.contains(isSameLife ? known?.state : nil), "\(event) after \(known as Any)")
    let expected: [Status] =
      switch next {
      case .present: [.alive]
      case .suspect: [.suspect]
      case .gone: [.dead, .left]
      }
    #expect(expected.contains(member.status), "\(event)")
    states[member.id] = (next, member.claim)
  }
}
