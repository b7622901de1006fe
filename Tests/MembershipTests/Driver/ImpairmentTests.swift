// The bad network on purpose: as bad as asked for, and the same from the same seed.
import Testing

@testable import Membership

@Suite struct ImpairmentTests {
  @Test func `the same seed decides the same, another one otherwise`() {
    func fates(_ seed: UInt64) -> [Impairment.Fate] {
      var impairment = Impairment(
        seed: seed, loss: 0.3, delay: .milliseconds(1) ... .milliseconds(9))
      return (0..<100).map { _ in impairment.fate(after: .zero) }
    }
    #expect(fates(7) == fates(7))
    #expect(fates(7) != fates(8))
  }

  @Test func `as many are lost as asked for, and none takes longer or shorter`() {
    var impairment = Impairment(
      seed: 1, loss: 0.3, delay: .milliseconds(5) ... .milliseconds(20))
    var lost = 0
    for _ in 0..<10_000 {
      switch impairment.fate(after: .seconds(1)) {
      case .lost: lost += 1
      case .late(let delay): #expect(.milliseconds(5) ... .milliseconds(20) ~= delay)
      case .sent: Issue.record("every datagram takes a while")
      }
    }
    #expect(2_800...3_200 ~= lost)
  }

  @Test func `outside its window nothing is touched`() {
    var impairment = Impairment(seed: 1, loss: 1, window: .seconds(10) ..< .seconds(20))
    #expect(impairment.fate(after: .seconds(9)) == .sent)
    #expect(impairment.fate(after: .seconds(10)) == .lost)
    #expect(impairment.fate(after: .seconds(20)) == .sent)
  }
}
