// Bugs put in on purpose, around the core and in the medium, to see that the simulator finds them.

/// No switch for them is in the core: a shell or a network that lies makes it behave as if its code were wrong.
public enum PlantedBug: String, CaseIterable, Codable, Sendable {
  /// Those that a test looks for are found by one of the seeds from 1 up to this one.
  public static let seedsMax: UInt64 = 20
  /// All but the one that shows only in another process.
  public static let foundSoon = allCases.filter { $0 != .hashOrder }

  /// A member never hears what is said of it, and never refutes.
  case neverRefutes
  /// Of two claims the one that came last holds, not the larger.
  case lastClaimTaken
  /// The dead are forgotten at once, so old rumours bring them back.
  case deadForgotten
  /// A rumour is passed on once, not O(log N) times.
  case toldOnce
  /// Views that stay different are never exchanged.
  case neverSynced
  /// The dead answer pings.
  case deadAnswered
  /// Some day a process' timers do not fire any more.
  case timersForgotten
  /// Who stood still takes the time for time that it waited for others.
  case stallUnnoticed
  /// Damaged packets are taken for whole ones.
  case checksumForgotten
  /// A sealed packet is taken as often as it comes.
  case windowForgotten
  /// A leave is not said to anyone.
  case leaveUnsaid
  /// Incarnations are raised by those who pass rumours on.
  case incarnationsInvented
  /// A member is told of as joined twice.
  case eventsRepeated
  /// A view is published with every suspicion.
  case viewsHasty
  /// Everything is sent four times.
  case chatty
  /// What a member tells anew of itself does not come through.
  case metadataLost
  /// What a core wants done is done in the order of a set.
  case hashOrder

  /// The weather that it takes.
  var isCalm: Bool? {
    switch self {
    case .neverRefutes, .toldOnce, .deadAnswered, .stallUnnoticed, .leaveUnsaid, .metadataLost: true
    case .neverSynced, .deadForgotten, .lastClaimTaken: false
    default: nil
    }
  }

  /// Packets in clear can be rewritten; the others need no rewriting.
  var isSealed: Bool? {
    switch self {
    case .windowForgotten: true
    case .timersForgotten, .stallUnnoticed, .eventsRepeated, .viewsHasty, .hashOrder: nil
    default: false
    }
  }
}
