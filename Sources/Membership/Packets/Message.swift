// What members say to each other, datagram by datagram and frame by frame.

/// A message and the rumours that ride with it.
public struct Packet: Hashable, Sendable {
  public var message: Message
  public var rumours: [Rumour]

  public init(message: Message, rumours: [Rumour] = []) {
    self.message = message
    self.rumours = rumours
  }
}

public enum Message: Hashable, Sendable {
  /// "Are you there?" In a datagram, or as the first frame of a stream when datagrams may be what fails.
  case ping(Ping)
  /// "I am."
  case ack(Ack)
  /// "Ask this one for me" (SWIM §3.1).
  case pingRequest(PingRequest)
  /// A helper's "it has not answered me so far": the helper is there, and so is the way to it (Lifeguard §IV-A).
  case nack(Nack)
  /// Rumours alone.
  case gossip(Gossip)
  /// The first frame of a lifeline: a stream that carries nothing, and whose end tells.
  case hello(Hello)
  /// The opener lets go of a lifeline: nobody died.
  case bye
  /// The first frame of an exchange of views: what I hold, in 256 hashes.
  case offer(Offer)
  /// What I hold of the parts in which we differ. In several frames if one is not enough.
  case answer(Answer)
  /// And what I hold of these. In several frames, too.
  case rest(Rest)
}

/// A message's first byte.
public enum PacketKind: UInt8, CaseIterable, Sendable {
  case ping = 1
  case ack, pingRequest, nack, gossip, hello, bye, offer, answer, rest

  var carriesRumours: Bool { self != .hello }
}

extension Message {
  var kind: PacketKind {
    switch self {
    case .ping: .ping
    case .ack: .ack
    case .pingRequest: .pingRequest
    case .nack: .nack
    case .gossip: .gossip
    case .hello: .hello
    case .bye: .bye
    case .offer: .offer
    case .answer: .answer
    case .rest: .rest
    }
  }
}

/// A hash of all that the sender holds of the members, and how long it has been the same: two that differ for long
/// have missed something, two that differ just now are merely hearing it.
public struct ViewMark: Hashable, Sendable {
  /// `settled` counts tenths of a second up to here, and stays.
  public static let settledMax = UInt8.max

  public var hash: UInt64
  public var settled: UInt8

  public init(hash: UInt64, settled: UInt8) {
    self.hash = hash
    self.settled = settled
  }
}

public struct Ping: Hashable, Sendable {
  public var sequence: UInt32
  public var from: MemberID
  public var generation: UInt64
  /// Whoever is not called so does not answer: another process may have got the address.
  public var target: MemberID
  /// As the sender knows it; 0 if it does not.
  public var targetGeneration: UInt64
  public var view: ViewMark

  public init(
    sequence: UInt32, from: MemberID, generation: UInt64, target: MemberID,
    targetGeneration: UInt64, view: ViewMark
  ) {
    self.sequence = sequence
    self.from = from
    self.generation = generation
    self.target = target
    self.targetGeneration = targetGeneration
    self.view = view
  }
}

public struct Ack: Hashable, Sendable {
  /// That of the ping.
  public var sequence: UInt32
  public var from: MemberID
  public var generation: UInt64
  public var view: ViewMark

  public init(sequence: UInt32, from: MemberID, generation: UInt64, view: ViewMark) {
    self.sequence = sequence
    self.from = from
    self.generation = generation
    self.view = view
  }
}

public struct PingRequest: Hashable, Sendable {
  public var sequence: UInt32
  public var from: MemberID
  public var target: MemberID
  public var endpoint: Endpoint
  /// Until the asker decides. The helper's nack leaves at 80 % of it.
  public var remainingMilliseconds: UInt16

  public init(
    sequence: UInt32, from: MemberID, target: MemberID, endpoint: Endpoint,
    remainingMilliseconds: UInt16
  ) {
    self.sequence = sequence
    self.from = from
    self.target = target
    self.endpoint = endpoint
    self.remainingMilliseconds = remainingMilliseconds
  }
}

public struct Nack: Hashable, Sendable {
  /// That of the ping request.
  public var sequence: UInt32
  public var from: MemberID

  public init(sequence: UInt32, from: MemberID) {
    self.sequence = sequence
    self.from = from
  }
}

public struct Gossip: Hashable, Sendable {
  public var from: MemberID

  public init(from: MemberID) { self.from = from }
}

public struct Hello: Hashable, Sendable {
  public var from: MemberID
  public var generation: UInt64

  public init(from: MemberID, generation: UInt64) {
    self.from = from
    self.generation = generation
  }
}

public struct Offer: Hashable, Sendable {
  public var from: MemberID
  public var generation: UInt64
  public var isJoin: Bool
  /// `ViewDigest.bucketCount` of them.
  public var buckets: [UInt64]

  public init(from: MemberID, generation: UInt64, isJoin: Bool, buckets: [UInt64]) {
    precondition(buckets.count == ViewDigest.bucketCount, "\(buckets.count) buckets")
    self.from = from
    self.generation = generation
    self.isJoin = isJoin
    self.buckets = buckets
  }
}

public struct Answer: Hashable, Sendable {
  public var from: MemberID
  public var generation: UInt64
  /// Those in which the two views differ. The same in each frame of an answer.
  public var differing: BucketSet
  public var isLast: Bool

  public init(from: MemberID, generation: UInt64, differing: BucketSet, isLast: Bool) {
    self.from = from
    self.generation = generation
    self.differing = differing
    self.isLast = isLast
  }
}

public struct Rest: Hashable, Sendable {
  public var from: MemberID
  public var isLast: Bool

  public init(from: MemberID, isLast: Bool) {
    self.from = from
    self.isLast = isLast
  }
}

/// Which of a digest's buckets.
public struct BucketSet: Hashable, Sendable {
  static let byteCount = ViewDigest.bucketCount / 8
  /// Bucket 0 is the lowest bit of the first byte.
  fileprivate(set) var bytes = [UInt8](repeating: 0, count: byteCount)

  public init() {}

  init(bytes: [UInt8]) {
    precondition(bytes.count == Self.byteCount, "\(bytes.count) bytes of buckets")
    self.bytes = bytes
  }

  /// Those in which two views differ.
  public init(differing left: [UInt64], _ right: [UInt64]) {
    precondition(left.count == ViewDigest.bucketCount && left.count == right.count, "all buckets")
    for index in left.indices where left[index] != right[index] { insert(index) }
  }

  public var isEmpty: Bool { bytes.allSatisfy { $0 == 0 } }
  public mutating func insert(_ bucket: Int) { bytes[bucket / 8] |= 1 << UInt8(bucket % 8) }
  public func contains(_ bucket: Int) -> Bool { bytes[bucket / 8] >> UInt8(bucket % 8) & 1 == 1 }
}
