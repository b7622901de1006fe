// Everything that a cluster promises, checked while it runs.
import Membership
import Wire

/// A member's name through all its lives, and what only an all-knowing one knows of it.
final class Seat {
  let id: MemberID
  /// The most that any of its processes ever claimed for itself.
  var issued: Claim?
  /// What its last life left on the disk.
  var disk: Snapshot?
  /// The last process of this name.
  var process: Process?
  /// The lives that ended by a leave.
  var departed: Set<UInt64> = []
  var clock: LocalClock
  var metadata: Metadata
  var host: Int

  init(id: MemberID, clock: LocalClock, host: Int) {
    self.id = id
    self.clock = clock
    self.host = host
    metadata = Metadata()
  }
}

final class Promises {
  /// How much later than a deadline a timer counts as late (MEMBERSHIP.md: own stalls).
  static let stall: Int64 = 100_000_000
  static let datagramBytesMax = 1200
  static let frameBytesMax = 65_536
  /// 72 hours, by a clock that is off as far as clocks are here.
  private static let goneKept = 71 * 3600 * Settings.second
  /// A second, and a look's length.
  static let leaveMax: Int64 = 1_500_000_000

  let world: World
  let settings: Settings
  private(set) var seats: [Seat] = []
  private var places: [MemberID: Int] = [:]
  /// Every process there ever was.
  var lives: [Process] = []
  private(set) var news: [News] = []
  var counts = Counts()
  /// Nothing is lost and nobody pauses for more than 3 s: nobody who runs is held for dead.
  var isCalm: Bool

  init(_ world: World, _ settings: Settings) {
    self.world = world
    self.settings = settings
    isCalm = settings.isCalm
  }

  // MARK: Who there is

  func addSeat(_ seat: Seat) -> Int {
    places[seat.id] = seats.count
    seats.append(seat)
    return seats.count - 1
  }

  func place(of id: MemberID) -> Int? { places[id] }

  /// Another running process of the same id.
  func twin(of process: Process) -> Process? {
    lives.last { $0 !== process && $0.isRunning && $0.member == process.member }
  }

  // MARK: After each step of a process

  /// - Parameter events: What it told just now.
  func check(_ process: Process, _ events: [Event]) {
    checkOwn(process)
    for event in events { check(event, by: process) }
    guard world.violation == nil else { return }
    if process.swim.queuedRumours > settings.rumoursMax {
      world.violate("queues are bounded", "\(name(process)) queues \(process.swim.queuedRumours)")
    }
    if process.swim.openStreams > settings.streamsMax {
      world.violate("streams are bounded", "\(name(process)) has \(process.swim.openStreams)")
    }
    let hash = process.swim.viewHash
    if let known = process.observation?.hash, known == hash, process.saboteur?.hidesClaims != true {
      // Equal hashes, equal claims.
    } else if process.observation != nil {
      look(process, hash)
    }
    if !news.isEmpty { hear(process) }
  }

  func name(_ process: Process) -> String { "\(seats[process.member].id)#\(process.number)" }

  private func checkOwn(_ process: Process) {
    let seat = seats[process.member]
    let claim = process.swim.claim
    process.observation?.note(ownGeneration: claim.generation, at: world.now)
    if let issued = seat.issued, claim <= issued {
      return
    }
    seat.issued = claim
  }

  private func look(_ process: Process, _ hash: UInt64) {
    process.observation?.looked(hash)
    for member in process.swim.members {
      guard let place = places[member.id] else {
        world.violate("nobody is made up", "\(name(process)) holds \(member.id) \(member.claim)")
        return
      }
      let claim = process.saboteur?.claim(of: member.id) ?? member.claim
      if let before = process.observation?.take(claim, of: place) {
        world.violate(
          "claims only grow",
          "\(name(process)) held \(before) of \(member.id), now \(claim)")
      }
      guard let issued = seats[place].issued else {
        world.violate("nobody is made up", "\(name(process)) holds \(member.id), never started")
        return
      }
      let isIssued =
        member.claim.generation < issued.generation
        || member.claim.generation == issued.generation
          && member.claim.incarnation <= issued.incarnation
      if !isIssued {
        world.violate(
          "only its owner raises an incarnation",
          "\(name(process)) holds \(member.claim) of \(member.id), which issued \(issued)")
      }
    }
    lookForForgotten(process)
  }

