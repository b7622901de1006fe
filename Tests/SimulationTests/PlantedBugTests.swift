// Bugs put in on purpose are found: what a simulator never finds, it does not look for.
import Glibc
import Simulator
import Testing

@Suite struct `A planted bug` {
  /// In a process of its own: a bug may also be found by a precondition of the Engine, which ends the process. That the
  /// same seeds end well without a bug is what `The simulator` tests.
  @Test(arguments: PlantedBug.foundSoon)
  func `is found within a few seeds`(bug: PlantedBug) async {
    await #expect(processExitsWith: .failure) { [bug] in
      for seed in 1...PlantedBug.seedsMax {
        let outcome = Simulation(seed: seed, trace: Trace(), bug: bug)
          .run(turns: Simulation.turnsInTests)
        if outcome.violation != nil { exit(EXIT_FAILURE) }
      }
    }
  }
}
