// What the core tells those who want to know of the members.

/// Of others, never of the node itself. For one life (a generation) of a member:
///
///     joined → (updated | suspected → refuted)* → (suspected →) died | left
///
/// and `joined` again when one that was held for dead refutes. Of members first heard of as dead or left nothing is
/// told.
public enum Event: Sendable, Hashable {
  case joined(Member)
  case suspected(Member, by: MemberID?)
  case refuted(Member)
  case died(Member)
  case left(Member)
  /// Its metadata, address or keys are others.
  case updated(Member)
  /// With the node itself in it.
  case view(View)
  /// Somebody else has this node's id and a later generation; `.stop` follows.
  case superseded(by: Claim, at: Endpoint)
}
