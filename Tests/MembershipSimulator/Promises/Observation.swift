// What one process has shown of each member so far, against what it shows now.
import Membership

struct Observation {
  enum Phase { case joined, suspected, died, left }
  struct Track {
    var generation: UInt64
    var phase: Phase
  }

  /// By the members' places in the simulation's list.
  private(set) var claims: [Claim?] = []
  private var tracks: [Track?] = []
  /// The view's hash when it was looked through last.
  private(set) var hash: UInt64?
  private(set) var lastView: View?
  /// Since when who is present differs from the last view; nil if it does not.
  private(set) var differsSince: Int64?
  /// When the first change came that no view has told.
  private var changedAt: Int64?
  private var ownGeneration: UInt64?
  /// How many are suspect by the events so far.
  private var suspects = 0

  init(members: Int, at now: Int64) {
    changedAt = now
    grow(members)
  }

  private mutating func grow(_ count: Int) {
    while claims.count < count {
      claims.append(nil)
      tracks.append(nil)
    }
  }

  // MARK: Claims

  /// Takes over what is claimed of a member now.
  /// - Returns: what was claimed before, if that was more.
  mutating func take(_ claim: Claim, of member: Int) -> Claim? {
    grow(member + 1)
    let before = claims[member]
    claims[member] = claim
    guard let before, claim < before else { return nil }
    return before
  }

  /// Its own generation, which nobody is told of as an event, is part of its view.
  mutating func note(ownGeneration: UInt64, at now: Int64) {
    guard ownGeneration != self.ownGeneration else { return }
    self.ownGeneration = ownGeneration
    changedAt = changedAt ?? now
  }

  /// It is known from the start: nothing is told of it.
  mutating func know(_ claim: Claim, of member: Int) {
    _ = take(claim, of: member)
    tracks[member] = Track(generation: claim.generation, phase: .joined)
  }

  mutating func forget(_ member: Int) { claims[member] = nil }

  mutating func looked(_ hash: UInt64) { self.hash = hash }

  // MARK: Events

  /// - Returns: why the event may not follow on those before it; nil if it may.
  mutating func follow(
    _ event: Event, of member: Int, _ told: Member, at now: Int64
  ) -> String? {
    grow(member + 1)
    switch event {
    case .joined, .died, .left: changedAt = changedAt ?? now
    default: break
    }
    let generation = told.claim.generation
    let track = tracks[member]
    let next: Phase
    switch event {
    case .joined:
      if let track, generation <= track.generation,
        generation < track.generation || track.phase != .died
      {
        return "joined \(generation) after \(track.phase) \(track.generation)"
      }
      next = .joined
    case .suspected, .refuted, .died, .left, .updated:
      guard let track, track.generation == generation else {
        return "nothing joined as \(generation) before"
      }
      switch (event, track.phase) {
      case (.suspected, .joined): next = .suspected
      case (.refuted, .suspected): next = .joined
      case (.died, .joined), (.died, .suspected): next = .died
      case (.left, .joined), (.left, .suspected): next = .left
      case (.updated, .joined), (.updated, .suspected): next = track.phase
      default: return "after \(track.phase)"
      }
    case .view, .superseded: return nil
    }
    let before = tracks[member]?.phase
    suspects += (next == .suspected ? 1 : 0) - (before == .suspected ? 1 : 0)
    tracks[member] = Track(generation: generation, phase: next)
    return nil
  }

  // MARK: Views

  /// - Returns: why this view may not be published; nil if it may.
  mutating func publish(_ view: View, at now: Int64) -> String? {
    defer {
      lastView = view
      differsSince = nil
      changedAt = nil
    }
    if view.id == lastView?.id { return "the same again" }
    for (left, right) in zip(view.members, view.members.dropFirst()) where left >= right {
      return "\(left) before \(right)"
    }
    if suspects > 0 {
      // At the end of the hold it is published all the same.
      guard let changedAt, now - changedAt >= 9_950_000_000 else {
        return "while somebody is suspect, before the hold's end"
      }
    }
    return nil
  }

  /// - Returns: true if a change has gone unpublished for too long.
  mutating func compare(_ view: View, at now: Int64) -> Bool {
    if view.id == lastView?.id {
      differsSince = nil
      return false
    }
    guard let since = differsSince else {
      differsSince = now
      return false
    }
    return now - since > 11_000_000_000
  }

  /// It stood still until now: what it ought to have published meanwhile is excused.
  mutating func excuse(at now: Int64) {
    if differsSince != nil { differsSince = now }
  }
}
