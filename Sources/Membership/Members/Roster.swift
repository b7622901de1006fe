// All that a node knows of the members: found by id and endpoint, drawn by chance, merged, forgotten.
import Wire

/// Nothing here takes longer the more members there are, but forgetting, so that a packet costs the same in a cluster
/// of five and of ten thousand. A record takes about 120 bytes.
public struct Roster: Sendable {
  /// A cluster of this many has other troubles first, and nobody can fill the memory. For one that comes beyond it the
  /// longest gone are forgotten; when all are there, it is refused.
  public static let membersMax = 20_000
  /// How long the dead and the left are remembered.
  public static let memory = Duration.seconds(72 * 3600)

  /// A record that came or changed.
  public struct Change: Hashable, Sendable {
    /// None for one that was not known.
    public let before: Member?
    public let after: Member
  }

  /// Those of one kind may be drawn by chance.
  public enum Kind: Int, Sendable { case present = 0, dead, left }

  /// Records keep their slot until they are forgotten; the node's own is the first.
  private var slots: [Member?]
  private var free: [Int32] = []
  /// The slots of each kind, in no meaningful order, without the own; and where in there each slot is.
  private var lists: [[Int32]] = [[], [], []]
  private var positions: [Int32] = [-1]
  private var byID = SlotTable()
  private var byEndpoint = SlotTable()
  private var counts = [0, 0, 0, 0]
  /// None of those that are gone began before.
  private var earliestGone: Instant?

  public private(set) var digest = ViewDigest()
  /// How many records found no room.
  public private(set) var refusedCount: UInt64 = 0

  /// - Parameter own: The node itself: part of the digest and of all members, but never drawn and never merged.
  public init(own: Member) {
    slots = [own]
    byID.insert(own.id.place, slot: 0)
    byEndpoint.insert(Self.hash(own.endpoint), slot: 0)
    counts[Int(own.status.rawValue)] = 1
    digest.toggle(place: own.id.place, claim: own.claim)
  }

  public var own: Member { slots[0]! }

  /// With the own.
  public var count: Int { slots.count - free.count }
  public func count(_ status: Status) -> Int { counts[Int(status.rawValue)] }
  /// Alive or suspect, with the own while that is.
  public var presentCount: Int { count(.alive) + count(.suspect) }

  /// All of them, the own first.
  public var members: some Sequence<Member> { slots.lazy.compactMap { $0 } }
  /// Those of a kind without the own.
  public func others(_ kind: Kind) -> some Collection<Member> {
    lists[kind.rawValue].lazy.map { slots[Int($0)]! }
  }

  public subscript(id: MemberID) -> Member? { slot(of: id).flatMap { slots[$0] } }

  /// Who is reached there: one that is present before one that is gone, then who came to its status last.
  public func member(at endpoint: Endpoint) -> Member? {
    var best: Member?
    let hash = Self.hash(endpoint)
    var cursor = byEndpoint.start(hash)
    while let slot = byEndpoint.next(hash, &cursor) {
      guard let member = slots[slot], member.endpoint == endpoint else { continue }
      if let known = best {
        let isBetter =
          member.status.isPresent != known.status.isPresent
          ? member.status.isPresent
          : (member.since, member.id) > (known.since, known.id)
        if !isBetter { continue }
      }
      best = member
    }
    return best
  }

  /// Takes what a rumour says if it outdoes what is known. nil if nothing is new by it, if it is about the node
  /// itself, if it is about one that ought to be forgotten by now, or if there is no room.
  public mutating func merge(_ rumour: Rumour, at now: Instant) -> Change? {
    let status = rumour.claim.status
    let age = status.isPresent ? .zero : Duration.seconds(Int64(rumour.ageSeconds))
    guard age < Self.memory else { return nil }
    guard let slot = slot(of: rumour.id), let before = slots[slot] else {
      guard count < Self.membersMax || status.isPresent && makeRoom() else {
        refusedCount += 1
        return nil
      }
      let after = Member(
        id: rumour.id, claim: rumour.claim, profile: rumour.profile, since: now - age)
      insert(after)
      return Change(before: nil, after: after)
    }
    guard slot > 0, rumour.claim >= before.claim else { return nil }
    var after = before
    if rumour.claim == before.claim {
      // The end of its memory is that of the oldest known age: ages are rounded down on their way.
      if !status.isPresent, now - age < before.since {
        after.since = now - age
        replace(slot, by: after)
      }
      return nil
    }
    after.claim = rumour.claim
    after.profile = rumour.profile
    // Of the gone it is said since when; the present tell new things of themselves and stay what they were.
    if !status.isPresent || status != before.status
      || rumour.claim.generation != before.claim.generation
    {
      after.since = now - age
    }
    replace(slot, by: after)
    return Change(before: before, after: after)
  }

  /// Puts what the node says of itself in place of what it said before.
  public mutating func updateOwn(_ own: Member) {
    precondition(own.id == self.own.id, "\(own.id) is not \(self.own.id)")
    replace(0, by: own)
  }

