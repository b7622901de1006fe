// The Engine over the embedded store keeps its promises under crashes and faults, and a seed always plays the same.
import Simulator
import Testing

@Suite struct `The simulator` {
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `finds no broken promise`(seed: UInt64) {
    TrapReport.install()
    let outcome = Simulation(seed: seed, trace: Trace()).run(turns: Simulation.turnsInTests)
    #expect(outcome.violation == nil, "\(outcome.report)")
    // A run in which nothing happened would find nothing either.
    #expect(outcome.counts.acknowledged > 0 && outcome.counts.crashes > 1, "\(outcome.report)")
  }

  @Test func `plays the same seed twice byte for byte`() {
    let traces = (0..<2).map { _ in
      let trace = Trace(keepsText: true)
      _ = Simulation(seed: 7, trace: trace).run(turns: Simulation.turnsInTests)
      return trace.text
    }
    #expect(traces[0].count > 10_000)
    #expect(traces[0] == traces[1])
  }

  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func `finds damage named or harmless`(seed: UInt64) {
    TrapReport.install()
    let outcome = Simulation(seed: seed, trace: Trace())
      .runDamaging(turns: Simulation.turnsInTests / 2, trials: 10)
    #expect(outcome.violation == nil, "\(outcome.report)")
  }
}
