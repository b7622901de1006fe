// A member as one node knows it, and what nodes tell each other of it.

/// What a member says of itself. It changes only together with the incarnation, so (id, generation, incarnation)
/// determines it, whoever repeats it.
public struct Profile: Hashable, Sendable {
  public static let keysMax = 8

  public var endpoint: Endpoint
  public var metadata: Metadata
  /// The keys that it has, the one that it seals with first; none when it speaks in clear. At most `keysMax`.
  public var keys: [KeyID]

  public init(endpoint: Endpoint, metadata: Metadata = Metadata(), keys: [KeyID] = []) {
    precondition(keys.count <= Self.keysMax, "\(keys.count) keys; at most \(Self.keysMax)")
    self.endpoint = endpoint
    self.metadata = metadata
    self.keys = keys
  }
}

public struct Member: Hashable, Sendable {
  public let id: MemberID
  public var claim: Claim
  public var profile: Profile
  /// When it came to this status, by the clock of the node that says so.
  public var since: Instant

  public init(id: MemberID, claim: Claim, profile: Profile, since: Instant) {
    self.id = id
    self.claim = claim
    self.profile = profile
    self.since = since
  }

  public var status: Status { claim.status }
  public var endpoint: Endpoint { profile.endpoint }

  /// What is told of it at `now`. A suspicion is told with who accuses: `suspicion(by:isRefused:)`.
  public func rumour(at now: Instant) -> Rumour {
    Rumour(
      id: id, claim: claim, profile: profile,
      ageSeconds: status.isPresent ? 0 : Rumour.seconds(since: since, at: now))
  }

  public func suspicion(by accuser: MemberID, isRefused: Bool) -> Rumour {
    Rumour(
      id: id, claim: claim.with(.suspect), profile: profile, accuser: accuser, isRefused: isRefused)
  }
}

/// A claim on its way, always with the whole profile: whoever hears it knows the member.
public struct Rumour: Hashable, Sendable {
  public let id: MemberID
  public var claim: Claim
  public var profile: Profile
  /// Who suspects it; none unless the claim says so. A suspicion may be told without (in a whole view): it
  /// counts for nobody.
  public var accuser: MemberID?
  /// Of a suspicion: the accuser saw UDP and TCP refused, so the process is gone and not only slow.
  public var isRefused: Bool
  /// Of the dead and the left: since when, in whole seconds, so that all forget them at about the same time.
  public var ageSeconds: UInt32

  public init(
    id: MemberID, claim: Claim, profile: Profile, accuser: MemberID? = nil, isRefused: Bool = false,
    ageSeconds: UInt32 = 0
  ) {
    self.id = id
    self.claim = claim
    self.profile = profile
    self.accuser = accuser
    self.isRefused = isRefused
    self.ageSeconds = ageSeconds
  }

  /// Rounded down, so that an age does not grow by being told.
  static func seconds(since: Instant, at now: Instant) -> UInt32 {
    UInt32(clamping: (now.nanoseconds - since.nanoseconds) / 1_000_000_000)
  }
}
