// What befalls the cluster: crashes, restarts, pauses, cuts, bad weather, and an operator who changes things meanwhile.
import Membership
import NIOCore
import Wire

final class Story {
  let cluster: Cluster
  let world: World
  let promises: Promises
  let settings: Settings
  var random: Random
  /// The same addresses for ever, so that who starts finds somebody.
  private let seeds = 3
  var rotation: Rotation?
  private(set) var faults = 0
  /// When each process paused last.
  private var pausedAt: [Int: Int64] = [:]
  private var isOver = false

  init(_ cluster: Cluster, _ settings: Settings, seed: UInt64) {
    self.cluster = cluster
    self.settings = settings
    world = cluster.world
    promises = cluster.promises
    random = Random(seed: seed)
    if settings.isSealed { rotation = Rotation(&random) }
  }

  // MARK: Beginning and end

  func begin() {
    for _ in 0..<settings.members { addSeat() }
    if settings.isWarm { return beginWarm() }
    for member in promises.seats.indices {
      let delay = settings.startSpan > 0 ? Int64(random.below(Int(settings.startSpan))) : 0
      world.add(.boot(member), after: delay)
    }
    guard settings.hasFaults else { return }
    world.add(.story, after: settings.startSpan + Int64(random.below(Int(Settings.second))))
  }

  private func addSeat() {
    let number = promises.seats.count
    guard let id = MemberID("n\(number)") else { preconditionFailure("n\(number) is no name") }
    _ = promises.addSeat(
      Seat(id: id, clock: LocalClock.draw(&random), host: cluster.addHost()))
  }

  private func beginWarm() {
    for member in promises.seats.indices { boot(member) }
    let rumours = cluster.processes.compactMap { process in
      process.swim.member(promises.seats[process.member].id)?.rumour(at: Instant(nanoseconds: 0))
    }
    for process in cluster.processes {
      process.swim.adopt(rumours, at: process.clock.instant(at: world.now))
      guard process.observation != nil else { continue }
      for (member, rumour) in rumours.enumerated() where member != process.member {
        process.observation?.know(rumour.claim, of: member)
      }
    }
    if settings.hasFaults { world.add(.story, after: 2 * Settings.second) }
  }

  /// Every fault ends: from now on things get better.
  func end() {
    isOver = true
    world.note("the faults are over")
    cluster.weather = Weather()
    cluster.cuts.heal()
    for process in cluster.running {
      process.lag = 0
      if process.isFrozen { world.add(.thaw(process), after: 0) }
    }
    for member in 0..<min(seeds, promises.seats.count) where !isRunning(member) { boot(member) }
  }

  private func isRunning(_ member: Int) -> Bool {
    promises.seats[member].process?.isRunning == true
  }

  // MARK: Starting

  func boot(_ member: Int) {
    let seat = promises.seats[member]
    guard !isRunning(member), cluster.hosts[seat.host].process == nil else { return }
    var peers = (0..<min(seeds, promises.seats.count)).filter { $0 != member }
      .map { cluster.hosts[promises.seats[$0].host].endpoint }
    if settings.isWarm && world.now == 0 { peers = [] }
    for peer in seat.disk?.peers ?? [] where !peers.contains(peer.endpoint) {
      peers.append(peer.endpoint)
    }
    let generation = max(
      (seat.disk?.generation ?? 0) + 1, seat.clock.wallMilliseconds(at: world.now))
    let profile = Profile(endpoint: cluster.hosts[seat.host].endpoint, metadata: seat.metadata)
    let keyring = rotation?.keyring(for: member)
    // As the driver does before it makes a core.
    seat.disk = Snapshot(generation: generation, peers: seat.disk?.peers ?? [], keys: [])
    cluster.keysEver = rotation?.all
    let (seed, session) = (random.next(), random.next())
    let issuedBefore = seat.issued
    let process = cluster.start(member, seat, watched: member < settings.watched) { now, actions in
      Swim(
        settings.swim, id: seat.id, profile: profile, generation: generation, keyring: keyring,
        label: Rewriter.label, peers: peers, seed: seed, session: session, at: now, into: &actions)
    }
    promises.counts.starts += 1
    guard promises.isCalm, world.now > 0, issuedBefore.map({ process.swim.claim > $0 }) ?? true
    else { return }
    let others = cluster.running.filter { knowsOthers($0) }
    promises.tell(
      .joined, of: member, process.swim.claim, to: others, limit: 12 * Settings.second)
  }

