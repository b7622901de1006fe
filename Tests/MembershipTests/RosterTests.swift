// All that a node knows of the members.
import Testing
import Wire

@testable import Membership

@Suite struct `A roster` {
  static let names = (0..<30).map { "n\($0)" }

  /// Any rumour about one of a few members; the profile follows from generation and incarnation, as owners have it.
  static func rumour(_ random: inout Random) -> Rumour {
    let id = MemberID(names[random.below(12)])!
    let claim = `Of two claims`.any(&random)
    let host =
      UInt32(random.oneIn(2) ? 1 : id.place % 100 + claim.generation * 1000) + claim.incarnation
    return Rumour(
      id: id, claim: claim,
      profile: Profile(endpoint: Endpoint(ipv4: 0x0a00_0001 + host, port: 7000)!),
      ageSeconds: claim.status.isPresent ? 0 : UInt32(random.below(100)))
  }

  static func roster(of count: Int) -> Roster {
    var roster = Roster(own: member("own"))
    for number in 0..<count {
      _ = roster.merge(member("n\(number)").rumour(at: seconds(0)), at: seconds(0))
    }
    return roster
  }

  @Test func `holds its own record, and tells what is new by a rumour`() {
    var roster = Roster(own: member("own"))
    let joined = roster.merge(member("n1").rumour(at: seconds(3)), at: seconds(3))
    #expect(joined?.before == nil)
    #expect(joined?.after == member("n1", since: seconds(3)))
    #expect(roster.merge(member("n1").rumour(at: seconds(4)), at: seconds(4)) == nil)

    let suspected = roster.merge(member("n1", .suspect).rumour(at: seconds(5)), at: seconds(5))
    #expect(suspected?.before == member("n1", since: seconds(3)))
    #expect(suspected?.after == member("n1", .suspect, since: seconds(5)))
    #expect(roster.merge(member("n1", .alive).rumour(at: seconds(6)), at: seconds(6)) == nil)
    #expect(roster.members.map(\.id.text) == ["own", "n1"])
    #expect(roster.presentCount == 2)
    #expect(roster.count(.suspect) == 1)
  }

