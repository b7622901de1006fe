// How long to wait, whom to ask next, how long to suspect, and who looks again.
import Testing
import Wire

@testable import Membership

@Suite struct `The round trip's timeout` {
  @Test func `is the longest until something is known`() {
    #expect(RoundTrip().timeout == .milliseconds(250))
    #expect(RoundTrip().estimate == nil)
  }

  @Test func `follows RFC 6298`() {
    var trip = RoundTrip()
    trip.add(.milliseconds(40))
    #expect(trip.estimate == .milliseconds(40))
    #expect(trip.timeout == .milliseconds(40 + 4 * 20))
    trip.add(.milliseconds(48))
    // RTTVAR = 3/4·20 + 1/4·8, SRTT = 7/8·40 + 1/8·48.
    #expect(trip.estimate == .milliseconds(41))
    #expect(trip.timeout == .milliseconds(41 + 4 * 17))
  }

  @Test func `stays within its limits`() {
    var trip = RoundTrip()
    for _ in 0..<100 { trip.add(.microseconds(80)) }
    #expect(trip.timeout == .milliseconds(50))
    for _ in 0..<100 { trip.add(.seconds(Int64.max / 2)) }
    #expect(trip.timeout == .milliseconds(250))
    for _ in 0..<200 { trip.add(.seconds(-5)) }
    #expect(trip.timeout == .milliseconds(50))
  }
}

@Suite struct `Local health` {
  @Test func `worsens by what is missed and recovers by successes`() {
    var health = LocalHealth()
    #expect(health.multiplier == 1)
    for sign in [LocalHealth.Sign.missedAck, .refuted, .stalled, .missedNacks(2)] {
      health.note(sign)
    }
    #expect(health.score == 5)
    #expect(health.multiplier == 6)
    health.note(.success)
    #expect(health.score == 4)
  }

  @Test(arguments: UInt64(1)...20)
  func `stays between 0 and 8`(seed: UInt64) {
    var random = Random(seed: seed)
    var health = LocalHealth()
    for _ in 0..<500 {
      let signs: [LocalHealth.Sign] = [
        .success, .missedAck, .refuted, .stalled, .missedNacks(random.below(4)), .missedNacks(.max),
        .success,
      ]
      let before = health.score
      let sign = signs[random.below(7)]
      health.note(sign)
      #expect(0...8 ~= health.score)
      #expect(sign == .success ? health.score <= before : health.score >= before)
    }
  }
}

@Suite struct `A probe schedule` {
  @Test(arguments: UInt64(1)...20)
  func `asks everyone once a round, each round in another order`(seed: UInt64) {
    var random = Random(seed: seed)
    let roster = `A roster`.roster(of: 40)
    var schedule = ProbeSchedule()
    var rounds: [[String]] = []
    for _ in 0..<5 {
      rounds.append(
        (0..<40).compactMap { _ in schedule.next(in: roster, random: &random)?.id.text })
    }
    let everyone = (0..<40).map { "n\($0)" }.sorted()
    #expect(rounds.allSatisfy { $0.sorted() == everyone })
    #expect(Set(rounds).count == 5)
  }

  @Test(arguments: UInt64(1)...20)
  func `asks whoever came or came back within the round, and nobody who is gone`(seed: UInt64) {
    var random = Random(seed: seed)
    var roster = `A roster`.roster(of: 20)
    var schedule = ProbeSchedule()
    var lastAsked: [MemberID: Int] = [:]
    var cameAt: [MemberID: Int] = [:]
    for member in roster.others(.present) { cameAt[member.id] = 0 }
    for step in 1...2000 {
      let now = seconds(Double(step))
      let id = "n\(random.below(25))".id
      let known = roster[id]
      switch random.below(30) {
      case 0 where known?.status.isPresent == true:
        _ = roster.merge(
          Rumour(id: id, claim: known!.claim.with(.dead), profile: known!.profile), at: now)
        schedule.remove(id, in: roster)
        cameAt[id] = nil
      case 1 where known?.status.isPresent != true:
        let claim = Claim(
          generation: (known?.claim.generation ?? 0) + 1, incarnation: 0, status: .alive)
        _ = roster.merge(Rumour(id: id, claim: claim, profile: profile(of: id)), at: now)
        schedule.insert(id, in: roster, random: &random)
        cameAt[id] = step
        lastAsked[id] = nil
      default: break
      }
      if let asked = schedule.next(in: roster, random: &random) {
        #expect(asked.status.isPresent && asked.id != "own".id)
        lastAsked[asked.id] = step
      }
      // SWIM §4.3: 2N − 1 periods at most, N of them here up to 25.
      for member in roster.others(.present) {
        #expect(step - max(lastAsked[member.id] ?? 0, cameAt[member.id]!) <= 2 * 25 - 1)
      }
    }
  }

