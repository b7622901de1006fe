// `millrace-sim --seed 42 --steps 20000`: plays one simulation, or several from that seed on, and says what came of it.
import Simulator

#if canImport(Glibc)
  import Glibc
#endif

@main
struct Main {
  static func main() {
    var seed: UInt64 = 1
    var count: UInt64 = 1
    var steps = 20_000
    var trials = 0
    var isVerbose = false
    var usesPlainLog = false
    var arguments = CommandLine.arguments.dropFirst()
    func number<Number: FixedWidthInteger>(_ name: String) -> Number {
      guard let text = arguments.popFirst(), let number = Number(text) else {
        fail("\(name) needs a number")
      }
      return number
    }
    while let argument = arguments.popFirst() {
      switch argument {
      case "--seed": seed = number(argument)
      case "--seeds": count = number(argument)
      case "--steps": steps = number(argument)
      case "--damage": trials = number(argument)
      case "--plain-log": usesPlainLog = true
      case "--verbose": isVerbose = true
      default: fail("unknown argument \(argument)")
      }
    }
    TrapReport.install()
    for seed in seed..<(seed + count) {
      let trace = Trace(echoes: isVerbose)
      let simulation = Simulation(seed: seed, trace: trace, usesPlainLog: usesPlainLog)
      let outcome =
        trials > 0
        ? simulation.runDamaging(turns: steps, trials: trials) : simulation.run(turns: steps)
      print(outcome.report)
      if outcome.violation != nil { exit(1) }
    }
  }

  static func fail(_ message: String) -> Never {
    print("millrace-sim: \(message)")
    print("usage: millrace-sim [--seed N] [--seeds COUNT] [--steps TURNS] [--damage TRIALS]")
    print("                    [--plain-log] [--verbose]")
    exit(2)
  }
}
