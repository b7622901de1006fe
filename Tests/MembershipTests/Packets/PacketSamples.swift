// Packets for tests: those of the golden files, and any that a seed makes.
import Glibc
import Membership
import NIOCore
import Wire

func id(_ text: String) -> MemberID {
  guard let id = MemberID(text) else { preconditionFailure("\(text) is no name") }
  return id
}

func endpoint(_ text: String) -> Endpoint {
  guard let endpoint = Endpoint(text) else { preconditionFailure("\(text) is no endpoint") }
  return endpoint
}

func metadata(_ pairs: KeyValuePairs<String, String>) -> Metadata {
  guard let metadata = try? Metadata(pairs: pairs.map { (name: $0.key, value: $0.value) }) else {
    preconditionFailure("\(pairs) is no metadata")
  }
  return metadata
}

func memberKey(_ bytes: some Sequence<UInt8>) -> MemberKey {
  guard let key = MemberKey(bytes: Array(bytes)) else { preconditionFailure("no key") }
  return key
}

func keyring(_ keys: MemberKey...) -> Keyring {
  guard let keyring = Keyring(keys) else { preconditionFailure("no key ring") }
  return keyring
}

func encoded(_ packet: Packet) -> ByteBuffer {
  var body = ByteBuffer()
  Codec.encode(packet.message, rumours: packet.rumours.map(Codec.encode), into: &body)
  return body
}

/// What the golden files hold, by the names that they give it: Golden/encode.py has the same values.
enum GoldenSamples {
  static let alive = Rumour(
    id: id("n1"), claim: Claim(generation: 1_767_225_600_000, incarnation: 0, status: .alive),
    profile: Profile(endpoint: endpoint("127.0.0.1:7001")))
  static let suspect = Rumour(
    id: id("node-2.example"),
    claim: Claim(generation: 1_767_225_600_123, incarnation: .max, status: .suspect),
    profile: Profile(
      endpoint: endpoint("[2001:db8::7]:65535"),
      metadata: metadata(["zone": "b", "gateway": "10.0.0.7:8420"]),
      keys: [KeyID(0x0bad_c0de), KeyID(1)]),
    accuser: id("n1"), isRefused: true)
  static let unaccused = Rumour(
    id: id("n3"), claim: Claim(generation: 128, incarnation: 127, status: .suspect),
    profile: Profile(endpoint: endpoint("10.0.0.3:1")))
  static let dead = Rumour(
    id: id("n4"), claim: Claim(generation: Codec.generationMax, incarnation: 1, status: .dead),
    profile: Profile(endpoint: endpoint("10.0.0.4:7000")), ageSeconds: 3600)
  static let left = Rumour(
    id: id("n5"), claim: Claim(generation: 1, incarnation: 0, status: .left),
    profile: Profile(endpoint: endpoint("[::1]:7000"), metadata: metadata(["load": ""])))

  static let mark = ViewMark(hash: 0x0123_4567_89ab_cdef, settled: 20)
  static let ping = Message.ping(
    Ping(
      sequence: 0x1234_5678, from: id("n1"), generation: 1_767_225_600_000, target: id("n2"),
      targetGeneration: 0, view: mark))
  static let ack = Message.ack(
    Ack(sequence: 0x1234_5678, from: id("n2"), generation: 1_767_225_600_001, view: mark))

  /// In the order in which the file's packets were sealed.
  static let datagrams: [(name: String, packet: Packet)] = [
    ("ping", Packet(message: ping, rumours: [alive])),
    ("ack", Packet(message: ack, rumours: [suspect])),
    ("ping-request-ipv4", Packet(message: request(7, "n4", "10.0.0.4:7000", 750))),
    ("ping-request-ipv6", Packet(message: request(8, "n5", "[::1]:7000", .max))),
    ("nack", Packet(message: .nack(Nack(sequence: 7, from: id("n3"))))),
    (
      "gossip",
      Packet(
        message: .gossip(Gossip(from: id("n1"))), rumours: [alive, suspect, unaccused, dead, left])
    ),
  ]
  static let opened: [(name: String, packet: Packet)] = [
    ("hello", Packet(message: .hello(Hello(from: id("n1"), generation: 1_767_225_600_000)))),
    ("bye", Packet(message: .bye)),
    (
      "offer",
      Packet(
        message: .offer(
          Offer(
            from: id("n1"), generation: 1_767_225_600_000, isJoin: true,
            buckets: (0..<256).map { $0 &* 0x9e37_79b9_7f4a_7c15 })),
        rumours: [alive])
    ),
    (
      "rest", Packet(message: .rest(Rest(from: id("n1"), isLast: true)), rumours: [unaccused])
    ),
    ("ping-frame", Packet(message: ping)),
  ]
  static let accepted: [(name: String, packet: Packet)] = [
    (
      "answer",
      Packet(
        message: .answer(
          Answer(
            from: id("n2"), generation: 1_767_225_600_001, differing: differing, isLast: false)),
        rumours: [dead, left])
    ),
    ("ack-frame", Packet(message: ack)),
  ]