  /// Up to `count` different ones of a kind, each set of so many as likely as any other. Takes time with `count` only.
  public func draw(
    _ count: Int, from kind: Kind, except: MemberID? = nil, random: inout Random
  ) -> [Member] {
    let list = lists[kind.rawValue]
    var barred = list.count
    if let except, let slot = slot(of: except), slot > 0, self.kind(slot) == kind {
      barred = Int(positions[slot])
    }
    let available = barred < list.count ? list.count - 1 : list.count
    let wanted = min(count, available)
    guard wanted > 0 else { return [] }
    // Floyd's sampling (Bentley, Programming Pearls, CACM 30(9), 1987).
    var chosen: [Int] = []
    chosen.reserveCapacity(wanted)
    for last in (available - wanted)..<available {
      let place = random.below(last + 1)
      chosen.append(chosen.contains(place) ? last : place)
    }
    return chosen.map { slots[Int(list[$0 < barred ? $0 : $0 + 1])]! }
  }

  /// Forgets those that have been gone for longer than the memory lasts. Costs nothing while there are none.
  public mutating func expire(at now: Instant) -> [Member] {
    let end = now - Self.memory
    guard let earliestGone, earliestGone <= end else { return [] }
    var forgotten: [Member] = []
    var next: Instant?
    for kind in [Kind.dead, .left] {
      for slot in lists[kind.rawValue].sorted() {
        let member = slots[Int(slot)]!
        if member.since <= end {
          forgotten.append(member)
          remove(Int(slot))
        } else {
          next = min(next ?? member.since, member.since)
        }
      }
    }
    self.earliestGone = next
    return forgotten
  }

  /// When `expire` will have something to do, or earlier.
  public var nextExpiry: Instant? { earliestGone.map { $0 + Self.memory } }
}

// MARK: - Slots

extension Roster {
  func slot(of id: MemberID) -> Int? {
    var cursor = byID.start(id.place)
    while let slot = byID.next(id.place, &cursor) {
      if slots[slot]?.id == id { return slot }
    }
    return nil
  }

  static let ownSlot: Int32 = 0

  func member(inSlot slot: Int) -> Member? { slots[slot] }

  /// Of one that is known to be there.
  func place(inSlot slot: Int) -> UInt64 { slots[slot]!.id.place }

  func slots(_ kind: Kind) -> [Int32] { lists[kind.rawValue] }

  private static func hash(_ endpoint: Endpoint) -> UInt64 {
    ViewDigest.mixed(ViewDigest.mixed(endpoint.high, endpoint.low), UInt64(endpoint.port))
  }

  private static func kind(_ status: Status) -> Kind {
    switch status {
    case .alive, .suspect: .present
    case .dead: .dead
    case .left: .left
    }
  }

  private func kind(_ slot: Int) -> Kind { Self.kind(slots[slot]!.status) }

  private mutating func insert(_ member: Member) {
    let slot: Int
    if let reused = free.popLast() {
      slot = Int(reused)
      slots[slot] = member
    } else {
      slot = slots.count
      slots.append(member)
      positions.append(-1)
    }
    byID.insert(member.id.place, slot: slot)
    byEndpoint.insert(Self.hash(member.endpoint), slot: slot)
    enlist(slot, as: Self.kind(member.status))
    count(member)
  }

  private mutating func replace(_ slot: Int, by after: Member) {
    let before = slots[slot]!
    uncount(before)
    if before.endpoint != after.endpoint {
      byEndpoint.remove(Self.hash(before.endpoint), slot: slot)
      byEndpoint.insert(Self.hash(after.endpoint), slot: slot)
    }
    let (old, new) = (Self.kind(before.status), Self.kind(after.status))
    if old != new, slot > 0 {
      delist(slot, as: old)
      enlist(slot, as: new)
    }
    slots[slot] = after
    count(after)
  }

  private mutating func remove(_ slot: Int) {
    let member = slots[slot]!
    uncount(member)
    delist(slot, as: Self.kind(member.status))
    byID.remove(member.id.place, slot: slot)
    byEndpoint.remove(Self.hash(member.endpoint), slot: slot)
    slots[slot] = nil
    free.append(Int32(slot))
  }

  /// A sixteenth of the gone at a time, so that a crowd at the door of a full house does not cost a search each.
  private mutating func makeRoom() -> Bool {
    let gone = (slots(.dead) + slots(.left)).map { slots[Int($0)]! }
      .sorted { ($0.since, $0.id) < ($1.since, $1.id) }
    for member in gone.prefix(gone.count / 16 + 1) { remove(slot(of: member.id)!) }
    return !gone.isEmpty
  }

  private mutating func count(_ member: Member) {
    counts[Int(member.status.rawValue)] += 1
    digest.toggle(place: member.id.place, claim: member.claim)
    if !member.status.isPresent, member.id != own.id {
      earliestGone = min(earliestGone ?? member.since, member.since)
    }
  }

  private mutating func uncount(_ member: Member) {
    counts[Int(member.status.rawValue)] -= 1
    digest.toggle(place: member.id.place, claim: member.claim)
  }

  private mutating func enlist(_ slot: Int, as kind: Kind) {
    positions[slot] = Int32(lists[kind.rawValue].count)
    lists[kind.rawValue].append(Int32(slot))
  }

  private mutating func delist(_ slot: Int, as kind: Kind) {
    let position = Int(positions[slot])
    let last = lists[kind.rawValue].removeLast()
    if Int(last) != slot {
      lists[kind.rawValue][position] = last
      positions[Int(last)] = Int32(position)
    }
    positions[slot] = -1
  }
}