  /// Young ones may still be looking for the others.
  private func knowsOthers(_ process: Process) -> Bool {
    world.now - process.bornAt > 12 * Settings.second
      && (process.swim.view?.members.count ?? 0) > 1
  }

  private func restart() {
    let candidates = promises.seats.indices.filter { !isRunning($0) }
    guard let member = pick(candidates) else { return join() }
    let seat = promises.seats[member]
    switch random.below(6) {
    case 0:
      world.note("\(seat.id) loses its state")
      seat.disk = nil
    case 1:
      world.note("\(seat.id) loses its state, its clock is an hour back")
      seat.disk = nil
      seat.clock.wallAhead -= 3_600_000
    case 2: seat.clock.wallAhead += Int64(random.below(7_200_000)) - 3_600_000
    case 3 where member >= seeds:
      seat.host = cluster.addHost()
      world.note("\(seat.id) moves to \(cluster.hosts[seat.host].endpoint)")
    default: break
    }
    boot(member)
  }

  private func join() {
    guard promises.seats.count < settings.seatsMax else { return }
    addSeat()
    boot(promises.seats.count - 1)
  }

  // MARK: One fault after the other

  func turn() {
    guard !isOver else { return }
    world.add(.story, after: Int64(random.below(Int(settings.faultEvery))))
    faults += 1
    // Every fault is a chance for what was promised of those before.
    switch random.below(settings.isCalm ? 100 : 160) {
    case ..<10: crash(isPowerLoss: false)
    case ..<16: crash(isPowerLoss: true)
    case ..<34: restart()
    case ..<39: leave()
    case ..<44: join()
    case ..<55: changeMetadata()
    case ..<69: pause()
    case ..<73: slowDown()
    case ..<78: doubt()
    case ..<88: attack()
    case ..<92: changeWeather()
    case ..<100: rotate()
    case ..<112: divide()
    case ..<126: cluster.cuts.heal()
    case ..<134: cutPath()
    case ..<140: changeWeather()
    case ..<148: pause()
    case ..<152: duplicate()
    default: replay()
    }
  }

  func pick<Element>(_ elements: [Element]) -> Element? {
    elements.isEmpty ? nil : elements[random.below(elements.count)]
  }

  /// Who runs and reads what comes.
  var awake: [Process] { cluster.running.filter { !$0.isFrozen && $0.leavingAt == nil } }

  private func crash(isPowerLoss: Bool) {
    guard cluster.running.count > max(2, settings.members / 2), let victim = pick(awake) else {
      return
    }
    end(victim, isPowerLoss: isPowerLoss)
  }

  private func end(_ victim: Process, isPowerLoss: Bool) {
    end(victim, isPowerLoss: isPowerLoss, among: promises.isCalm ? cluster.running : [])
  }

  /// Ends a process without a word, and expects those of `processes` that know it to hear of it before long.
  func end(_ victim: Process, isPowerLoss: Bool, among processes: [Process]) {
    let claim = victim.swim.claim
    cluster.end(victim, isPowerLoss: isPowerLoss)
    promises.counts.crashes += 1
    let id = promises.seats[victim.member].id
    let others = processes.filter {
      $0.isRunning && $0.swim.member(id)?.claim.generation == claim.generation
    }
    promises.tell(
      isPowerLoss ? .silenced : .killed, of: victim.member, claim.with(.dead), to: others,
      limit: settings.crashKnownMax(among: promises.seats.count))
  }

  private func leave() {
    guard cluster.running.count > 2, let process = pick(awake), process.member >= seeds else {
      return
    }
    leave(process)
  }

  func leave(_ process: Process) {
    let seat = promises.seats[process.member]
    world.note("\(promises.name(process)) is told to leave")
    process.leavingAt = world.now
    let claim = process.swim.claim
    seat.departed.insert(claim.generation)
    let others = cluster.running.filter {
      $0.swim.member(seat.id)?.claim.generation == claim.generation
    }
    if promises.isCalm {
      promises.tell(
        .left, of: process.member, claim.with(.left), to: others, limit: 4 * Settings.second)
    }
    promises.counts.leaves += 1
    cluster.perform(.leave, process)
  }

