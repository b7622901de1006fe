// `millrace-member-sim --seed 42 --seeds 1000`: plays simulations from that seed on, and says what came of them.
import Glibc
import MembershipSimulator
import struct Simulator.SeedProgress
import class Simulator.Trace
import enum Simulator.TrapReport
import Wire

@main
struct Main {
  private var seed: UInt64 = 42
  private var count: UInt64 = 1
  private var members: Int?
  private var bug: PlantedBug?
  private var isVerbose = false
  private var isForgetting = false
  /// Where the plot of Lifeguard's experiment goes, if that is what is asked for.
  private var plot: String?

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
      case "--members": members = value(argument) { Int($0).flatMap { $0 > 1 ? $0 : nil } }
      case "--bug": bug = value(argument, PlantedBug.init)
      case "--lifeguard": plot = value(argument) { $0 }
      case "--forgetting": isForgetting = true
      case "--verbose": isVerbose = true
      default: Self.fail("unknown argument \(argument)")
      }
    }
  }

  /// - Returns: true if no promise was broken.
  private func run() -> Bool {
    if let plot { return experiment(plot) }
    var progress = SeedProgress(count: count, totals: Counts())
    for seed in seed..<(seed + count) {
      let trace = Trace(echoes: isVerbose)
      let outcome =
        isForgetting
        ? MemberSimulation.runForgetting(seed: seed, trace: trace)
        : MemberSimulation(seed: seed, members: members, trace: trace, bug: bug).run()
      if count == 1 || outcome.violation != nil { print(outcome.report) }
      if outcome.violation != nil { return false }
      progress.add { $0 += outcome.counts }
    }
    progress.end()
    return true
  }

  /// Prints the tables; the plot goes to its file.
  private func experiment(_ path: String) -> Bool {
    var lifeguard = Lifeguard()
    if let members { lifeguard.members = members }
    lifeguard.seeds = Int(count)
    let result = lifeguard.run { Self.say($0) }
    print(result.markdown, terminator: "")
    guard let file = fopen(path, "w") else {
      Self.say("cannot write \(path)")
      return false
    }
    let isWritten = fputs(result.svg, file) >= 0
    return fclose(file) == 0 && isWritten
  }

  /// Beside the tables.
  private static func say(_ line: String) {
    var line = line + "\n"
    line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  private static func fail(_ message: String) -> Never {
    print("millrace-member-sim: \(message)")
    print("usage: millrace-member-sim [--seed N] [--seeds COUNT] [--members N] [--verbose]")
    print("                           [--forgetting] [--bug NAME] [--lifeguard PLOT.svg]")
    print("bugs: \(PlantedBug.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(2)
  }
}
