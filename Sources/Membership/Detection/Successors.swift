// Who watches whom, and who looks again: chosen from the members alone, so that nobody has to be told.

/// All choose alike as far as they know the same members. Each looks at every member once and keeps the best few.
public enum Successors {
  /// How many hold a lifeline to a member: with three, two are left to see it refused when one goes down with it.
  public static let lifelines = 3

  /// The `count` present members that follow the roster's own on the ring of ids.
  public static func next(_ count: Int, among roster: Roster) -> [Member] {
    let own = roster.own.id.place
    return best(count, of: roster.slots(.present), in: roster) { $0 &- own }
  }

  /// The present member that precedes the roster's own.
  public static func previous(among roster: Roster) -> Member? {
    let own = roster.own.id.place
    return best(1, of: roster.slots(.present), in: roster) { own &- $0 }.first
  }

  /// The `count` present members, perhaps the own, that probe a suspect at once: by rendezvous hash (Thaler,
  /// Ravishankar, 1998) of member and claim, so that each suspicion has others.
  public static func confirmers(
    of suspect: Member, _ count: Int, among roster: Roster
  ) -> [Member] {
    let salt = ViewDigest.hash(place: suspect.id.place, claim: suspect.claim.with(.suspect))
    let own: [Int32] = roster.own.status.isPresent ? [Roster.ownSlot] : []
    return best(count, of: roster.slots(.present) + own, in: roster, except: suspect.id) {
      ViewDigest.mixed($0, salt)
    }
  }

  /// The `count` whose places have the least scores, the least first. Records are touched only where they may be among
  /// them: in a large cluster everyone does this at each suspicion.
  private static func best(
    _ count: Int, of slots: [Int32], in roster: Roster, except: MemberID? = nil,
    by score: (UInt64) -> UInt64
  ) -> [Member] {
    guard count > 0 else { return [] }
    var scores: [UInt64] = []
    var chosen: [Member] = []
    for slot in slots {
      let found = score(roster.place(inSlot: Int(slot)))
      if scores.count == count, found > scores[count - 1] { continue }
      guard let member = roster.member(inSlot: Int(slot)), member.id != except else { continue }
      var place = scores.count
      // Equal ones are in the order of their ids.
      while place > 0,
        found < scores[place - 1] || found == scores[place - 1] && member.id < chosen[place - 1].id
      {
        place -= 1
      }
      scores.insert(found, at: place)
      chosen.insert(member, at: place)
      if scores.count > count {
        scores.removeLast()
        chosen.removeLast()
      }
    }
    return chosen
  }
}
