// The millrace command: serve, and look after what is on disk.
import ArgumentParser

@main
struct Millrace: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "millrace",
    abstract: "Durable, partitioned event streams that need nothing but HTTP.",
    version: Version.text,
    subcommands: [Serve.self, Inspect.self, Verify.self, VersionCommand.self])
}

enum Version {
  static let number = "0.1.0"
  static let text = "millrace \(number)"
}

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Print the version.")

  func run() { Console.output(Version.text + "\n") }
}
