// Picks the load program: `load NAME --option value …` prints one line of JSON with what was measured.

@main
enum Main {
  static func main() {
    let arguments = CommandLine.arguments
    let programs: [String: (Options) -> Report] = [
      "append-http1": AppendHTTP1.run,
      "append-redis": AppendRedis.run,
      "catch-up": CatchUp.run,
      "consume-sse": ConsumeSSE.run,
      "fsync-latency": SyncLatency.run,
      "jetstream-append": JetStreamAppend.run,
      "jetstream-pull": JetStreamPull.run,
      "pull-http1": PullHTTP1.run,
      "sse-fanout": Fanout.run,
      "webhook-latency": WebhookLatency.run,
    ]
    guard arguments.count > 1, let program = programs[arguments[1]] else {
      fail("usage: load \(programs.keys.sorted().joined(separator: "|")) --option value …")
    }
    let options = Options(Array(arguments.dropFirst(2)))
    let report = program(options)
    options.refuseUnused()
    print(report.line)
  }
}
