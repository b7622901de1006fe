// A stream and what it is for; and all that are open, in the order of their opening.
import NIOCore

struct Stream: Sendable {
  enum Role: Hashable, Sendable {
    /// Opened to a peer, to join through whoever is there.
    case contact
    /// Opened to exchange views.
    case exchange(with: MemberID)
    /// Opened to ping.
    case ping(probe: UInt32)
    /// Opened to notice its end.
    case lifeline(to: MemberID, generation: UInt64)
    /// Accepted; nothing was heard so far.
    case accepted
    /// Accepted; an offer was answered, the rest is to come.
    case answering
    /// Accepted as a lifeline.
    case held(by: MemberID, generation: UInt64)
    /// Accepted, and nothing more is expected but its end.
    case done

    /// Both kinds may be idle for ever.
    var isLifeline: Bool {
      switch self {
      case .lifeline, .held: true
      default: false
      }
    }

    /// Whose end it notices.
    var member: MemberID? {
      switch self {
      case .lifeline(let member, _), .held(let member, _): member
      default: nil
      }
    }
  }

  /// Nothing that is asked on a stream takes longer.
  static let patience = Duration.seconds(10)
  /// Accepted ones, of all kinds: 99 members may join through one at once.
  static let acceptedMax = 512
  /// Opened ones without the lifelines: as many as there may be probes, and some to join by.
  static let openedMax = ProbeTable.countMax + 16

  let endpoint: Endpoint
  var role: Role
  var seal: StreamEnvelope
  var isConnected: Bool
  var dueAt: Instant?
  /// In an exchange: what the other one said of each member.
  var heard: [MemberID: Claim] = [:]
}

struct StreamTable: Sendable {
  private var streams: [StreamID: Stream] = [:]
  private(set) var ids: [StreamID] = []
  private var lastOpened: UInt64 = 0
  private(set) var acceptedCount = 0

  var count: Int { ids.count }
  var openedCount: Int { ids.count - acceptedCount }

  subscript(id: StreamID) -> Stream? { streams[id] }

  mutating func nextOpened() -> StreamID {
    lastOpened += 2
    return StreamID(lastOpened)
  }

  mutating func insert(_ stream: Stream, as id: StreamID) {
    if streams.updateValue(stream, forKey: id) == nil {
      ids.append(id)
      if !id.isOwn { acceptedCount += 1 }
    }
  }

  mutating func update(_ id: StreamID, _ change: (inout Stream) -> Void) {
    guard streams[id] != nil else { return }
    change(&streams[id]!)
  }

  mutating func remove(_ id: StreamID) -> Stream? {
    guard let stream = streams.removeValue(forKey: id) else { return nil }
    ids.removeAll { $0 == id }
    if !id.isOwn { acceptedCount -= 1 }
    return stream
  }

  mutating func seal(
    _ body: ByteBuffer, on id: StreamID, by envelope: inout Envelope
  ) -> ByteBuffer? {
    guard streams[id] != nil else { return nil }
    return envelope.seal(body, on: &streams[id]!.seal)
  }

  mutating func open(
    _ bytes: ByteBufferView, on id: StreamID, by envelope: inout Envelope
  ) throws(OpenError) -> ByteBufferView? {
    guard streams[id] != nil else { return nil }
    return try envelope.open(bytes, on: &streams[id]!.seal)
  }

  /// In the order of their opening.
  func ids(where condition: (Stream) -> Bool) -> [StreamID] {
    ids.filter { condition(streams[$0]!) }
  }
}
