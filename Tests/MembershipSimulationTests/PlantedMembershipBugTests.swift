// Bugs put in on purpose are found: what a simulator never finds, it does not look for.
import Glibc
import MembershipSimulator
import class Simulator.Trace
import enum Simulator.TrapReport
import Testing

@Suite struct `A bug planted in the membership` {
  /// In a process of its own: a bug may also be found by a precondition of the core, which ends the process. That the
  /// same seeds end well without a bug is what `The membership simulator` tests.
  @Test(arguments: PlantedBug.foundSoon)
  func `is found within a few seeds`(bug: PlantedBug) async {
    await #expect(processExitsWith: .failure) { [bug] in
      for seed in 1...PlantedBug.seedsMax {
        let outcome = MemberSimulation(seed: seed, trace: Trace(), bug: bug).run()
        if outcome.violation != nil { exit(EXIT_FAILURE) }
      }
    }
  }
}
