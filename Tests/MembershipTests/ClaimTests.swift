// Which of two claims holds, and what is told of a member.
import Membership
import Testing
import Wire

/// A member of a name and a claim; what else it says follows from its name.
func member(
  _ name: String, _ status: Status = .alive, generation: UInt64 = 1, incarnation: UInt32 = 0,
  since: Instant = Instant(nanoseconds: 0)
) -> Member {
  let id = MemberID(name)!
  return Member(
    id: id, claim: Claim(generation: generation, incarnation: incarnation, status: status),
    profile: profile(of: id), since: since)
}

func profile(of id: MemberID) -> Profile {
  Profile(endpoint: Endpoint(ipv4: 0x0a00_0000 | UInt32(id.place >> 40), port: 7000)!)
}

func seconds(_ count: Double) -> Instant { Instant(nanoseconds: Int64(count * 1e9)) }

@Suite struct `Of two claims` {
  static func any(_ random: inout Random) -> Claim {
    Claim(
      generation: UInt64(random.below(3)), incarnation: UInt32(random.below(3)),
      status: Status.allCases[random.below(4)])
  }

  @Test func `the later life holds, then the later incarnation, then the graver status`() {
    let ascending = [
      Claim(generation: 1, incarnation: 0, status: .alive),
      Claim(generation: 1, incarnation: 0, status: .suspect),
      Claim(generation: 1, incarnation: 0, status: .dead),
      Claim(generation: 1, incarnation: 0, status: .left),
      Claim(generation: 1, incarnation: 1, status: .alive),
      Claim(generation: 1, incarnation: 7, status: .left),
      Claim(generation: 2, incarnation: 0, status: .alive),
    ]
    for (place, claim) in ascending.enumerated() {
      for (other, than) in ascending.enumerated() { #expect((claim < than) == (place < other)) }
    }
  }

  @Test(arguments: UInt64(1)...50)
  func `the greater holds in whatever order and however often they come`(seed: UInt64) {
    var random = Random(seed: seed)
    for _ in 0..<100 {
      let (one, two, three) = (Self.any(&random), Self.any(&random), Self.any(&random))
      #expect(max(one, two) == max(two, one))
      #expect(max(max(one, two), three) == max(one, max(two, three)))
      #expect(max(one, one) == one)
    }
  }

  @Test func `a refutation outdoes what it refutes`() {
    let accused = Claim(generation: 4, incarnation: 2, status: .alive).with(.suspect)
    #expect(accused < Claim(generation: 4, incarnation: 3, status: .alive))
    #expect(accused > Claim(generation: 4, incarnation: 2, status: .alive))
  }

  @Test func `only alive and suspect members are of the cluster`() {
    #expect(Status.allCases.map(\.isPresent) == [true, true, false, false])
  }
}

@Suite struct `A rumour` {
  @Test func `tells of the dead since when they are, rounded down`() {
    let dead = member("n1", .dead, since: seconds(10))
    #expect(dead.rumour(at: seconds(73.9)).ageSeconds == 63)
    #expect(dead.rumour(at: seconds(9)).ageSeconds == 0)
    #expect(member("n1", .alive, since: seconds(10)).rumour(at: seconds(73)).ageSeconds == 0)
  }

  @Test func `of a suspicion tells who accuses, of the incarnation that the accuser knew`() {
    let known = member("n1", incarnation: 5)
    let rumour = known.suspicion(by: MemberID("n2")!, isRefused: true)
    #expect(rumour.claim == known.claim.with(.suspect))
    #expect(rumour.profile == known.profile)
    #expect(rumour.accuser == MemberID("n2"))
    #expect(rumour.isRefused)
  }
}