  /// Records go only when they are old enough.
  private func lookForForgotten(_ process: Process) {
    guard let claims = process.observation?.claims else { return }
    guard claims.count(where: { $0 != nil }) > process.swim.memberCount else { return }
    for (place, claim) in claims.enumerated() {
      guard let claim, process.swim.member(seats[place].id) == nil else { continue }
      if claim.status.isPresent || world.now < Self.goneKept {
        world.violate(
          "the dead are kept", "\(name(process)) forgot \(claim) of \(seats[place].id)")
      }
      process.observation?.forget(place)
    }
  }

  // MARK: Events

  private func check(_ event: Event, by process: Process) {
    switch event {
    case .joined(let member), .refuted(let member), .left(let member), .updated(let member):
      follow(event, member, process)
    case .died(let member):
      follow(event, member, process)
      checkDeath(of: member, by: process)
    case .suspected(let member, let accuser):
      follow(event, member, process)
      counts.suspicions += 1
      if !process.isStressed, let accused = place(of: member.id).flatMap({ seats[$0].process }),
        accused.isRunning, !accused.isStressed
      {
        counts.suspicionsAmongHealthy += 1
      }
      let sinceThaw = world.now - process.thawedAt
      if accuser == seats[process.member].id, settings.hasFaults, process.thawedAt >= 0,
        sinceThaw < 1_000_000_000,
        // A rumour in its name may be another's: the same id a second time.
        process.swim.counters.accusations > process.accusationsBefore
      {
        world.violate(
          "who stalled accuses nobody for a period",
          "\(name(process)) accuses \(member.id), \(sinceThaw / 1_000_000) ms after its stall")
      }
    case .view(let view):
      counts.views += 1
      world.note(
        "\(name(process)) view \(String(view.id, radix: 16)) of \(view.members.count)")
      if let reason = process.observation?.publish(view, at: world.now) {
        world.violate("views are stable", "\(name(process)) published \(view.id): \(reason)")
      }
    case .superseded:
      counts.superseded += 1
      world.note("\(name(process)) superseded")
    }
  }

  private func follow(_ event: Event, _ member: Member, _ process: Process) {
    if process.observation != nil {
      world.note("\(name(process)) \(Self.verb(event)) \(member.id) \(member.claim)")
    }
    guard let place = places[member.id] else {
      return world.violate("nobody is made up", "\(name(process)) tells of \(member.id)")
    }
    if let reason = process.observation?.follow(
      event, of: place, member, at: world.now)
    {
      world.violate(
        "events follow on each other",
        "\(name(process)) \(Self.verb(event)) \(member.id) \(member.claim): \(reason)")
    }
  }

  static func verb(_ event: Event) -> String {
    switch event {
    case .joined: "joined"
    case .suspected(_, let accuser): "suspected by \(accuser?.text ?? "hearsay")"
    case .refuted: "refuted"
    case .died: "died"
    case .left: "left"
    case .updated: "updated"
    case .view: "view"
    case .superseded: "superseded"
    }
  }

  private func checkDeath(of member: Member, by process: Process) {
    guard let place = places[member.id] else { return }
    let seat = seats[place]
    // A life without state and with a slow clock begins below an earlier one, whose death is heard before it knows:
    // it comes back above it at once.
    if let held = process.swim.member(member.id)?.claim,
      held.generation > member.claim.generation
    {
      return
    }
    if seat.departed.contains(member.claim.generation) {
      counts.leavesSeenAsDeaths += 1
      if isCalm {
        world.violate(
          "a leave is not seen as a death", "\(name(process)) holds \(member.id) for dead")
      }
    }
    guard let accused = seat.process, accused.isRunning,
      accused.swim.claim.generation == member.claim.generation, accused.leavingAt == nil
    else { return counts.deaths += 1 }
    counts.falseDeaths += 1
    if !accused.isStressed { counts.falseDeathsOfHealthy += 1 }
    if !accused.isStressed && !process.isStressed { counts.falseDeathsAmongHealthy += 1 }
    if isCalm {
      world.violate(
        "without loss, pauses of 3 s kill nobody",
        "\(name(process)) holds \(name(accused)) for dead, which runs")
    }
  }

