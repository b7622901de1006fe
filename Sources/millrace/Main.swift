// The millrace command: serve, look after what is on disk, and be a member of a cluster.
import ArgumentParser
import Glibc

@main
enum Program {
  /// Not asynchronous: what needs no tasks (a member of a cluster above all) gets along with this one thread, and runs
  /// on it. Swift's asynchronous `main` would park it for good and keep three others.
  static func main() {
    do {
      var command = try Millrace.parseAsRoot()
      if !(command is any AsyncParsableCommand) {
        try command.run()
        Millrace.exit()
      }
    } catch {
      Millrace.exit(withError: error)
    }
    // Detached: a task of this function would wait for this thread.
    Task.detached { await runAsynchronously() }
    while true { pause() }
  }

  /// Reads the flags once more, here where they are used: a command cannot be handed from thread to thread.
  private static func runAsynchronously() async {
    do {
      guard var command = try Millrace.parseAsRoot() as? any AsyncParsableCommand else {
        preconditionFailure("the same flags are another command")
      }
      try await command.run()
    } catch {
      Millrace.exit(withError: error)
    }
    fflush(nil)
    // Not `exit`: the destructors that it runs would meet other threads at work.
    _exit(EXIT_SUCCESS)
  }
}

struct Millrace: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "millrace",
    abstract: "Durable, partitioned event streams that need nothing but HTTP.",
    version: Version.text,
    subcommands: [
      Serve.self, Inspect.self, Verify.self, MemberCommand.self, VersionCommand.self,
    ])
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