  @Test func `puts one that comes at any place of the round`() {
    var random = Random(seed: 5)
    var places = [Int](repeating: 0, count: 10)
    for _ in 0..<5000 {
      var roster = `A roster`.roster(of: 10)
      var schedule = ProbeSchedule()
      _ = schedule.next(in: roster, random: &random)
      _ = roster.merge(member("late").rumour(at: seconds(0)), at: seconds(0))
      schedule.insert("late".id, in: roster, random: &random)
      let order = (0..<10).map { _ in schedule.next(in: roster, random: &random)!.id.text }
      places[order.firstIndex(of: "late")!] += 1
    }
    #expect(places.allSatisfy { 400...600 ~= $0 })
  }

  @Test func `has nobody to ask when one is alone`() {
    var random = Random(seed: 5)
    var schedule = ProbeSchedule()
    #expect(schedule.next(in: Roster(own: member("own")), random: &random) == nil)
  }
}

@Suite struct `A suspicion` {
  func suspicion(_ further: Int, refused: Bool = false) -> Suspicion {
    Suspicion(
      startedAt: seconds(100), furtherExpected: further, min: .seconds(4), max: .seconds(24),
      by: "a0".id,
      isRefused: refused)
  }

  @Test func `lasts as Lifeguard's formula says`() {
    var three = suspicion(3)
    #expect(three.timeout == .seconds(24))
    // 24 − 20 · log 2 / log 4, 24 − 20 · log 3 / log 4.
    for (accuser, timeout) in [("a1", 14_000), ("a2", 8_150), ("a3", 4_000), ("a4", 4_000)] {
      let isNews = three.confirm(by: accuser.id, isRefused: false)
      #expect(isNews == (accuser != "a4"))
      #expect(three.timeout == .milliseconds(timeout))
      #expect(three.deadline == seconds(100) + .milliseconds(timeout))
    }
    #expect(three.accusers.map(\.text) == ["a0", "a1", "a2", "a3"])

    var two = suspicion(2)
    two.confirm(by: "a1".id, isRefused: false)
    #expect(two.timeout == .milliseconds(11_381))
    #expect(suspicion(0).timeout == .seconds(4))
  }

  @Test func `counts an accuser once`() {
    var suspicion = suspicion(3)
    for _ in 0..<5 { #expect(suspicion.confirm(by: "a0".id, isRefused: false) == false) }
    #expect(suspicion.timeout == .seconds(24))
  }

  @Test func `is short when two saw it refused, not when one did`() {
    var suspicion = suspicion(3, refused: true)
    #expect(suspicion.confirm(by: "a0".id, isRefused: true) == false)
    #expect(suspicion.timeout == .seconds(24))
    for accuser in ["a1", "a2", "a3"] { suspicion.confirm(by: accuser.id, isRefused: false) }
    #expect(suspicion.timeout == .seconds(4))
    // Known as an accuser, and all that are needed are there: that it saw a refusal is news all the same.
    #expect(suspicion.confirm(by: "a2".id, isRefused: true) == true)
    #expect(suspicion.isRefusedByTwo)
    #expect(suspicion.deadline == seconds(100) + .milliseconds(500))
    #expect(suspicion.confirm(by: "a9".id, isRefused: true) == false)
  }

  @Test(arguments: UInt64(1)...40)
  func
    `ends alike in whatever order accusers came, never before its least time nor later by one more`(
      seed: UInt64
    )
  {
    var random = Random(seed: seed)
    let further = random.below(5)
    var accusations = (0..<8).map { _ in ("a\(random.below(6))".id, random.oneIn(4)) }
    let first = suspicion(further)
    var one = first
    for (accuser, isRefused) in accusations {
      let before = one.deadline
      one.confirm(by: accuser, isRefused: isRefused)
      #expect(one.deadline <= before)
      #expect(one.timeout >= (one.isRefusedByTwo ? .milliseconds(500) : .seconds(4)))
      #expect(one.accusers.count <= further + 1)
    }
    accusations.shuffle(using: &random)
    var two = first
    for (accuser, isRefused) in accusations { two.confirm(by: accuser, isRefused: isRefused) }
    #expect(one.deadline == two.deadline)
  }

  @Test func `does not run on while the node is stopped`() {
    var suspicion = suspicion(0)
    suspicion.shift(by: .seconds(3))
    #expect(suspicion.deadline == seconds(107))
  }

  @Test func `of a silent member is at least 4 s, and longer in clusters of more than 1,024`() {
    let interval = Duration.milliseconds(100)
    for (members, least) in [(1, 4000), (2, 4000), (1024, 4000), (1025, 4400), (10_000, 5600)] {
      #expect(Suspicion.min(members: members, gossipInterval: interval) == .milliseconds(least))
    }
    let further = [0, 1, 2, 3, 4, 5, 6, 1000].map { Suspicion.furtherExpected(members: $0) }
    #expect(further == [0, 0, 0, 1, 2, 3, 3, 3])
  }

  @Test func `rounds logarithms up`() {
    let counts = [-1, 0, 1, 2, 3, 4, 5, 8, 9, 1024, 1025]
    #expect(counts.map { ceilingOfLog2($0) } == [0, 0, 0, 1, 2, 2, 3, 3, 4, 10, 11])
  }
}

@Suite struct `Those who watch a member` {
  /// A roster of each of `count` members, all knowing all, in different orders.
  func rosters(_ count: Int, _ random: inout Random, dead: Set<Int> = []) -> [Roster] {
    (0..<count).map { own in
      var roster = Roster(own: member("n\(own)"))
      for other in (0..<count).shuffled(using: &random) where other != own {
        let status: Status = dead.contains(other) ? .dead : .alive
        _ = roster.merge(member("n\(other)", status).rumour(at: seconds(0)), at: seconds(0))
      }
      return roster
    }
  }