  // MARK: News

  /// From now on everyone in `processes` has until `limit` to know.
  func tell(
    _ kind: News.Kind, of member: Int, _ claim: Claim, to processes: [Process], limit: Int64
  ) {
    let id = seats[member].id
    news.removeAll {
      $0.member == member && $0.kind != kind || $0.isKnown(claim) && $0.member == member
    }
    let waiting = processes.filter { $0.isRunning && !$0.isFrozen && $0.member != member }
    guard !waiting.isEmpty else { return }
    news.append(
      News(
        kind: kind, member: member, id: id, claim: claim, since: world.now,
        deadline: world.now + limit, waiting: Set(waiting.map(\.number))))
  }

  private func hear(_ process: Process) {
    for index in news.indices.reversed() where news[index].waiting.contains(process.number) {
      guard news[index].isKnown(process.swim.member(news[index].id)?.claim) else { continue }
      if news[index].firstKnown == nil {
        news[index].firstKnown = world.now
        counts.firsts[news[index].kind.rawValue].add(world.now - news[index].since)
      }
      forget(process.number, index)
    }
  }

  private func forget(_ number: Int, _ index: Int) {
    news[index].waiting.remove(number)
    guard news[index].waiting.isEmpty else { return }
    let item = news.remove(at: index)
    guard item.firstKnown != nil else { return }
    counts.spans[item.kind.rawValue].add(world.now - item.since)
    world.note("all know: \(item.kind) \(item.id), \((world.now - item.since) / 1_000_000) ms")
  }

  /// Nobody expects anything of it now: it ended, or stands still.
  func excuse(_ process: Process) {
    for index in news.indices.reversed() { forget(process.number, index) }
  }

  /// The weather turned bad: nobody is held to the deadlines of calm.
  func dropNews() { news.removeAll() }

  func checkDeadlines() {
    for item in news where isCalm && world.now > item.deadline {
      world.violate(
        "news are known in time",
        "\(item.waiting.count) do not know after \((world.now - item.since) / 1_000_000) ms: "
          + "\(item.kind) \(item.id) \(item.claim); one is process \(item.waiting.min() ?? -1)")
    }
  }

  // MARK: Views that come too late

  func checkViews(of processes: [Process]) {
    for process in processes where process.isRunning && !process.isFrozen {
      // One that is slower than the least lateness that counts as a stall stands still again and again.
      guard process.observation != nil, process.lag < Self.stall / 4 else { continue }
      if process.observation?.compare(presentView(of: process), at: world.now) == true {
        world.violate(
          "views come within the hold",
          "\(name(process)) has published none for 11 s, after "
            + "\(process.swim.counters.stalls) stalls")
      }
    }
  }

  /// What it would publish if nothing held it up.
  private func presentView(of process: Process) -> View {
    View(
      members: process.swim.members.filter(\.status.isPresent)
        .map { (id: $0.id, generation: $0.claim.generation) })
  }
}

extension Promises {
  /// The life that the record tells of runs; or a later one of the same id, if it stands at another address.
  func isRunning(_ member: Member) -> Bool {
    guard let place = place(of: member.id), let process = seats[place].process else { return false }
    return process.isRunning && process.swim.claim.generation == member.claim.generation
  }

  /// The core asked for its own end.
  func stopped(_ process: Process, _ reason: StopReason) {
    world.note("\(name(process)) stops: \(reason)")
    let isAsked = process.leavingAt != nil
    if reason == .left && !isAsked {
      world.violate("who leaves was told to", name(process))
    }
    if reason == .superseded && isCalm {
      world.violate("nobody is superseded by nobody", name(process))
    }
  }

  /// Nobody expects anything of it; another process of its id stands for the id now.
  func ended(_ process: Process) {
    excuse(process)
    let seat = seats[process.member]
    if seat.process === process, let other = twin(of: process) { seat.process = other }
  }

  func checkLeavers(of processes: [Process]) {
    for process in processes where process.isRunning && !process.isFrozen {
      guard let since = process.leavingAt, isCalm else { continue }
      if world.now - since > Self.leaveMax {
        world.violate("a leave is over within a second", name(process))
      }
    }
  }
}
