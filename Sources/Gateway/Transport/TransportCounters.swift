// What a loop's transport has counted: plain integers of one loop, added up when somebody asks.

public struct TransportCounters: Sendable, Equatable {
  public var connectionsOpen = 0
  public var connectionsTotal = 0
  /// Turned away because `connectionsMax` was reached.
  public var connectionsRefused = 0
  public var requestsHTTP1 = 0
  public var requestsHTTP2 = 0
  public var bytesIn = 0
  public var bytesOut = 0
  /// Requests refused by the transport itself.
  public var requestsRefused = 0
  /// HTTP/2 streams that the peer reset.
  public var streamsReset = 0
  /// Connections that ended with requests unanswered, by error, by time limit or for flooding.
  public var connectionsBroken = 0
  public var tlsHandshakesFailed = 0
  /// Bytes of bodies being received or not yet answered.
  public var heldBodyBytes = 0
  /// Bytes of large answers that peers have not taken.
  public var heldAnswerBytes = 0

  public init() {}

  public static func += (sum: inout Self, other: Self) {
    sum.connectionsOpen += other.connectionsOpen
    sum.connectionsTotal += other.connectionsTotal
    sum.connectionsRefused += other.connectionsRefused
    sum.requestsHTTP1 += other.requestsHTTP1
    sum.requestsHTTP2 += other.requestsHTTP2
    sum.bytesIn += other.bytesIn
    sum.bytesOut += other.bytesOut
    sum.requestsRefused += other.requestsRefused
    sum.streamsReset += other.streamsReset
    sum.connectionsBroken += other.connectionsBroken
    sum.tlsHandshakesFailed += other.tlsHandshakesFailed
    sum.heldBodyBytes += other.heldBodyBytes
    sum.heldAnswerBytes += other.heldAnswerBytes
  }
}
