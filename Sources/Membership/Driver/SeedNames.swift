// Names among the places to join: looked up at start, and again as long as nobody is found there.
import Logging
import NIOCore

/// Lives on its event loop; the looking up is done elsewhere.
final class SeedNames {
  /// The first pause between two look-ups, doubling up to the last. A cluster that is just being set up has its names
  /// within seconds; one whose name server is down is not helped by more questions.
  private static let pauseFirst = TimeAmount.seconds(1)
  private static let pauseLast = TimeAmount.seconds(30)

  private let targets: [JoinTarget]
  private let loop: any EventLoop
  private let logger: Logger
  private let isFound: ([Endpoint]) -> Bool
  private let found: ([Endpoint]) -> Void
  private var pause = SeedNames.pauseFirst
  /// What was last said of each, so that the log says it once.
  private var known: [JoinTarget: [Endpoint]] = [:]
  private var isStopped = false

  init(
    _ targets: [JoinTarget], on loop: any EventLoop, logger: Logger,
    isFound: @escaping ([Endpoint]) -> Bool, found: @escaping ([Endpoint]) -> Void
  ) {
    self.targets = targets
    self.loop = loop
    self.logger = logger
    self.isFound = isFound
    self.found = found
  }

  func stop() { isStopped = true }

  /// Looks the names up that lead to nobody yet, and goes on doing so.
  func look() {
    guard !isStopped, !targets.isEmpty else { return }
    let open = targets.filter { !isFound(known[$0] ?? []) }
    guard !open.isEmpty else {
      again(after: Self.pauseLast)
      return
    }
    let loop = loop
    let names = NIOLoopBound(self, eventLoop: loop)
    BackgroundThread.run {
      let answers = open.map { ($0, NameLookup.endpoints(of: $0)) }
      loop.execute { names.value.heard(answers) }
    }
  }

  private func heard(_ answers: [(JoinTarget, [Endpoint])]) {
    guard !isStopped else { return }
    for (target, endpoints) in answers where known[target] != endpoints {
      known[target] = endpoints
      if endpoints.isEmpty {
        logger.warning(
          "the name is not known; it is looked up again until somebody is found there",
          metadata: ["join": "\(target)"])
      } else {
        logger.info(
          "looked up",
          metadata: ["join": "\(target)", "addresses": "\(endpoints.map(\.description))"])
        found(endpoints)
      }
    }
    again(after: pause)
    pause = min(.nanoseconds(2 * pause.nanoseconds), Self.pauseLast)
  }

  private func again(after pause: TimeAmount) {
    loop.assumeIsolated().scheduleTask(in: pause) { [weak self] in self?.look() }
  }
}
