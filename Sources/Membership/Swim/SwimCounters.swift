// What a node counts of its own doings, for its metrics.

/// What is counted by kind.
public protocol Countable: CaseIterable, Hashable, Sendable {
  /// 0 for the first of `allCases`, and so on.
  var index: Int { get }
}

extension Countable where Self: RawRepresentable, RawValue == Int {
  public var index: Int { rawValue }
}

/// A count for each case of an enumeration.
public struct Tally<Case: Countable>: Hashable, Sendable {
  private var counts = [UInt64](repeating: 0, count: Case.allCases.count)

  public init() {}

  public internal(set) subscript(_ name: Case) -> UInt64 {
    get { counts[name.index] }
    set { counts[name.index] = newValue }
  }

  public var total: UInt64 { counts.reduce(0, +) }
}

extension PacketKind: Countable {
  public var index: Int { Int(rawValue - Self.ping.rawValue) }
}

extension PacketRefusal: Countable {}

public enum EventKind: Int, Countable {
  case joined, suspected, refuted, died, left, updated, view, superseded
}

public struct SwimCounters: Hashable, Sendable {
  public internal(set) var datagramsReceived: UInt64 = 0
  public internal(set) var datagramBytesReceived: UInt64 = 0
  public internal(set) var datagramsSent: UInt64 = 0
  public internal(set) var datagramBytesSent: UInt64 = 0
  public internal(set) var framesReceived: UInt64 = 0
  public internal(set) var frameBytesReceived: UInt64 = 0
  public internal(set) var framesSent: UInt64 = 0
  public internal(set) var frameBytesSent: UInt64 = 0
  public internal(set) var received = Tally<PacketKind>()
  public internal(set) var sent = Tally<PacketKind>()
  public internal(set) var refused = Tally<PacketRefusal>()
  public internal(set) var events = Tally<EventKind>()
  /// Begun, of all kinds; `probesUrgent` of them because of evidence or a suspicion.
  public internal(set) var probes: UInt64 = 0
  public internal(set) var probesUrgent: UInt64 = 0
  /// Without an answer by any way.
  public internal(set) var probesFailed: UInt64 = 0
  /// Answered only by way of a helper, or over TCP.
  public internal(set) var probesHelped: UInt64 = 0
  public internal(set) var probesOfTheDead: UInt64 = 0
  public internal(set) var accusations: UInt64 = 0
  /// Claims about this node that it had to refute.
  public internal(set) var refutations: UInt64 = 0
  public internal(set) var stalls: UInt64 = 0
  public internal(set) var syncs: UInt64 = 0
  public internal(set) var syncsFailed: UInt64 = 0
  public internal(set) var rumoursReceived: UInt64 = 0
  public internal(set) var rumoursSent: UInt64 = 0
  public internal(set) var lifelinesLost: UInt64 = 0

  public init() {}
}
