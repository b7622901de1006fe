// `millrace member`: one member of a cluster, in the foreground; what happens comes as lines of JSON.
import ArgumentParser
import Glibc
import Logging
import Membership
import NIOCore
import Wire

struct MemberCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "member",
    abstract: "Be one member of a cluster and tell, a JSON object a line, who else is.",
    discussion: """
      Members find each other, and notice within seconds who is gone, without a coordinator: SWIM \
      with Lifeguard. Each line on standard output is an event:

        {"event":"joined","member":"n2","at":"2026-01-01T00:00:00.000Z",…}
        {"event":"view","at":"…","id":"0123456789abcdef","members":["n1","n2"]}

      joined, suspected (with "by"), refuted, died, left and updated are about one member; view \
      tells who all are, the same everywhere, once nobody is suspect. superseded: another process \
      has this member's name; this one ends. A restart is a new joined, of a higher generation.

      Whoever can send to it can change what it believes, unless there is a key:

        millrace member keys generate --key-file k
        millrace member --id n1 --key-file k
        millrace member --id n2 --key-file k --bind 127.0.0.1:0 --join 127.0.0.1:8421

      Signals: TERM and INT leave, so that nobody takes it for a death (a second one ends at \
      once); HUP reads the key file and the metadata file again. If nobody reads standard output \
      any more it leaves, too.

      Exit codes: 0 it left; 1 it could not start; 3 superseded; 64 the flags are wrong; \
      130 ended by a second signal.
      """,
    subcommands: [MemberKeys.self])

  @OptionGroup var options: MemberOptions
  @OptionGroup var keys: MemberKeyOptions

  func run() throws {
    let settings: MemberSettings
    let metadata: Metadata
    do throws(FlagFault) {
      settings = try MemberSettings(options, http: keys.http)
      metadata = try MemberSettings.metadata(settings.metadata, file: options.metadataFile)
    } catch {
      Console.error("millrace: \(error)\n")
      throw ExitCode(EX_USAGE)
    }
    var start: MemberStart
    do throws(StartFailure) {
      start = try MemberStart(settings, options, keyFile: keys.keyFile)
    } catch {
      Console.error("millrace: \(error)\n")
      throw ExitCode(EXIT_FAILURE)
    }
    start.setup.metadata = metadata
    MemberProcess.run(start)
  }
}
