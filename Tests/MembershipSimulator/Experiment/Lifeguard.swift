// Lifeguard's experiment: members that stand still again and again, and what the healthy ones think of each other then.
import Membership
import Simulator
import Wire

/// Of the mechanisms, those that are on; each line of the table is one.
public enum Arm: String, CaseIterable, Sendable {
  case all
  case none
  /// What the paper describes and no more.
  case lifeguard
  case withoutLocalHealth
  case withoutDecay
  case withoutBuddy
  case withoutNacks
  case withoutStallShift
  case withoutTCPPing
  case withoutLifelines
  case withoutEvidence
  case withoutWatch
  case noneTimersFirst
  case lifeguardTimersFirst
  case allTimersFirst

  var mechanisms: Mechanisms {
    switch self {
    case .all, .allTimersFirst: .all
    case .none, .noneTimersFirst: [.antiEntropy]
    case .lifeguard, .lifeguardTimersFirst:
      [.antiEntropy, .localHealth, .decayingSuspicion, .buddy, .nacks, .tcpPing]
    case .withoutLocalHealth: .all.subtracting(.localHealth)
    case .withoutDecay: .all.subtracting(.decayingSuspicion)
    case .withoutBuddy: .all.subtracting(.buddy)
    case .withoutNacks: .all.subtracting(.nacks)
    case .withoutStallShift: .all.subtracting(.stallShift)
    case .withoutTCPPing: .all.subtracting(.tcpPing)
    case .withoutLifelines: .all.subtracting(.lifelines)
    case .withoutEvidence: .all.subtracting(.evidence)
    case .withoutWatch: .all.subtracting(.watch)
    }
  }

  var readsFirst: Bool {
    switch self {
    case .noneTimersFirst, .lifeguardTimersFirst, .allTimersFirst: false
    default: true
    }
  }

  var label: String {
    switch self {
    case .all: "everything"
    case .none: "plain SWIM"
    case .lifeguard: "SWIM with Lifeguard's three and the TCP ping"
    case .withoutLocalHealth: "everything but local health"
    case .withoutDecay: "everything but decaying suspicion"
    case .withoutBuddy: "everything but the buddy system"
    case .withoutNacks: "everything but nacks"
    case .withoutStallShift: "everything but the shift after a stall"
    case .withoutTCPPing: "everything but the TCP ping"
    case .withoutLifelines: "everything but lifelines"
    case .withoutEvidence: "everything but evidence"
    case .withoutWatch: "everything but the watch of neighbours"
    case .noneTimersFirst: "plain SWIM, timers before sockets"
    case .lifeguardTimersFirst: "with Lifeguard's three, timers before sockets"
    case .allTimersFirst: "everything, timers before sockets"
    }
  }
}

/// How many stand still again and again, and how long each time.
struct Stress: Hashable, Sendable {
  var members: Int
  var milliseconds: Int
}

/// What came of one or several runs.
struct Finding: Sendable {
  /// Suspicions and deaths told by healthy members of healthy members.
  var suspicions = 0
  var falseAmongHealthy = 0
  /// Deaths of healthy members told by anyone, and of anyone who ran.
  var falseOfHealthy = 0
  var falseOfAnyone = 0
  /// A machine goes silent; a process is killed: until the first, until every healthy member knew.
  var silencedFirst = Spans()
  var silencedAll = Spans()
  var killedFirst = Spans()
  var killedAll = Spans()
  var bytes = 0
  var memberSeconds = 0

  static func += (sum: inout Finding, other: Finding) {
    sum.suspicions += other.suspicions
    sum.falseAmongHealthy += other.falseAmongHealthy
    sum.falseOfHealthy += other.falseOfHealthy
    sum.falseOfAnyone += other.falseOfAnyone
    sum.silencedFirst += other.silencedFirst
    sum.silencedAll += other.silencedAll
    sum.killedFirst += other.killedFirst
    sum.killedAll += other.killedAll
    sum.bytes += other.bytes
    sum.memberSeconds += other.memberSeconds
  }
}