  @Test func `has nothing said of itself by others`() {
    var random = Random(seed: 1)
    var roster = Roster(own: member("own"))
    #expect(
      roster.merge(member("own", .dead, generation: 9).rumour(at: seconds(1)), at: seconds(1))
        == nil)
    #expect(roster.own == member("own"))
    roster.updateOwn(member("own", .left, generation: 9))
    #expect(roster["own".id] == member("own", .left, generation: 9))
    #expect(roster.presentCount == 0)
    #expect(roster.draw(5, from: .left, random: &random).isEmpty)
  }

  @Test func `knows since when a status holds, whatever else a member tells`() {
    var roster = Roster(own: member("own"))
    for (incarnation, status, at, since) in [
      (1, Status.alive, 10.0, 10.0), (2, .alive, 20, 10), (2, .suspect, 30, 30),
      (3, .alive, 40, 40),
    ] as [(UInt32, Status, Double, Double)] {
      let rumour = member("n1", status, incarnation: incarnation).rumour(at: seconds(at))
      #expect(roster.merge(rumour, at: seconds(at))?.after.since == seconds(since))
    }
    // Alive in a new life: that began now.
    let reborn = member("n1", generation: 2).rumour(at: seconds(50))
    #expect(roster.merge(reborn, at: seconds(50))?.after.since == seconds(50))
    let gone = member("n1", .dead, generation: 2, since: seconds(0)).rumour(at: seconds(45))
    #expect(roster.merge(gone, at: seconds(100))?.after.since == seconds(55))
  }

  @Test(arguments: UInt64(1)...60)
  func `is the same in whatever order and however often rumours came`(seed: UInt64) {
    var random = Random(seed: seed)
    let rumours = (0..<60).map { _ in Self.rumour(&random) }
    let repeated = rumours + (0..<30).map { _ in rumours[random.below(60)] }
    var (one, two) = (Roster(own: member("own")), Roster(own: member("own")))
    for rumour in rumours { _ = one.merge(rumour, at: seconds(500)) }
    for rumour in repeated.shuffled(using: &random) { _ = two.merge(rumour, at: seconds(500)) }
    #expect(one.digest == two.digest)
    #expect(one.members.map(\.claim).count == two.count)
    for member in one.members {
      let other = two[member.id]
      #expect(other?.claim == member.claim)
      // Since when a present one is so may differ by what came between; the end of a gone one may not.
      if !member.status.isPresent { #expect(other?.since == member.since) }
    }
    // And each holds the greatest claim that was made.
    for id in Set(rumours.map(\.id)) {
      #expect(one[id]?.claim == rumours.filter { $0.id == id }.map(\.claim).max())
    }
  }

  @Test(arguments: UInt64(1)...30)
  func `keeps counts, lists, look-ups and digest true through all that happens`(seed: UInt64) {
    var random = Random(seed: seed)
    var roster = Roster(own: member("own"))
    var model: [MemberID: Member] = ["own".id: roster.own]
    for step in 0..<300 {
      let now = seconds(Double(step) * (random.oneIn(20) ? 900 : 10))
      let rumour = Self.rumour(&random)
      if let change = roster.merge(rumour, at: now) {
        #expect(change.before == model[rumour.id])
        #expect(change.after.claim == rumour.claim)
        model[rumour.id] = change.after
      } else if let known = roster[rumour.id] {
        model[rumour.id] = known
      }
      if random.oneIn(10) {
        let later = now + Roster.memory - .seconds(random.below(2000))
        let forgotten = roster.expire(at: later)
        let due = model.values.filter { !$0.status.isPresent && $0.since <= later - Roster.memory }
        #expect(Set(forgotten) == Set(due))
        for member in due { model[member.id] = nil }
      }
      #expect(Set(roster.members) == Set(model.values))
      for status in Status.allCases {
        #expect(roster.count(status) == model.values.count { $0.status == status })
      }
      let others = model.values.filter { $0.id != "own".id }
      #expect(Set(roster.others(.present)) == Set(others.filter(\.status.isPresent)))
      #expect(Set(roster.others(.dead)) == Set(others.filter { $0.status == .dead }))
      #expect(Set(roster.others(.left)) == Set(others.filter { $0.status == .left }))
      let place = rumour.profile.endpoint
      let reached = model.values.filter { $0.endpoint == place }
      let found = roster.member(at: place)
      #expect((found == nil) == reached.isEmpty)
      if let found {
        #expect(reached.contains(found))
        #expect(found.status.isPresent || reached.allSatisfy { !$0.status.isPresent })
      }
    }
    var fresh = Roster(own: member("own"))
    for member in roster.others(.present) {
      _ = fresh.merge(member.rumour(at: seconds(0)), at: seconds(0))
    }
    for kind in [Roster.Kind.dead, .left] {
      for member in roster.others(kind) {
        _ = fresh.merge(member.rumour(at: member.since), at: member.since)
      }
    }
    #expect(fresh.digest == roster.digest)
  }

  @Test func `tells by its digest that it lacks anything, and in which part`() {
    let roster = Self.roster(of: 200)
    for member in Array(roster.others(.present)) {
      var other = roster
      let claim = member.claim.with(.suspect)
      _ = other.merge(Rumour(id: member.id, claim: claim, profile: member.profile), at: seconds(1))
      #expect(other.digest.hash != roster.digest.hash)
      let differing = (0..<ViewDigest.bucketCount).filter {
        other.digest.buckets[$0] != roster.digest.buckets[$0]
      }
      #expect(differing == [ViewDigest.bucket(of: member.id)])
    }
  }

  @Test func `has the same digest on every machine and in every version`() {
    var roster = Roster(own: member("n1", generation: 1_700_000_000_000, incarnation: 2))
    _ = roster.merge(member("n2", .left, generation: 3).rumour(at: seconds(0)), at: seconds(0))
    #expect(roster.digest.hash == 0xedd47259e1f6f9e0)
  }

  @Test func `draws different members, all equally often, and not the excepted one`() {
    var random = Random(seed: 7)
    let roster = Self.roster(of: 10)
    var drawn: [MemberID: Int] = [:]
    for _ in 0..<9000 {
      let three = roster.draw(3, from: .present, except: "n4".id, random: &random)
      #expect(Set(three.map(\.id)).count == 3)
      for member in three { drawn[member.id, default: 0] += 1 }
    }
    // 3000 each; its deviation is 45.
    #expect(drawn.count == 9)
    #expect(drawn.values.allSatisfy { 2750...3250 ~= $0 })
    #expect(drawn["n4".id] == nil && drawn["own".id] == nil)
  }

  @Test func `draws as many as there are`() {
    var random = Random(seed: 7)
    let roster = Self.roster(of: 2)
    #expect(Set(roster.draw(9, from: .present, random: &random).map(\.id.text)) == ["n0", "n1"])
    #expect(
      roster.draw(9, from: .present, except: "n0".id, random: &random).map(\.id.text) == ["n1"])
    #expect(roster.draw(1, from: .dead, random: &random).isEmpty)
    #expect(roster.draw(0, from: .present, random: &random).isEmpty)
  }

  @Test
  func `remembers the gone for 72 hours from when they went, and takes no older word of them`() {
    var roster = Roster(own: member("own"))
    let hour = 3600.0
    let dead = member("n1", .dead, since: seconds(0)).rumour(at: seconds(70 * hour))
    #expect(roster.merge(dead, at: seconds(1000 * hour)) != nil)
    #expect(roster.nextExpiry == seconds(1002 * hour))
    #expect(roster.expire(at: seconds(1002 * hour - 1)).isEmpty)
    #expect(roster.expire(at: seconds(1002 * hour)).map(\.id.text) == ["n1"])
    #expect(roster.count == 1)
    #expect(roster.nextExpiry == nil)
    #expect(roster.digest == Roster(own: member("own")).digest)

    let old = member("n1", .left, since: seconds(0)).rumour(at: seconds(72 * hour))
    #expect(roster.merge(old, at: seconds(1003 * hour)) == nil)
    #expect(roster.count == 1)
  }

  @Test func `takes the oldest age that it hears of one that is gone`() {
    var roster = Roster(own: member("own"))
    let dead = member("n1", .dead, since: seconds(0))
    _ = roster.merge(dead.rumour(at: seconds(10)), at: seconds(500))
    #expect(roster.merge(dead.rumour(at: seconds(12)), at: seconds(500)) == nil)
    #expect(roster["n1".id]?.since == seconds(488))
    #expect(roster.merge(dead.rumour(at: seconds(5)), at: seconds(500)) == nil)
    #expect(roster["n1".id]?.since == seconds(488))
    #expect(roster.nextExpiry == seconds(488) + Roster.memory)
  }

  @Test func `has room for 20,000 and says how many it refused`() {
    var roster = Self.roster(of: Roster.membersMax - 1)
    #expect(roster.merge(member("last").rumour(at: seconds(0)), at: seconds(0)) == nil)
    #expect(roster.count == Roster.membersMax)
    #expect(roster.refusedCount == 1)
    // Those that are known are heard of as before.
    #expect(roster.merge(member("n5", .dead).rumour(at: seconds(0)), at: seconds(0)) != nil)
  }

  @Test func `forgets the longest gone for one that comes when it is full`() {
    var roster = Self.roster(of: Roster.membersMax - 1)
    for number in 0..<32 {
      let status: Status = number % 2 == 0 ? .dead : .left
      let gone = member("n\(number)", status).rumour(at: seconds(0))
      #expect(roster.merge(gone, at: seconds(Double(100 - number))) != nil)
    }
    #expect(roster.merge(member("dead", .dead).rumour(at: seconds(0)), at: seconds(200)) == nil)
    #expect(roster.merge(member("new").rumour(at: seconds(0)), at: seconds(200)) != nil)
    // Of 32, three.
    #expect(["n31", "n30", "n29"].allSatisfy { roster[$0.id] == nil })
    #expect(roster["n28".id]?.status == .dead)
    #expect(roster["new".id]?.status == .alive)
    #expect(roster.count == Roster.membersMax - 2)
    #expect(roster.count(.dead) + roster.count(.left) == 29)
    #expect(roster.refusedCount == 1)
  }

  @Test func `takes no more than 120 bytes for a record`() {
    // The record, its place in a list both ways, and two cells of tables at three eighths at least.
    let bytes = MemoryLayout<Member?>.stride + 2 * MemoryLayout<Int32>.stride
    #expect(bytes <= 96)
  }
}

extension String {
  var id: MemberID { MemberID(self)! }
}

@Suite struct `A table of slots` {
  @Test(arguments: UInt64(1)...20)
  func `finds what was put in and not taken out, hashes alike or not`(seed: UInt64) {
    var random = Random(seed: seed)
    var table = SlotTable()
    var model: [[Int]] = Array(repeating: [], count: 8)
    func hash(_ key: Int) -> UInt64 {
      [0, 1 << 32, 2 << 32, 7 << 32, 8 << 32, 9 << 32, 63 << 32, .max][key]
    }
    for slot in 0..<400 {
      let key = random.below(8)
      if random.below(5) < 3 {
        table.insert(hash(key), slot: slot)
        model[key].append(slot)
      } else if let taken = model[key].indices.first {
        table.remove(hash(key), slot: model[key].remove(at: taken))
      }
      for key in model.indices {
        var found: [Int] = []
        var cursor = table.start(hash(key))
        while let slot = table.next(hash(key), &cursor) { found.append(slot) }
        #expect(found.sorted() == model[key])
      }
    }
  }
}