  private static var differing: BucketSet {
    var buckets = BucketSet()
    for bucket in 0..<256 where bucket / 8 % 3 == 0 && 0xa5 >> (bucket % 8) & 1 == 1 {
      buckets.insert(bucket)
    }
    return buckets
  }

  private static func request(
    _ sequence: UInt32, _ target: String, _ address: String, _ milliseconds: UInt16
  ) -> Message {
    .pingRequest(
      PingRequest(
        sequence: sequence, from: id("n1"), target: id(target), endpoint: endpoint(address),
        remainingMilliseconds: milliseconds))
  }
}

/// A golden file's packets by name: hexadecimal numbers below a line `== name`; `#` begins a comment.
func goldenPackets(_ file: String, folder: StaticString = #filePath) throws -> [String: [UInt8]] {
  let here = String(describing: folder).split(separator: "/", omittingEmptySubsequences: false)
  let path = here.dropLast(2).joined(separator: "/") + "/Golden/" + file
  guard let stream = fopen(path, "r") else { throw GoldenFault(line: "no file \(path)") }
  defer { fclose(stream) }
  var text: [UInt8] = []
  while case let byte = fgetc(stream), byte != EOF { text.append(UInt8(truncatingIfNeeded: byte)) }
  var packets: [String: [UInt8]] = [:]
  var name = ""
  for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
    if line.hasPrefix("== ") {
      name = String(line.dropFirst(3))
      continue
    }
    for digits in line.prefix(while: { $0 != "#" }).split(separator: " ") {
      guard let byte = UInt8(digits, radix: 16) else { throw GoldenFault(line: String(line)) }
      packets[name, default: []].append(byte)
    }
  }
  return packets
}

struct GoldenFault: Error {
  let line: String
}

extension Random {
  mutating func element<Element>(of choices: [Element]) -> Element { choices[below(choices.count)] }

  /// A number of any size: as often of one byte as of eight.
  mutating func anySize() -> UInt64 { next() >> UInt64(below(64)) }

  mutating func memberID() -> MemberID {
    let alphabet = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    let count = oneIn(4) ? 1 + below(MemberID.bytesMax) : 1 + below(3)
    return id(String((0..<count).map { _ in element(of: alphabet) }))
  }

  mutating func anyEndpoint() -> Endpoint {
    let port = UInt16(1 + below(65_535))
    while true {
      let made =
        oneIn(2)
        ? Endpoint(ipv4: UInt32(truncatingIfNeeded: next()), port: port)
        : Endpoint(high: anySize(), low: anySize(), port: port)
      if let made, made.isUnicast { return made }
    }
  }

  mutating func rumour() -> Rumour {
    let status = element(of: Status.allCases)
    let pairs = (0..<below(4)).map {
      (name: "k\($0)", value: String(repeating: "é", count: below(40)))
    }
    guard let metadata = try? Metadata(pairs: pairs) else { preconditionFailure("small metadata") }
    let isSuspect = status == .suspect
    return Rumour(
      id: memberID(),
      claim: Claim(
        generation: anySize() & Codec.generationMax,
        incarnation: UInt32(truncatingIfNeeded: anySize()), status: status),
      profile: Profile(
        endpoint: anyEndpoint(), metadata: metadata,
        keys: (0..<below(9)).map { _ in KeyID(UInt32(truncatingIfNeeded: next())) }),
      accuser: isSuspect && oneIn(2) ? memberID() : nil, isRefused: isSuspect && oneIn(2),
      ageSeconds: status.isPresent ? 0 : UInt32(truncatingIfNeeded: anySize()))
  }

  mutating func message() -> Message {
    let (sequence, from) = (UInt32(truncatingIfNeeded: next()), memberID())
    let generation = anySize() & Codec.generationMax
    let view = ViewMark(hash: next(), settled: UInt8(truncatingIfNeeded: next()))
    switch below(10) {
    case 0:
      return .ping(
        Ping(
          sequence: sequence, from: from, generation: generation, target: memberID(),
          targetGeneration: anySize() & Codec.generationMax, view: view))
    case 1: return .ack(Ack(sequence: sequence, from: from, generation: generation, view: view))
    case 2:
      return .pingRequest(
        PingRequest(
          sequence: sequence, from: from, target: memberID(), endpoint: anyEndpoint(),
          remainingMilliseconds: UInt16(truncatingIfNeeded: next())))
    case 3: return .nack(Nack(sequence: sequence, from: from))
    case 4: return .gossip(Gossip(from: from))
    case 5: return .hello(Hello(from: from, generation: generation))
    case 6: return .bye
    case 7:
      let buckets = (0..<ViewDigest.bucketCount).map { _ in next() }
      return .offer(
        Offer(from: from, generation: generation, isJoin: oneIn(2), buckets: buckets))
    case 8:
      var differing = BucketSet()
      for _ in 0..<below(20) { differing.insert(below(ViewDigest.bucketCount)) }
      return .answer(
        Answer(from: from, generation: generation, differing: differing, isLast: oneIn(2)))
    default: return .rest(Rest(from: from, isLast: oneIn(2)))
    }
  }

  mutating func packet() -> Packet {
    let message = message()
    if case .hello = message { return Packet(message: message) }
    return Packet(message: message, rumours: (0..<below(5)).map { _ in rumour() })
  }
}
