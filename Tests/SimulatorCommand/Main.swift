// `millrace-sim --seed 42 --seeds 1000`: plays simulations from that seed on, and says what came of them.
import Glibc
import Simulator

@main
struct Main {
  private var seed: UInt64 = 42
  private var count: UInt64 = 1
  private var turns = Simulation.turnsUsual
  private var trials = 0
  private var bug: PlantedBug?
  private var isVerbose = false

  static func main() {
    TrapReport.install()
    var command = Main()
    command.parse(CommandLine.arguments.dropFirst())
    exit(command.run() ? 0 : 1)
  }

  private mutating func parse(_ arguments: ArraySlice<String>) {
    var rest = arguments
    func value<Value>(_ name: String, _ make: (String) -> Value?) -> Value {
      guard let text = rest.popFirst(), let value = make(text) else { Self.fail("\(name) what?") }
      return value
    }
    while let argument = rest.popFirst() {
      switch argument {
      case "--seed": seed = value(argument) { UInt64($0) }
      case "--seeds": count = value(argument) { UInt64($0) }
      case "--turns": turns = value(argument) { Int($0) }
      case "--damage": trials = value(argument) { Int($0) }
      case "--bug": bug = value(argument, PlantedBug.init)
      case "--verbose": isVerbose = true
      default: Self.fail("unknown argument \(argument)")
      }
    }
  }

  /// - Returns: true if no promise was broken.
  private func run() -> Bool {
    var progress = SeedProgress(count: count, totals: Counts())
    for seed in seed..<(seed + count) {
      let simulation = Simulation(seed: seed, trace: Trace(echoes: isVerbose), bug: bug)
      let outcome =
        trials > 0
        ? simulation.runDamaging(turns: turns, trials: trials) : simulation.run(turns: turns)
      if count == 1 || outcome.violation != nil { print(outcome.report) }
      if outcome.violation != nil { return false }
      progress.add { $0 += outcome.counts }
    }
    progress.end()
    return true
  }

  private static func fail(_ message: String) -> Never {
    print("millrace-sim: \(message)")
    print("usage: millrace-sim [--seed N] [--seeds COUNT] [--turns N] [--verbose]")
    print("                    [--damage TRIALS] [--bug NAME]")
    print("bugs: \(PlantedBug.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(2)
  }
}