  private func changeMetadata() {
    guard let process = pick(awake) else { return }
    let seat = promises.seats[process.member]
    guard
      let metadata = try? Metadata(pairs: [
        ("load", "\(random.below(100))"), ("zone", "\(faults)"),
      ])
    else { preconditionFailure("that is no metadata") }
    seat.metadata = metadata
    let id = seat.id
    let before = process.swim.claim
    cluster.perform(.setMetadata(metadata), process)
    guard promises.isCalm, process.swim.claim > before else { return }
    let others = cluster.running.filter {
      $0.swim.member(id)?.claim.generation == before.generation
    }
    promises.tell(
      .updated, of: process.member, process.swim.claim, to: others, limit: 4 * Settings.second)
  }

  private func pause() {
    let frozen = cluster.running.count { $0.isFrozen }
    guard frozen < max(1, cluster.running.count / 4), let process = pick(awake) else { return }
    // A pause just after a pause is a longer one.
    if promises.isCalm, let last = pausedAt[process.number], world.now - last < 8 * Settings.second
    {
      return
    }
    pausedAt[process.number] = world.now
    let longest = settings.isCalm ? 3_000 : random.oneIn(2) ? 5_000 : 25_000
    let span = Int64(random.oneIn(3) ? longest : 50 + random.below(longest - 50)) * 1_000_000
    world.note("\(promises.name(process)) stands still for \(span / 1_000_000) ms")
    process.isStressed = true
    cluster.freeze(process, for: span)
  }

  private func slowDown() {
    guard let process = pick(awake) else { return }
    let longest = settings.isCalm ? 5_000_000 : 200_000_000
    process.lag = process.lag > 0 ? 0 : Int64(1 + random.below(longest))
    if !settings.isCalm { process.isStressed = true }
    world.note("\(promises.name(process)) lags by \(process.lag / 1000) µs")
  }

  private func doubt() {
    guard let process = pick(awake), let other = pick(promises.seats) else { return }
    cluster.hint(.connectionFailed, about: other.id, process)
  }

  private func changeWeather() {
    cluster.weather =
      settings.isCalm
      ? .drawCalm(&random) : random.oneIn(2) ? .drawCalm(&random) : .drawStorm(&random)
    world.note("weather: \(cluster.weather)")
  }

  private func divide() {
    let count = 2 + random.below(2)
    let reach: Cuts.Reach = random.oneIn(4) ? .datagrams : .everything
    world.note("divided into \(count): \(reach)")
    cluster.cuts.divide(Array(cluster.hosts.indices), into: count, reach, &random)
  }

  private func cutPath() {
    guard let from = pick(awake), let to = pick(awake), from !== to else { return }
    switch random.below(4) {
    case 0: cluster.cuts.deafen(from.host)
    case 1: cluster.cuts.silence(from.host)
    default: cluster.cuts.cut(from: from.host, to: to.host)
    }
    world.note("\(promises.name(from)) and \(promises.name(to)) hear each other badly")
  }

  /// The same id a second time, elsewhere, while the first still runs: one of them has to go.
  private func duplicate() {
    guard let process = pick(awake), process.member >= seeds else { return }
    let seat = promises.seats[process.member]
    guard cluster.running.count(where: { $0.member == process.member }) == 1 else { return }
    world.note("\(seat.id) a second time")
    seat.host = cluster.addHost()
    seat.disk = nil
    seat.process = nil
    boot(process.member)
  }

  private func replay() {
    guard let old = pick(cluster.overheard) else { return }
    world.add(.datagram(old.bytes, from: old.from, to: old.to), after: 0)
  }

  private func rotate() {
    guard rotation != nil, let process = pick(awake) else { return }
    let running = Set(cluster.running.map(\.member))
    guard let keyring = rotation?.advance(process.member, among: running, &random) else { return }
    world.note("\(promises.name(process)) rotates: \(keyring.ids)")
    cluster.perform(.setKeyring(keyring), process)
  }

  private func attack() {
    guard let process = pick(awake) else { return }
    for _ in 0..<8 { cluster.attack(process, &random) }
  }
}
