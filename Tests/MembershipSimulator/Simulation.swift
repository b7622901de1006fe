// A whole simulation from one seed: a cluster lives through its story, then has to come to rest.
import Membership
import Simulator
import Wire

public final class MemberSimulation {
  /// How often everyone is compared with everyone.
  private static let lookEvery: Int64 = 250_000_000
  /// After all views are equal: nothing happens any more.
  private static let restSpan: Int64 = 15 * Settings.second
  /// How long the dead are kept.
  private static let gone: Int64 = 72 * 3600 * Settings.second
  /// MEMBERSHIP.md: for the membership alone.
  private static let idleBytesMax = 300

  private let seed: UInt64
  let settings: Settings
  let world: World
  let promises: Promises
  let cluster: Cluster
  let story: Story

  /// - Parameters:
  ///   - members: As many as the seed draws if nil.
  ///   - bug: Put in on purpose, to see whether it is found.
  public convenience init(seed: UInt64, members: Int? = nil, trace: Trace, bug: PlantedBug? = nil) {
    var random = Random(seed: seed)
    var settings = members.map { Settings.large($0, &random) } ?? Settings.draw(&random)
    if let bug {
      settings.isCalm = bug.isCalm ?? settings.isCalm
      settings.isSealed = bug.isSealed ?? settings.isSealed
      if bug == .neverSynced { settings.swim.mechanisms.remove(.antiEntropy) }
    }
    settings.bug = bug
    self.init(seed: seed, settings, trace: trace)
  }

  public init(seed: UInt64, _ settings: Settings, trace: Trace) {
    self.seed = seed
    self.settings = settings
    world = World(trace: trace)
    promises = Promises(world, settings)
    var random = Random(seed: seed ^ 0x6d65_6d62_6572)
    cluster = Cluster(world, promises, seed: random.next(), bug: settings.bug)
    story = Story(cluster, settings, seed: random.next())
  }

  public func run() -> Outcome {
    world.note("seed \(seed), \(settings.isCalm ? "calm" : "stormy"), \(settings.members) members")
    story.begin()
    advance(by: settings.span)
    story.end()
    settle()
    return outcome()
  }

  /// Three days: of five one dies and one leaves, and the others stand still until shortly before both are forgotten,
  /// so that the days pass in no time.
  public static func runForgetting(seed: UInt64, trace: Trace) -> Outcome {
    var settings = Settings(
      members: 5, seatsMax: 5, isCalm: true, isSealed: false, span: 0, faultEvery: 0, startSpan: 0,
      isWarm: false, watched: .max, healingMax: 600 * Settings.second)
    settings.hasFaults = false
    let simulation = MemberSimulation(seed: seed, settings, trace: trace)
    simulation.forget()
    return simulation.outcome()
  }

  private func forget() {
    story.begin()
    advance(by: 20 * Settings.second)
    let running = cluster.running
    guard running.count == settings.members else {
      return world.violate("all members start", "\(running.count) run")
    }
    story.end(running[4], isPowerLoss: false, among: running)
    story.leave(running[3])
    advance(by: 20 * Settings.second)
    // Longer than 3 s, and nobody is there to see it.
    promises.isCalm = false
    let remaining = cluster.running
    for process in remaining { cluster.freeze(process, for: Self.gone - 60 * Settings.second) }
    advance(by: Self.gone)
    let deadline = world.now + settings.healingMax
    while world.violation == nil && world.now < deadline {
      advance(by: 10 * Settings.second)
    }
    for process in remaining where process.swim.memberCount != remaining.count {
      world.violate(
        "the dead are forgotten",
        "\(promises.name(process)) has \(process.swim.memberCount) records of \(remaining.count)")
    }
    if !areEqual { world.violate("views become equal after the last fault", disagreement) }
  }

