// Watches one node: nothing that it knows is unlearned, nothing grows without bound, events come in their order.

@testable import Membership

/// All that can be seen of a node, but for its counts of what it refused.
struct Standing: Equatable {
  private let claims: [Member]
  private let numbers: [Int]
  private let viewHash: UInt64
  private let view: View?
  private let deadline: Instant?
  private let counters: SwimCounters

  init(_ node: Swim) {
    claims = Array(node.members)
    numbers = [
      node.queuedRumours, node.openStreams, node.openProbes, node.timerCount, node.localHealthScore,
      node.isStopped ? 1 : 0,
    ]
    viewHash = node.viewHash
    view = node.view
    deadline = node.nextDeadline
    var counters = node.counters
    counters.refused = Tally()
    counters.datagramsReceived = 0
    counters.datagramBytesReceived = 0
    self.counters = counters
  }
}

struct Witness {
  private enum State { case gone, alive, suspect }
  private var states: [MemberID: (state: State, generation: UInt64)] = [:]
  private var claims: [MemberID: Claim] = [:]
  private var own: Claim?

  var generation: UInt64 { own?.generation ?? 0 }

  mutating func look(at node: Swim) {
    check(own.map { $0 <= node.claim } ?? true, "it went back in what it says of itself")
    own = node.claim
    var now: [MemberID: Claim] = [:]
    for member in node.members {
      check(claims[member.id].map { $0 <= member.claim } ?? true, "a claim went back")
      check(now.updateValue(member.claim, forKey: member.id) == nil, "a member is listed twice")
    }
    for (id, claim) in claims where now[id] == nil {
      check(!claim.status.isPresent, "one that is there was forgotten")
    }
    claims = now
    check(now.count == node.memberCount, "members are counted wrongly")
    check(node.queuedRumours <= Dissemination.entriesMax, "too many rumours are queued")
    check(node.openProbes <= ProbeTable.countMax, "too many probes")
    check(
      node.openStreams <= Stream.acceptedMax + Stream.openedMax + Successors.lifelines,
      "too many streams")
    check(node.timerCount <= 8192, "too many timers")
  }

  mutating func hear(_ event: Event) {
    switch event {
    case .joined(let member):
      let known = states[member.id]
      check(
        known.map { $0.state == .gone || $0.generation < member.claim.generation } ?? true,
        "one that is there joins")
      states[member.id] = (.alive, member.claim.generation)
    case .suspected(let member, _):
      check(states[member.id]?.state == .alive, "one that is not alive is suspected")
      states[member.id]?.state = .suspect
    case .refuted(let member):
      check(states[member.id]?.state == .suspect, "one that is not suspect refutes")
      states[member.id]?.state = .alive
    case .died(let member), .left(let member):
      check((states[member.id]?.state ?? .gone) != .gone, "one that is not there goes")
      check(states[member.id]?.generation == member.claim.generation, "another life ends")
      states[member.id]?.state = .gone
    case .updated(let member):
      check((states[member.id]?.state ?? .gone) != .gone, "one that is not there changes")
    case .view(let view):
      check(view.members == view.members.sorted(), "a view is not in order")
    case .superseded: break
    }
  }
}
