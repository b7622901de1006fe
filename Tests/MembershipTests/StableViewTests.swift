// When views are told.
import Membership
import Testing
import Wire

@Suite struct `A stable view` {
  typealias Pair = (id: MemberID, generation: UInt64)

  static func pairs(_ names: [String]) -> [Pair] { names.map { (MemberID($0)!, 1) } }

  /// A node that has published its first view, of itself, at 0 s.
  static func settled() -> StableView {
    var view = StableView(isJoining: false, at: seconds(0))
    #expect(view.publish(pairs(["n0"]), at: seconds(0)) != nil)
    #expect(view.deadline == nil)
    return view
  }

  @Test func `of a node alone is told at once`() {
    var view = StableView(isJoining: false, at: seconds(5))
    #expect(view.deadline == seconds(5))
    #expect(view.publish(Self.pairs(["n0"]), at: seconds(5))?.members.map(\.text) == ["n0"])
  }

  @Test func `of a node that joins waits for the first exchange`() {
    var view = StableView(isJoining: true, at: seconds(0))
    #expect(view.deadline == seconds(10))
    #expect(view.publish(Self.pairs(["n0"]), at: seconds(2)) == nil)
    view.changed(at: seconds(2))
    view.joined()
    #expect(view.deadline == seconds(2.3))
    #expect(view.publish(Self.pairs(["n0", "n1"]), at: seconds(2.3))?.members.count == 2)
  }

  @Test func `of a node that reaches nobody is told after ten seconds`() {
    var view = StableView(isJoining: true, at: seconds(0))
    #expect(view.publish(Self.pairs(["n0"]), at: seconds(9.9)) == nil)
    #expect(view.publish(Self.pairs(["n0"]), at: seconds(10)) != nil)
    // From now on it is a node like any other.
    view.changed(at: seconds(20))
    #expect(view.deadline == seconds(20.3))
  }

  @Test func `tells of changes that come together once`() {
    var view = Self.settled()
    for at in [5, 5.1, 5.35] { view.changed(at: seconds(at)) }
    #expect(view.publish(Self.pairs(["n0", "n1"]), at: seconds(5.6)) == nil)
    #expect(view.deadline == seconds(5.65))
    #expect(
      view.publish(Self.pairs(["n0", "n1", "n2", "n3"]), at: seconds(5.65))?.members.count == 4)
    #expect(view.deadline == nil)
    #expect(view.publish(Self.pairs(["n0"]), at: seconds(60)) == nil)
  }

  @Test func `waits while somebody is suspect`() {
    var view = Self.settled()
    view.suspects(count: 1)
    #expect(view.deadline == nil)
    view.changed(at: seconds(5))
    #expect(view.deadline == seconds(15))
    #expect(view.publish(Self.pairs(["n0", "n1"]), at: seconds(14)) == nil)
    view.suspects(count: 0)
    // Refuted: what changed has long settled.
    #expect(view.deadline == seconds(5.3))
    #expect(view.publish(Self.pairs(["n0", "n1"]), at: seconds(14)) != nil)
  }

  @Test func `waits no longer than ten seconds, for those who are suspect or for quiet`() {
    var view = Self.settled()
    view.changed(at: seconds(5))
    view.suspects(count: 2)
    #expect(view.publish(Self.pairs(["n0", "n1"]), at: seconds(15)) != nil)
    view.suspects(count: 0)
    for tenth in 200...299 {
      view.changed(at: seconds(Double(tenth) / 10))
      #expect(view.publish(Self.pairs(["n0"]), at: seconds(Double(tenth) / 10)) == nil)
    }
    #expect(view.deadline == seconds(30))
    #expect(view.publish(Self.pairs(["n0"]), at: seconds(30)) != nil)
  }

  @Test func `is not told again when all is as before`() {
    var view = Self.settled()
    view.changed(at: seconds(5))
    view.changed(at: seconds(5.1))
    #expect(view.publish(Self.pairs(["n0"]), at: seconds(6)) == nil)
    #expect(view.deadline == nil)
    view.changed(at: seconds(7))
    #expect(view.publish([(MemberID("n0")!, 2)] as [Pair], at: seconds(8)) != nil)
  }

  @Test func `does not grow old while the node is stopped`() {
    var view = Self.settled()
    view.changed(at: seconds(5))
    view.shift(by: .seconds(3))
    #expect(view.deadline == seconds(8.3))
  }

  @Test(arguments: UInt64(1)...40)
  func `is told within ten seconds of a change, and never twice`(seed: UInt64) {
    var random = Random(seed: seed)
    var view = StableView(isJoining: random.oneIn(2), at: seconds(0))
    var members = ["n0"]
    var published: View?
    var changedAt: Instant? = seconds(0)
    for step in 1...4000 {
      let now = seconds(Double(step) / 20)
      if random.oneIn(20) {
        let name = "n\(1 + random.below(5))"
        if members.contains(name) { members.removeAll { $0 == name } } else { members.append(name) }
        view.changed(at: now)
        changedAt = changedAt ?? now
      }
      if random.oneIn(15) { view.suspects(count: random.below(3)) }
      if random.oneIn(15) { view.joined() }
      if let deadline = view.deadline, deadline <= now {
        let told = view.publish(Self.pairs(members), at: now)
        #expect(told?.id != published?.id || told == nil)
        #expect((told ?? published)?.members == members.map { MemberID($0)! }.sorted())
        published = told ?? published
        changedAt = nil
      }
      #expect(changedAt.map { now - $0 < .seconds(10) } ?? true)
    }
  }
}
