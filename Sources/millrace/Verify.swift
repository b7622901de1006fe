// `millrace verify DIR`: reads everything in a data directory and checks every checksum.
import ArgumentParser
import Engine
import Glibc
import Wire

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Read everything in a data directory and check every checksum.",
    discussion: """
      Every frame of every segment, every group of the write-ahead logs that is not in segments \
      yet, the checkpoints and the catalog, and whether they agree with each other and with the \
      files. Each damage is named with its file, the byte in it, and the records that are lost. \
      Nothing in DIR is written.

      Beside a running server the write-ahead logs are left out, because they change all the \
      time: the server checks them itself when it starts. Everything else is checked as of the \
      last checkpoints. Without a server, none can start until verify has ended. The index files \
      beside segments are not checked: a server does not believe them and makes them anew.

      The end of a log that a crash cut short is not damage: nobody was told that it was stored.

      Exit codes: 0 everything is whole; 1 something is damaged; 2 DIR could not be looked at.

      Examples:
        millrace verify /var/lib/millrace
        millrace verify --json --quiet /backup/millrace | jq '.findings'
      """)

  @Argument(help: "The data directory, as given to serve --data.") var dir: String
  @Flag(help: "One JSON object; 64-bit numbers are strings.") var json = false
  @Flag(name: .shortAndLong, help: "No progress on standard error.") var quiet = false

  func run() throws {
    let inspector = try StoreInspector.opened(dir)
    var progress = Progress(isQuiet: quiet)
    let verification = inspector.verify { done, total in progress.tell(done, total) }
    progress.end()
    Console.output(
      json
        ? InspectionJSON.text(verification, of: dir)
        : InspectionText.text(verification, of: dir))
    if verification.isDamaged { throw InspectionExit.damaged }
  }
}

/// How far a long reading is, on standard error: a line that changes on a terminal, one now and then in a log.
private struct Progress {
  private let isQuiet: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let clock = SystemTime()
  private let started: Duration
  private var last: Duration
  private var hasTold = false

  init(isQuiet: Bool) {
    self.isQuiet = isQuiet
    started = clock.monotonic
    last = started
  }

  mutating func tell(_ done: Int, _ total: Int) {
    let now = clock.monotonic
    guard !isQuiet, now - last >= (isTerminal ? .milliseconds(200) : .seconds(5)) else { return }
    last = now
    hasTold = true
    let percent = total == 0 ? 100 : done * 100 / total
    let text = "\(percent) %, \(ByteCount.readable(done)) of \(ByteCount.readable(total))"
    Console.error(isTerminal ? "\r\u{1b}[K\(text)" : "\(text)\n")
  }

  func end() {
    if hasTold, isTerminal { Console.error("\r\u{1b}[K") }
  }
}