  @Test(arguments: UInt64(1)...10)
  func `are the three before it on the ring, as all agree`(seed: UInt64) {
    var random = Random(seed: seed)
    let rosters = rosters(20, &random, dead: [3, 4])
    var watchers: [String: Int] = [:]
    let ring = rosters.map(\.own).filter { !["n3", "n4"].contains($0.id.text) }.map(\.id)
      .sorted { $0.place < $1.place }
    for roster in rosters where ring.contains(roster.own.id) {
      let next = Successors.next(3, among: roster)
      let place = ring.firstIndex(of: roster.own.id)!
      #expect(next.map(\.id) == (1...3).map { ring[(place + $0) % ring.count] })
      for member in next { watchers[member.id.text, default: 0] += 1 }
    }
    #expect(watchers.count == 18)
    #expect(watchers.values.allSatisfy { $0 == 3 })
  }

  @Test func `are all others of a small cluster`() {
    var random = Random(seed: 1)
    for count in 1...4 {
      for roster in rosters(count, &random) {
        #expect(Successors.next(3, among: roster).count == count - 1)
      }
    }
  }

  @Test(arguments: UInt64(1)...10)
  func `once it is suspected are chosen alike by all, itself and the dead not among them`(
    seed: UInt64
  ) {
    var random = Random(seed: seed)
    let rosters = rosters(30, &random, dead: [1, 2])
    var chosen: Set<MemberID> = []
    for suspect in 3..<30 {
      let choices = rosters.filter { $0.own.status == .alive }.map { roster in
        Successors.confirmers(of: roster["n\(suspect)".id]!, 5, among: roster).map(\.id)
      }
      // n1 and n2 hold themselves for alive; the others agree.
      let others = choices.dropFirst(3).map { $0 }
      #expect(Set(others).count == 1)
      #expect(Set(others[0]).count == 5)
      #expect(Set(others[0]).isDisjoint(with: ["n\(suspect)".id, "n1".id, "n2".id]))
      chosen.formUnion(others[0])
    }
    #expect(chosen.count > 20)
  }

  @Test func `are others when it is suspected again`() {
    let roster = `A roster`.roster(of: 30)
    let sets = (0..<10).map { incarnation in
      Set(Successors.confirmers(of: member("n1", incarnation: incarnation), 5, among: roster))
    }
    #expect(Set(sets).count > 5)
    // Whether it is already held for suspect changes nothing.
    let one = Successors.confirmers(of: member("n1"), 5, among: roster)
    #expect(Successors.confirmers(of: member("n1", .suspect), 5, among: roster) == one)
  }
}