/// The matrix of the paper (Dadgar, Phillips, Currey, DSN 2018, §V): stressed members × length of their anomalies.
public struct Lifeguard {
  public var members = 64
  /// Virtual, of each run.
  public var seconds = 90
  public var seeds = 1
  var stressed = [1, 4, 16]
  var lengths = [250, 1000, 4000, 16_000]
  /// How long a stressed member runs between two anomalies: 1, 2, 4… 1,024 ms. After the shortest it stands still
  /// again before the answer to what it just asked is there.
  private let awakeDoublings = 11

  public init() {}

  /// - Parameter said: Called with a line after each arm.
  public func run(_ said: (String) -> Void) -> LifeguardResult {
    var result = LifeguardResult(self)
    for arm in Arm.allCases {
      for members in stressed {
        for length in lengths {
          let stress = Stress(members: members, milliseconds: length)
          for seed in 1...seeds { result.add(run(arm, stress, seed: UInt64(seed)), arm, stress) }
        }
      }
      said(result.line(arm))
    }
    return result
  }

  private func run(_ arm: Arm, _ stress: Stress, seed: UInt64) -> Finding {
    var settings = Settings(
      members: members, seatsMax: members, isCalm: false, isSealed: false, span: 0, faultEvery: 0,
      startSpan: 0, isWarm: true, watched: 0, healingMax: 0)
    settings.hasFaults = false
    settings.readsFirst = arm.readsFirst
    settings.swim.mechanisms = arm.mechanisms
    let simulation = MemberSimulation(seed: seed, settings, trace: Trace())
    simulation.story.begin()
    let cluster = simulation.cluster
    var random = Random(seed: seed ^ 0x7374_7265_7373)
    simulation.advance(by: 10 * Settings.second)
    var processes = cluster.running
    processes.shuffle(using: &random)
    for process in processes.prefix(stress.members) {
      process.isStressed = true
      beset(process, stress, in: simulation, &random)
    }
    let healthy = Array(processes.dropFirst(stress.members))
    let span = Int64(seconds) * Settings.second
    // A third of the way the machine of one goes silent, at two thirds another's process is killed.
    for (victim, isSilent) in zip(healthy.prefix(2), [true, false]) {
      simulation.advance(by: span / 3)
      simulation.story.end(victim, isPowerLoss: isSilent, among: healthy)
    }
    simulation.advance(by: span - 2 * (span / 3))
    return finding(of: simulation.outcome().counts)
  }

  /// Puts down all the times at which it will stand still.
  private func beset(
    _ process: Process, _ stress: Stress, in simulation: MemberSimulation, _ random: inout Random
  ) {
    let length = Int64(stress.milliseconds) * 1_000_000
    let end = Int64(seconds) * Settings.second
    var at = Int64(random.below(stress.milliseconds)) * 1_000_000
    while at < end {
      simulation.world.add(.freeze(process, length), after: at)
      at += length + Int64(1 << random.below(awakeDoublings)) * 1_000_000
    }
  }

  private func finding(of counts: Counts) -> Finding {
    var finding = Finding()
    finding.suspicions = counts.suspicionsAmongHealthy
    finding.falseAmongHealthy = counts.falseDeathsAmongHealthy
    finding.falseOfHealthy = counts.falseDeathsOfHealthy
    finding.falseOfAnyone = counts.falseDeaths
    finding.silencedFirst = counts.firsts[News.Kind.silenced.rawValue]
    finding.silencedAll = counts.spans[News.Kind.silenced.rawValue]
    finding.killedFirst = counts.firsts[News.Kind.killed.rawValue]
    finding.killedAll = counts.spans[News.Kind.killed.rawValue]
    finding.bytes = counts.bytes
    finding.memberSeconds = members * (seconds + 10)
    return finding
  }
}