  func outcome() -> Outcome {
    promises.counts.traffic(of: cluster.processes)
    return Outcome(
      seed: seed, members: settings.members, bug: settings.bug, violation: world.violation,
      seconds: Double(world.now / 1_000_000) / 1000, traceHash: world.trace.hash,
      traceLines: world.trace.lineCount, lastLines: world.trace.lastLines, counts: promises.counts)
  }

  /// - Parameter isOver: Looked at every quarter of a second.
  func advance(by span: Int64, until isOver: () -> Bool = { false }) {
    let end = world.now + span
    while world.now < end && world.violation == nil && !isOver() {
      let look = min(end, world.now + Self.lookEvery)
      while world.violation == nil, let happening = world.next(until: look) {
        switch happening {
        case .boot(let member): story.boot(member)
        case .story: story.turn()
        default: cluster.handle(happening)
        }
      }
      promises.checkDeadlines()
      promises.checkLeavers(of: cluster.processes)
      promises.checkViews(of: cluster.processes)
    }
  }

  // MARK: Coming to rest

  private func settle() {
    let began = world.now
    advance(by: settings.healingMax) { self.areEqual && self.promises.news.isEmpty }
    guard world.violation == nil else { return }
    guard areEqual else {
      return world.violate("views become equal after the last fault", disagreement)
    }
    promises.counts.healing.add(world.now - began)
    world.note("all equal after \((world.now - began) / 1_000_000) ms")
    advance(by: Self.restSpan)
    guard world.violation == nil else { return }
    checkRest()
  }

  /// Everyone holds the same records, and for present whoever runs.
  private var areEqual: Bool {
    let running = cluster.running
    guard let first = running.first else { return true }
    let hash = first.swim.viewHash
    guard running.allSatisfy({ $0.swim.viewHash == hash && !$0.isFrozen }) else { return false }
    var present = 0
    for member in first.swim.members where member.status.isPresent {
      guard member.status == .alive, promises.isRunning(member) else { return false }
      present += 1
    }
    return present == running.count
  }

  private var disagreement: String {
    let running = cluster.running
    guard let first = running.first else { return "nobody runs" }
    var parts: [String] = []
    for member in first.swim.members.sorted(by: { $0.id < $1.id }) {
      let held = running.map { $0.swim.member(member.id)?.claim.description ?? "nothing" }
      if Set(held).count > 1 || member.status.isPresent != promises.isRunning(member) {
        parts.append("\(member.id): " + held.prefix(8).joined(separator: ", "))
      }
    }
    return "\(running.count) run (\(running.prefix(8).map { promises.name($0) })); "
      + parts.prefix(6).joined(separator: "; ")
  }

  private func checkRest() {
    guard areEqual else {
      return world.violate("views stay equal without faults", disagreement)
    }
    let running = cluster.running
    for process in running {
      for other in running
      where other !== process && other.member == process.member {
        world.violate(
          "of one id one stays", "\(promises.name(process)) and \(promises.name(other)) run")
      }
      guard let view = process.swim.view, view.members.count == running.count else {
        world.violate(
          "views say who runs",
          "\(promises.name(process)) says \(process.swim.view?.members.count ?? 0), "
            + "\(running.count) run")
        return
      }
      if view.id != running[0].swim.view?.id {
        world.violate("views become equal after the last fault", "by their ids")
      }
    }
    checkIdleCost(running)
  }

  private func checkIdleCost(_ running: [Process]) {
    let before = running.reduce(0) { $0 + $1.traffic.bytes }
    let began = world.now
    advance(by: 10 * Settings.second)
    let bytes = running.reduce(0) { $0 + $1.traffic.bytes } - before
    let seconds = Int((world.now - began) / Settings.second)
    guard seconds > 0, !running.isEmpty else { return }
    let each = bytes / seconds / running.count
    promises.counts.idleBytes = max(promises.counts.idleBytes, each)
    if each > Self.idleBytesMax {
      world.violate("idle, a member sends at most \(Self.idleBytesMax) bytes a second", "\(each)")
    }
  }
}
