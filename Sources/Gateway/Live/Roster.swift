// Members in the order they came, served a slice at a time while others come and go.

protocol RosterMember: AnyObject {
  /// Where it stands in its roster; kept by the roster.
  var rosterSlot: Int { get set }
}

/// Leaving takes constant time and keeps the others' order and slots, so a slice under way passes nobody over and
/// serves nobody twice; `compact` closes the holes between rounds.
struct Roster<Member: RosterMember> {
  private var slots: ContiguousArray<Member?> = []
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }
  /// One past the last slot in use: members added later stand at or after it.
  var end: Int { slots.count }

  mutating func add(_ member: Member) {
    member.rosterSlot = slots.count
    slots.append(member)
    count += 1
  }

  mutating func remove(_ member: Member) {
    precondition(slots[member.rosterSlot] === member, "a member leaves the roster it is in")
    slots[member.rosterSlot] = nil
    count -= 1
  }

  /// The member at `slot`; nil for a hole, or past the end when everybody left.
  @inline(__always)
  subscript(slot: Int) -> Member? { slot < slots.count ? slots[slot] : nil }

  /// Closes the holes once they are as many as the members. Slots change: never while a round is under way.
  mutating func compact() {
    guard slots.count > 2 * count + 8 || (count == 0 && !slots.isEmpty) else { return }
    slots.removeAll { $0 == nil }
    for slot in slots.indices { slots[slot]!.rosterSlot = slot }
  }
}
