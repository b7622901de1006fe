// What an insider may say: any message, with rumours of few members, so that they meet what is known of them.
import NIOCore

@testable import Membership

extension Trial {
  /// A message and rumours that the codec lets through.
  mutating func body(ofDatagram isDatagram: Bool) -> ByteBuffer {
    var body = ByteBuffer()
    let message = message(isDatagram: isDatagram)
    Codec.encode(message, into: &body)
    if case .hello = message { return body }
    for _ in 0..<script.byte() % 4 { body.writeBytes(Codec.encode(rumour())) }
    return body
  }

  private mutating func message(isDatagram: Bool) -> Message {
    let (from, generation) = (member(), generation())
    let view = ViewMark(hash: UInt64(script.byte() % 2), settled: UInt8(script.byte()))
    switch script.byte() % (isDatagram ? 6 : 10) {
    case 0, 5:
      return .ping(
        Ping(
          sequence: sequence(), from: from, generation: generation, target: member(),
          targetGeneration: self.generation(), view: view))
    case 1: return .ack(Ack(sequence: sequence(), from: from, generation: generation, view: view))
    case 2:
      return .pingRequest(
        PingRequest(
          sequence: sequence(), from: from, target: member(),
          endpoint: script.element(of: Self.places),
          remainingMilliseconds: UInt16(script.byte() << 8 | script.byte())))
    case 3: return .nack(Nack(sequence: sequence(), from: from))
    case 4: return .gossip(Gossip(from: from))
    case 6:
      return script.byte() % 4 == 0 ? .bye : .hello(Hello(from: from, generation: generation))
    case 7:
      return .offer(
        Offer(
          from: from, generation: generation, isJoin: script.byte() % 2 == 0,
          buckets: (0..<256).map { UInt64($0 % 7) }))
    case 8:
      var differing = BucketSet()
      for bucket in 0..<256 where script.byte() % 2 == 0 { differing.insert(bucket) }
      return .answer(
        Answer(
          from: from, generation: generation, differing: differing,
          isLast: script.byte() % 4 != 0))
    default: return .rest(Rest(from: from, isLast: script.byte() % 4 != 0))
    }
  }

  mutating func rumour() -> Rumour {
    let (id, status) = (member(), Status.allCases[script.byte() % 4])
    let incarnations: [UInt32] = [0, 1, 2, 3, .max - 1, .max]
    let load = [(name: "load", value: String(script.byte() % 3))]
    let isSuspect = status == .suspect
    return Rumour(
      id: id,
      claim: Claim(
        generation: generation(), incarnation: script.element(of: incarnations), status: status),
      profile: Profile(
        endpoint: script.element(of: Self.places),
        metadata: (try? Metadata(pairs: load)) ?? Metadata(),
        keys: script.byte() % 2 == 0 ? [] : [KeyID(7)]),
      accuser: isSuspect && script.byte() % 4 != 0 ? member() : nil,
      isRefused: isSuspect && script.byte() % 2 == 0,
      ageSeconds: status.isPresent ? 0 : UInt32(script.byte()) * 2000)
  }

  /// The node's own name as often as any other.
  private mutating func member() -> MemberID { name("n\(script.byte() % 7)") }

  private mutating func generation() -> UInt64 {
    let near = subject.claim.generation
    let choices = [
      0, 1, near, near, min(near + 1, Codec.generationMax), near - 1, 2000, 2000,
      Codec.generationMax - 1, Codec.generationMax,
    ]
    return script.element(of: choices)
  }

  /// Mostly that of a question that the node asked, or of another attempt at it.
  private mutating func sequence() -> UInt32 {
    let (known, change) = (script.element(of: asked), UInt32(script.byte()))
    return change < 128 ? known : change < 192 ? known ^ (change & 7) : change
  }

  /// The key in use first: both are known to the insider.
  static func makeRings() -> [Keyring] {
    let keys = [0, 1].compactMap { MemberKey(bytes: [UInt8](repeating: $0, count: 32)) }
    let orders = [[keys[0]], [keys[0], keys[1]], [keys[1], keys[0]]]
    return orders.compactMap { Keyring($0) }
  }
}

func name(_ text: String) -> MemberID {
  guard let id = MemberID(text) else { fatalError("\(text) is no name") }
  return id
}

func endpoint(_ text: String) -> Endpoint {
  guard let endpoint = Endpoint(text) else { fatalError("\(text) is no endpoint") }
  return endpoint
}
