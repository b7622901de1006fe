// `millrace inspect DIR`: what a data directory holds, without changing it.
import ArgumentParser
import Engine
import Glibc
import Wire

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a data directory holds: streams, shards, sizes, logs, damage.",
    discussion: """
      Nothing in DIR is written. Beside a running server the numbers are those of the last \
      checkpoints, a few seconds old; without one, records that are still in the write-ahead logs \
      count too, and no server can start meanwhile.

      Damage is told as far as it shows without reading every record: logs that a server would \
      not start from, missing and short files, databases that cannot be read. \
      `millrace verify DIR` reads everything.

      Exit codes: 0 nothing is damaged; 1 something is; 2 DIR could not be looked at.

      Examples:
        millrace inspect /var/lib/millrace
        millrace inspect --shards /var/lib/millrace
        millrace inspect --json /var/lib/millrace | jq '.streams[] | {name, bytes}'
      """)

  @Argument(help: "The data directory, as given to serve --data.") var dir: String
  @Flag(help: "A line for each shard, not only for each stream.") var shards = false
  @Flag(help: "One JSON object; 64-bit numbers are strings.") var json = false

  func run() throws {
    let inspector = try StoreInspector.opened(dir)
    let inspection = inspector.inspect()
    Console.output(
      json
        ? InspectionJSON.text(inspection, of: dir)
        : InspectionText.text(inspection, of: dir, eachShard: shards))
    if inspection.isDamaged { throw InspectionExit.damaged }
  }
}

extension StoreInspector {
  /// Looks at the directory, or says why it cannot and ends the command.
  static func opened(_ directory: String) throws -> StoreInspector {
    do throws(InspectionFailure) {
      return try StoreInspector(directory)
    } catch {
      Console.error("millrace: \(error)\n")
      throw InspectionExit.cannotLook
    }
  }
}

/// How `inspect` and `verify` end when not everything is whole.
enum InspectionExit {
  static let damaged = ExitCode(1)
  static let cannotLook = ExitCode(2)
}
