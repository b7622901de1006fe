// Names of views.
import Membership
import Testing
import Wire

@Suite struct `A view` {
  static let members: [(id: MemberID, generation: UInt64)] = (0..<50).map {
    (MemberID("n\($0)")!, UInt64($0) * 7)
  }

  @Test func `is the same in whatever order its members came`() {
    let view = View(members: Self.members)
    #expect(View(members: Self.members.reversed()) == view)
    #expect(view.members == Self.members.map(\.id).sorted())
  }

  @Test func `is another when a member is gone, is new, or lives anew`() {
    var ids: Set<UInt64> = [
      View(members: Self.members).id, View(members: Self.members.prefix(0)).id,
    ]
    for place in Self.members.indices {
      var changed = Self.members
      changed[place].generation += 1
      ids.insert(View(members: changed).id)
      changed.remove(at: place)
      ids.insert(View(members: changed).id)
    }
    #expect(ids.count == 102)
  }

  @Test func `has the same id on every machine and in every version`() {
    let members: [(id: MemberID, generation: UInt64)] = [
      (MemberID("n1")!, 1_700_000_000_000), (MemberID("n2")!, 3),
    ]
    let view = View(members: members)
    #expect(view.id == 0x88b551131f06ae2c)
  }
}
