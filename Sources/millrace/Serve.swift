// `millrace serve`: settings, then the server, then signals until it is over.
import ArgumentParser
import Engine
import Glibc
import Logging
import Wire

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve streams over HTTP.",
    discussion: """
      Every setting is a flag, a MILLRACE_ variable and a line of the --config file; \
      a flag wins over the variable, that over the file, that over the default.
      """)

  @OptionGroup var options: ServeOptions

  func run() async throws {
    let environment = Environment.all
    let configuration = try settings(environment)
    if options.printConfig {
      Console.output(configuration.fileText)
      return
    }
    let wishes = Signals.wishes()
    let logger = makeLogger(configuration)
    for name in SettingLayer.unknownVariables(environment) {
      logger.warning("\(name) is set, but is no setting")
    }
    let server: Server
    do throws(StartFailure) {
      server = try await Server(configuration, logger: logger)
    } catch {
      Console.error("millrace: \(error)\n")
      throw ExitCode(EXIT_FAILURE)
    }
    let manager = ServiceManager(environment: environment)
    manager.tellReady()
    greet(configuration, server, logger)
    for await wish in wishes {
      guard wish == .stop else {
        server.reload()
        continue
      }
      manager.tellStopping()
      logger.notice("stopping: finishing what is in flight")
      await server.stop()
      logger.notice("stopped")
      return
    }
  }

  /// The settings that hold, or every fault in them and the exit code of a bad configuration.
  private func settings(_ environment: [String: String]) throws(ExitCode) -> Configuration {
    do throws(SettingFaults) {
      var layers = [
        SettingLayer.flags(options.given), SettingLayer.environment(environment),
      ]
      if let path = options.config ?? environment["MILLRACE_CONFIG"] {
        layers.append(try SettingLayer.file(at: path))
      }
      return try Configuration(layers: layers)
    } catch {
      for fault in error.faults { Console.error("millrace: \(fault)\n") }
      throw ExitCode(EX_CONFIG)
    }
  }

  private func makeLogger(_ configuration: Configuration) -> Logger {
    Logger(label: "millrace") { label in
      LineLogHandler(
        format: configuration.logFormat, clock: SystemTime(), label: label,
        logLevel: configuration.logLevel)
    }
  }

  /// A person gets a few lines and a first command to try; a machine one event.
  private func greet(_ configuration: Configuration, _ server: Server, _ logger: Logger) {
    let url = server.url
    logger.notice(
      "listening",
      metadata: ["url": "\(url)", "data": "\(configuration.data)", "version": "\(Version.number)"])
    guard configuration.logFormat == .human, configuration.logLevel <= .notice else { return }
    let clientFlags = configuration.tlsCert == nil ? "" : " --cacert YOUR-CA.pem"
    Console.error(
      """

        \(Version.text) keeps its data in \(configuration.data) and listens on \(url)

        Try it:    curl\(clientFlags) -X PUT \(url)/v1/streams/hello
                   curl\(clientFlags) \(url)/v1/streams/hello/records --json '{"say":"hi"}'
                   curl\(clientFlags) -N '\(url)/v1/streams/hello/records?live=sse'
        Browser:   \(url)/console/tail.html?stream=hello
        Ctrl-C stops it.


      """)
  }
}
