// What is said of a member's life, and which of two sayings holds.

/// In the order in which they outdo each other (SWIM §4.2: suspect over alive, confirmed dead over both).
public enum Status: UInt8, Comparable, CaseIterable, Sendable {
  case alive = 0
  case suspect
  case dead
  /// It said so itself.
  case left

  public static func < (left: Status, right: Status) -> Bool { left.rawValue < right.rawValue }

  /// Alive or suspect: still counted as one of the cluster.
  public var isPresent: Bool { self <= .suspect }
}

/// Of two claims about a member the greater one holds: by generation, then incarnation, then status. So the order in
/// which claims arrive, and how often, changes nothing.
///
/// The member alone issues generations (one for each of its lives) and incarnations (one for each time that it
/// refutes, or tells something new of itself); others may only raise the status.
public struct Claim: Comparable, Hashable, Sendable, CustomStringConvertible {
  public var generation: UInt64
  public var incarnation: UInt32
  public var status: Status

  public init(generation: UInt64, incarnation: UInt32, status: Status) {
    self.generation = generation
    self.incarnation = incarnation
    self.status = status
  }

  public static func < (left: Claim, right: Claim) -> Bool {
    if left.generation != right.generation { return left.generation < right.generation }
    if left.incarnation != right.incarnation { return left.incarnation < right.incarnation }
    return left.status < right.status
  }

  /// The same life and incarnation, seen otherwise.
  public func with(_ status: Status) -> Claim {
    Claim(generation: generation, incarnation: incarnation, status: status)
  }

  public var description: String { "\(status) \(generation).\(incarnation)" }
}
