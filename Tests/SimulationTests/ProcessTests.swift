// A seed plays alike in every process, whatever order that process gives its dictionaries.
import Glibc
import Simulator
import Testing

@Suite struct `In another process` {
  /// Each of these parted, in three processes of eight or so, when the reader of segments could find two files to be
  /// the oldest.
  @Test func `a seed plays the same`() async throws {
    try await compare(nil, seeds: [16, 39, 43, 49], processes: 3)
  }

  /// Some are found, some end in a precondition of the Engine.
  @Test(arguments: [
    PlantedBug.seekNotJournaled, .acksNotWritten, .syncTriedAgain, .floorOneTooFar, .leasesNeverEnd,
  ])
  func `a seed with a planted bug plays the same`(bug: PlantedBug) async throws {
    try await compare(bug, seeds: [1, 2, 3, 4], processes: 2)
  }

  /// Compares all that the processes say: after each seed its trace's hash, up to a trap if there is one.
  private func compare(_ bug: PlantedBug?, seeds: [UInt64], processes: Int) async throws {
    var said: [[Substring]] = []
    for _ in 0..<processes { said.append(try await play(bug, seeds)) }
    for other in said.dropFirst() {
      #expect(other.count > 1 && other.dropFirst() == said[0].dropFirst())
      // Else nothing was compared: `SWIFT_DETERMINISTIC_HASHING` is set, or Swift has changed.
      #expect(other.first != said[0].first, "dictionaries are in the same order in both")
    }
  }

  /// Lines: how the other process hashes, then the outcome of each seed.
  private func play(_ bug: PlantedBug?, _ seeds: [UInt64]) async throws -> [Substring] {
    let played = await #expect(processExitsWith: .failure, observing: [\.standardOutputContent]) {
      [bug = bug as PlantedBug?, seeds = seeds as [UInt64]] in
      sayTraces(bug, seeds)
      exit(EXIT_FAILURE)
    }
    let said = String(decoding: try #require(played).standardOutputContent, as: UTF8.self)
    return said.split(separator: "\n").filter { $0.hasPrefix("hashes ") || $0.hasPrefix("seed ") }
  }
}

private func sayTraces(_ bug: PlantedBug?, _ seeds: [UInt64]) {
  print("hashes \(Simulation.turnsUsual.hashValue)")
  for seed in seeds {
    let outcome = Simulation(seed: seed, trace: Trace(), bug: bug).run(turns: Simulation.turnsUsual)
    print("seed \(seed): \(outcome.traceHash) of \(outcome.traceLines) lines")
    fflush(nil)
  }
}
