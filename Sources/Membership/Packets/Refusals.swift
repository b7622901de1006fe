// Why a packet was not taken: each reason a word for the metrics, with the facts for whoever looks into it.

/// In a word. Metrics count by these.
public enum PacketRefusal: Int, CaseIterable, Hashable, Sendable {
  case size, version, flags, clear, sealed, cluster, checksum, unknownKey, forged, own, replayed
  case order, session, malformed
  /// Well-formed, but nothing that may come here and now.
  case unexpected
  /// One of this node's limits: members, streams, relays.
  case limit
}

/// A packet that did not come through the envelope. Nothing of it was used, and nothing was changed by it.
public enum OpenError: Error, Hashable, Sendable {
  case tooShort(bytes: Int)
  case tooLong(bytes: Int, bytesMax: Int)
  case unknownVersion(UInt8)
  /// Bits that this version does not have, a frame in a datagram, or a datagram in a frame.
  case unexpectedFlags(UInt8)
  /// It is in clear, and this node has keys.
  case notSealed
  /// It is sealed, and this node has no keys.
  case sealed
  /// In clear, of another label.
  case otherCluster(id: UInt32)
  case wrongChecksum
  /// Sealed with a key that this node has not.
  case unknownKey(KeyID)
  /// Not sealed by one who has the key, or for another label, or changed on its way.
  case forged(KeyID)
  /// This process sent it itself: reflected, or sent to an address of its own.
  case own
  /// Seen before, too old to tell, or the last counter that there is, which nobody gives.
  case replayed(session: UInt64, counter: UInt64)
  /// A frame that is not the next of its stream.
  case outOfOrder(counter: UInt64, expected: UInt64)
  /// A frame of another stream.
  case otherSession(UInt64)

  public var reason: PacketRefusal {
    switch self {
    case .tooShort, .tooLong: .size
    case .unknownVersion: .version
    case .unexpectedFlags: .flags
    case .notSealed: .clear
    case .sealed: .sealed
    case .otherCluster: .cluster
    case .wrongChecksum: .checksum
    case .unknownKey: .unknownKey
    case .forged: .forged
    case .own: .own
    case .replayed: .replayed
    case .outOfOrder: .order
    case .otherSession: .session
    }
  }
}

/// A packet that came through the envelope and says nothing that this version understands.
public enum PacketError: Error, Hashable, Sendable {
  case unknownKind(UInt8)
  case cutOff(PacketField)
  /// A value that is never written so; `at` counts bytes of the body.
  case invalid(PacketField, at: Int)
  case trailing(bytes: Int)

  public var reason: PacketRefusal { .malformed }
}

public enum PacketField: String, Hashable, Sendable {
  case kind, sequence, member, generation, incarnation, view, endpoint, time, mark, buckets
  case status, metadata, keys, accuser, age
}
