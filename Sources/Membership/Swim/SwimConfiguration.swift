// What can be set about the membership; what follows from a paper stands with the part that it belongs to.

/// The defaults are for a local network; the rest is there for experiments and tests.
public struct SwimConfiguration: Sendable {
  /// Between two probes of a node in good health (SWIM §3.1: T′).
  public var probePeriod = Duration.seconds(1)
  /// Who is asked to ping in a node's place when no answer comes (SWIM §3.1: k).
  public var helpers = 3
  /// Between two rounds of rumours, while there are any.
  public var gossipInterval = Duration.milliseconds(100)
  /// Members that a round tells.
  public var gossipFanout = 3
  /// Others are expected although no peer is known yet (their names do not resolve): the first view waits for them.
  public var awaitsPeers = false
  public var mechanisms = Mechanisms.all

  public init() {}
}

/// What goes beyond SWIM, each of which can be left out to see what it is worth.
public struct Mechanisms: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// A node in bad health probes more slowly (Lifeguard §IV-A).
  public static let localHealth = Mechanisms(rawValue: 1)
  /// Suspicions shrink as independent members confirm them, and some are asked to (Lifeguard §IV-B); else they last
  /// their least time.
  public static let decayingSuspicion = Mechanisms(rawValue: 1 << 1)
  /// What concerns the receiver comes first in a packet, a suspicion of it above all (Lifeguard §IV-C).
  public static let buddy = Mechanisms(rawValue: 1 << 2)
  /// Idle connections to the successors on the ring; their end starts a probe.
  public static let lifelines = Mechanisms(rawValue: 1 << 3)
  /// Refused connections, and failed ones of others, start probes; refused by all means, a suspicion is short.
  public static let evidence = Mechanisms(rawValue: 1 << 4)
  /// A node that stood still shifts its deadlines and accuses nobody for one period.
  public static let stallShift = Mechanisms(rawValue: 1 << 5)
  /// Helpers say that they heard nothing, so that a node can tell its own deafness (Lifeguard §IV-A).
  public static let nacks = Mechanisms(rawValue: 1 << 6)
  /// A ping over TCP beside those of the helpers.
  public static let tcpPing = Mechanisms(rawValue: 1 << 7)
  /// Nodes whose views stay different exchange the difference.
  public static let antiEntropy = Mechanisms(rawValue: 1 << 8)

  /// Members show themselves to their predecessors on the ring, who probe when they do not.
  public static let watch = Mechanisms(rawValue: 1 << 9)

  public static let all = Mechanisms(rawValue: (1 << 10) - 1)
}
