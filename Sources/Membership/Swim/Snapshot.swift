// What a node keeps for its next life.

public struct Snapshot: Hashable, Sendable {
  public struct Peer: Hashable, Sendable {
    public var id: MemberID
    public var endpoint: Endpoint

    public init(id: MemberID, endpoint: Endpoint) {
      self.id = id
      self.endpoint = endpoint
    }
  }

  /// The next life's is greater.
  public var generation: UInt64
  /// Where others were, in the order of their ids; at most `peersMax`.
  public var peers: [Peer]
  public var keys: [KeyID]

  public static let peersMax = 1024

  public init(generation: UInt64, peers: [Peer], keys: [KeyID]) {
    self.generation = generation
    self.peers = peers
    self.keys = keys
  }
}
