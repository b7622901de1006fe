// The membership keeps its promises in calm and in storm, and a seed always plays the same.
import MembershipSimulator
import class Simulator.Trace
import enum Simulator.TrapReport
import Testing

@Suite struct `The membership simulator` {
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `finds no broken promise`(seed: UInt64) {
    TrapReport.install()
    let outcome = MemberSimulation(seed: seed, trace: Trace()).run()
    #expect(outcome.violation == nil, "\(outcome.report)")
    // A run in which nothing happened would find nothing either.
    #expect(outcome.counts.starts > 1 && outcome.counts.views > 1, "\(outcome.report)")
  }

  /// A thousand take a release build (`make member-sim N=1000`).
  @Test func `finds no broken promise among sixty`() {
    TrapReport.install()
    let outcome = MemberSimulation(seed: 1, members: 60, trace: Trace()).run()
    #expect(outcome.violation == nil, "\(outcome.report)")
    #expect(outcome.counts.crashes > 0, "\(outcome.report)")
  }

  @Test func `forgets the dead everywhere after three days and for good`() {
    TrapReport.install()
    let outcome = MemberSimulation.runForgetting(seed: 1, trace: Trace())
    #expect(outcome.violation == nil, "\(outcome.report)")
  }

  @Test func `plays the same seed twice byte for byte`() {
    let traces = (0..<2).map { _ in
      let trace = Trace(keepsText: true)
      _ = MemberSimulation(seed: 7, trace: trace).run()
      return trace.text
    }
    #expect(traces[0].count > 1_000)
    #expect(traces[0] == traces[1])
  }

  /// Dictionaries are ordered otherwise in every process: whatever leans on that order shows here.
  @Test func `plays the same seed alike in another process`() async throws {
    let there = try #require(
      await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
        print("\ntrace hash \(playedHash(nil))")
      })
    #expect(try hash(saidBy: there.standardOutputContent) == playedHash(nil))
  }

  @Test func `sees an order that is another in every process`() async throws {
    let there = try #require(
      await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
        print("\ntrace hash \(playedHash(.hashOrder))")
      })
    #expect(try hash(saidBy: there.standardOutputContent) != playedHash(.hashOrder))
  }

  private func hash(saidBy output: [UInt8]) throws -> UInt64 {
    let lines = String(decoding: output, as: UTF8.self).split(separator: "\n")
    let line = try #require(lines.first { $0.hasPrefix("trace hash ") })
    return try #require(UInt64(line.dropFirst("trace hash ".count)))
  }
}

private func playedHash(_ bug: PlantedBug?) -> UInt64 {
  let trace = Trace()
  _ = MemberSimulation(seed: 8, trace: trace, bug: bug).run()
  return trace.hash
}
