// When a view is worth telling: once it has settled, or has been unsettled for too long.

/// Placement moves shards at each view, so a view is published when nobody is suspect and nothing changed for a moment,
/// and changes that come together make one. Trouble that lasts does not keep it back for ever. It knows no members:
/// it is told when something happens to them and asked when to tell.
public struct StableView: Sendable {
  /// Deaths that one cause brings are found by lifelines within milliseconds of each other, joins of a rolling start
  /// by gossip within a few of its rounds of 100 ms.
  public static let quiet = Duration.milliseconds(300)
  /// The longest that a change waits.
  public static let hold = Duration.seconds(10)

  private var firstChange: Instant?
  private var lastChange: Instant?
  private var suspectCount = 0
  private var isJoining: Bool
  private var publishedID: UInt64?

  /// - Parameter isJoining: Whether others are expected, so that the first view waits for `joined()`.
  public init(isJoining: Bool, at now: Instant) {
    self.isJoining = isJoining
    firstChange = now
    // A node alone has nothing to wait for.
    lastChange = isJoining ? now : now - Self.quiet
  }

  /// A member came, went, or lives anew.
  public mutating func changed(at now: Instant) {
    if firstChange == nil { firstChange = now }
    lastChange = now
  }

  /// How many are suspect now.
  public mutating func suspects(count: Int) { suspectCount = count }

  /// The first exchange of views is done.
  public mutating func joined() { isJoining = false }

  /// When to publish, as far as one knows; nil while the published view holds. In the past if it is due.
  public var deadline: Instant? {
    guard let firstChange, let lastChange else { return nil }
    let end = firstChange + Self.hold
    return suspectCount > 0 || isJoining ? end : min(end, lastChange + Self.quiet)
  }

  /// The view to tell, if one is due and differs from that told before.
  /// - Parameter members: Those present, with the node itself.
  public mutating func publish(
    _ members: some Sequence<(id: MemberID, generation: UInt64)>, at now: Instant
  ) -> View? {
    guard let deadline, deadline <= now else { return nil }
    firstChange = nil
    lastChange = nil
    isJoining = false
    let view = View(members: members)
    guard view.id != publishedID else { return nil }
    publishedID = view.id
    return view
  }

  /// Time in which the node did not run does not count.
  public mutating func shift(by lateness: Duration) {
    firstChange? += lateness
    lastChange? += lateness
  }
}
