// The shell of every member at once: bytes between processes, their timers, and what a driver does for a core.
import Membership
import NIOCore
import Wire

/// A machine's address, and who listens there.
struct Host {
  let endpoint: Endpoint
  var process: Process?
  /// Nothing answers, not even a kernel.
  var isOff = false
}

final class Cluster {
  /// A timer fires up to so much late on a machine with nothing else to do.
  private static let timerSlack = 1_000_000
  /// Datagrams that wait for longer are dropped by a full socket.
  private static let lagMost = 3 * Settings.second
  private static let timersForgottenAfter = 20 * Settings.second
  /// More steps than this within a moment: time does not move on.
  private static let stepsInMomentMax = 10_000

  let world: World
  let promises: Promises
  var weather = Weather()
  var cuts = Cuts()
  private(set) var hosts: [Host] = []
  var processes: [Process] { promises.lives }
  var random: Random
  let bug: PlantedBug?
  private var hostOf: [Endpoint: Int] = [:]
  /// Every key that there ever was, for those who forge with a bug's help.
  var keysEver: Keyring?
  /// Reused from step to step.
  private var actions: [Action] = []
  private var events: [Event] = []
  private var forger = Rewriter(session: 0xdead)
  private var stepsInMoment = 0
  private var lastStepAt: Int64 = -1
  /// What passed lately, for who replays it.
  private(set) var overheard: [(bytes: ByteBuffer, from: Int, to: Int)] = []
  private static let overheardMax = 64

  init(_ world: World, _ promises: Promises, seed: UInt64, bug: PlantedBug?) {
    self.world = world
    self.promises = promises
    self.bug = bug
    random = Random(seed: seed)
  }

  // MARK: Hosts and processes

  func addHost() -> Int {
    let number = hosts.count
    // IPv6 for every fourth, in one cluster with the others.
    let text =
      number % 4 == 3
      ? "[2001:db8::\(String(number + 1, radix: 16))]:7000"
      : "10.\(number / 65_536).\(number / 256 % 256).\(number % 256):7000"
    guard let endpoint = Endpoint(text) else { preconditionFailure("\(text) is no endpoint") }
    hosts.append(Host(endpoint: endpoint))
    hostOf[endpoint] = number
    return number
  }

  func host(at endpoint: Endpoint) -> Int? { hostOf[endpoint] }

  func setOff(_ host: Int, _ isOff: Bool) { hosts[host].isOff = isOff }

  var running: [Process] { processes.filter(\.isRunning) }

  /// Starts a process of `seat` on its host. `make` makes the core, which says at once what to do.
  func start(
    _ member: Int, _ seat: Seat, watched: Bool,
    _ make: (Instant, inout [Action]) -> Swim
  ) -> Process {
    precondition(hosts[seat.host].process == nil, "host \(seat.host) is taken")
    hosts[seat.host].isOff = false
    var made: [Action] = []
    let swim = make(seat.clock.instant(at: world.now), &made)
    let process = Process(
      number: processes.count, member: member, host: seat.host,
      endpoint: hosts[seat.host].endpoint, clock: seat.clock, bornAt: world.now, swim: swim)
    if watched { process.observation = Observation(members: promises.seats.count, at: world.now) }
    if let bug { process.saboteur = Saboteur(bug, id: seat.id, seed: random.next()) }
    promises.lives.append(process)
    hosts[seat.host].process = process
    seat.process = process
    world.note("start \(promises.name(process)) at \(process.endpoint) \(swim.claim)")
    obey(process, &made)
    return process
  }

  /// SIGKILL, or the power: no word of the process itself. Its kernel ends its streams unless the power is gone.
  func end(_ process: Process, isPowerLoss: Bool) {
    world.note("\(isPowerLoss ? "power loss" : "kill") \(promises.name(process))")
    stop(process, with: isPowerLoss ? nil : random.oneIn(2) ? .reset : .ended)
    if isPowerLoss { hosts[process.host].isOff = true }
  }

  private func stop(_ process: Process, with end: StreamEnd?) {
    process.isRunning = false
    process.backlog = []
    hosts[process.host].process = nil
    for stream in process.streams.keys.sorted() {
      guard let (connection, side) = process.streams[stream] else { continue }
      connection.ends[side].isOpen = false
      if let end { append(.end(end), to: connection, from: side) }
    }
    process.streams = [:]
    promises.ended(process)
  }

  func freeze(_ process: Process, for span: Int64) {
    guard process.isRunning, !process.isFrozen else { return }
    process.isFrozen = true
    process.frozenAt = world.now
    process.accusationsBefore = process.swim.counters.accusations
    promises.excuse(process)
    world.add(.thaw(process), after: span)
  }

  private func thaw(_ process: Process) {
    guard process.isRunning, process.isFrozen else { return }
    process.isFrozen = false
    process.observation?.excuse(at: world.now)
    if bug == .stallUnnoticed { return thawUnnoticed(process) }
    if let deadline = process.swim.nextDeadline,
      world.now - max(process.clock.moment(of: deadline), process.lastStepAt) > Promises.stall
    {
      process.thawedAt = world.now
    }
    if !promises.settings.readsFirst { advance(process) }
    // A driver drains its sockets before it fires timers.
    for input in process.takeBacklog() where process.isRunning { take(input, process) }
    guard process.isRunning else { return }
    process.wakeAt = .max
    advance(process)
  }

  /// As if the time had been spent waiting in vain: every timer at its time, then what came meanwhile.
  private func thawUnnoticed(_ process: Process) {
    process.thawedAt = world.now
    var moment = process.frozenAt
    while moment < world.now {
      moment = min(world.now, moment + 20_000_000)
      let instant = process.clock.instant(at: moment)
      step(process) { $0.advance(to: instant, into: &$1) }
    }
    for input in process.takeBacklog() where process.isRunning { take(input, process) }
    process.wakeAt = .max
    rearm(process)
  }

  // MARK: Steps

  func handle(_ happening: Happening) {
    switch happening {
    case .wake(let process, let due): wake(process, due)
    case .input(let process, let input): handle(input, process)
    case .datagram(let bytes, let from, let to): deliver(bytes, from: from, to: to)
    case .unreachable(let process, let endpoint): arrive(.refused(endpoint), process)
    case .knock(let connection): knock(connection)
    case .established(let connection): establish(connection)
    case .connectFailed(let connection, let end): connectFailed(connection, end)
    case .line(let connection, let side): deliverFirst(of: connection, from: side)
    case .freeze(let process, let span): freeze(process, for: span)
    case .thaw(let process): thaw(process)
    case .boot, .story: preconditionFailure("the simulation's own")
    }
  }

  /// Something is there for the process to read; a slow one reads it later.
  func arrive(_ input: Input, _ process: Process) {
    guard process.isRunning else { return }
    if process.isFrozen { return process.queue(input) }
    guard process.lag > 0 || process.busyUntil > world.now else { return take(input, process) }
    let lag = process.lag > 0 ? Int64(random.below(Int(process.lag))) : 0
    if case .datagram = input, process.busyUntil - world.now > Self.lagMost { return }
    process.busyUntil = max(process.busyUntil, world.now) + lag
    world.add(.input(process, input), after: process.busyUntil - world.now)
  }

  private func handle(_ input: Input, _ process: Process) {
    guard process.isRunning else { return }
    if process.isFrozen { process.queue(input) } else { take(input, process) }
  }

  private func take(_ input: Input, _ process: Process) {
    world.trace.mix(UInt64(bitPattern: world.now))
    world.trace.mix(UInt64(process.number) << 32 | UInt64(input.bytes) << 8 | input.code)
    let now = process.clock.instant(at: world.now)
    switch input {
    case .datagram(let bytes, let from):
      let bytes = process.saboteur?.incoming(bytes) ?? bytes
      step(process) { $0.receive(bytes.readableBytesView, from: from, at: now, into: &$1) }
    case .refused(let endpoint):
      step(process) { $0.refused(by: endpoint, at: now, into: &$1) }
    case .accepted(let id, let from):
      step(process) { $0.stream(.accepted(from: from), id, at: now, into: &$1) }
    case .connected(let id):
      step(process) { $0.stream(.connected, id, at: now, into: &$1) }
    case .frame(let id, let bytes):
      let bytes = process.saboteur?.incoming(bytes) ?? bytes
      step(process) { $0.stream(.frame(bytes.readableBytesView), id, at: now, into: &$1) }
    case .closed(let id, let end):
      step(process) { $0.stream(.closed(end), id, at: now, into: &$1) }
    }
  }

  func perform(_ command: Command, _ process: Process) {
    let now = process.clock.instant(at: world.now)
    step(process) { $0.perform(command, at: now, into: &$1) }
  }

  func hint(_ evidence: Evidence, about id: MemberID, _ process: Process) {
    let now = process.clock.instant(at: world.now)
    step(process) { $0.hint(evidence, about: id, at: now, into: &$1) }
  }

  private func step(_ process: Process, _ body: (inout Swim, inout [Action]) -> Void) {
    stepsInMoment = lastStepAt == world.now ? stepsInMoment + 1 : 0
    lastStepAt = world.now
    if stepsInMoment > Self.stepsInMomentMax {
      world.violate("time moves on", "\(promises.name(process)) never comes to rest")
    }
    var actions = self.actions
    self.actions = []
    actions.removeAll(keepingCapacity: true)
    process.lastStepAt = world.now
    body(&process.swim, &actions)
    obey(process, &actions)
    self.actions = actions
  }

  // MARK: Timers

  private func wake(_ process: Process, _ due: Int64) {
    guard process.isRunning, process.wakeAt == due, !process.isFrozen else { return }
    if process.busyUntil > world.now && !process.isTimerQueued {
      // Behind what waits to be read now, before what comes later.
      process.isTimerQueued = true
      process.wakeAt = process.busyUntil
      return world.agenda.add(.wake(process, process.wakeAt), at: process.wakeAt)
    }
    process.isTimerQueued = false
    process.wakeAt = .max
    advance(process)
  }

  private func advance(_ process: Process) {
    let now = process.clock.instant(at: world.now)
    if let deadline = process.swim.nextDeadline, deadline <= now {
      step(process) { $0.advance(to: now, into: &$1) }
    } else {
      rearm(process)
    }
  }

  private func rearm(_ process: Process) {
    guard process.isRunning, !process.isFrozen, let deadline = process.swim.nextDeadline,
      !(bug == .timersForgotten && world.now - process.bornAt > Self.timersForgottenAfter)
    else { return }
    let due =
      max(world.now, process.clock.moment(of: deadline)) + Int64(random.below(Self.timerSlack))
    guard due < process.wakeAt else { return }
    process.wakeAt = due
    world.agenda.add(.wake(process, due), at: due)
  }

  // MARK: What a core wants done

  private func obey(_ process: Process, _ actions: inout [Action]) {
    events.removeAll(keepingCapacity: true)
    var stopped: StopReason?
    if bug == .hashOrder { shuffleByHash(&actions) }
    for action in actions {
      switch action {
      case .send(let bytes, let to): send(bytes, process, to: to, isAsking: false)
      case .sendAsking(let bytes, let to): send(bytes, process, to: to, isAsking: true)
      case .openStream(let id, let to): open(id, process, to: to)
      case .write(let id, let bytes): write(bytes, id, process)
      case .closeStream(let id): close(id, process)
      case .emit(let event): events.append(event)
      case .persist(let snapshot): promises.seats[process.member].disk = snapshot
      case .stop(let reason): stopped = reason
      }
    }
    promises.check(process, process.saboteur?.events(events) ?? events)
    if let stopped {
      stop(process, with: .ended)
      promises.stopped(process, stopped)
    } else {
      rearm(process)
    }
  }

  /// As a set would, which is ordered otherwise in every process.
  private func shuffleByHash(_ actions: inout [Action]) {
    actions = Set(actions.indices).map { actions[$0] }
  }

  // MARK: Datagrams

  private func send(_ bytes: ByteBuffer, _ process: Process, to endpoint: Endpoint, isAsking: Bool)
  {
    if bytes.readableBytes > Promises.datagramBytesMax {
      world.violate("datagrams are bounded", "\(promises.name(process)): \(bytes.readableBytes)")
    }
    guard let to = hostOf[endpoint] else { return }
    guard let saboteur = process.saboteur else {
      return transmit(bytes, process, to: to, isAsking)
    }
    for bytes in saboteur.outgoing(bytes) { transmit(bytes, process, to: to, isAsking) }
  }

  private func transmit(_ bytes: ByteBuffer, _ process: Process, to: Int, _ isAsking: Bool) {
    process.traffic.count(bytes.readableBytes, at: world.now)
    overhear(bytes, from: process.host, to: to)
    if bug == .deadAnswered, hosts[to].process == nil, !hosts[to].isOff {
      return answerForDead(bytes, process, to: to)
    }
    guard !cuts.areCut(from: process.host, to: to, isStream: false), !weather.loses(&random) else {
      return
    }
    let delay = weather.drawDelay(&random)
    world.add(.datagram(bytes, from: process.host, to: to), after: delay)
    if weather.doubles(&random) {
      world.add(
        .datagram(bytes, from: process.host, to: to), after: weather.drawDelay(&random))
    }
    // A kernel whose port nobody listens to says so, at once, to who asks from a connected socket.
    if isAsking, hosts[to].process == nil, !hosts[to].isOff,
      !cuts.areCut(from: to, to: process.host, isStream: false), !weather.loses(&random)
    {
      world.add(
        .unreachable(process, hosts[to].endpoint), after: delay + weather.drawDelay(&random))
    }
  }

  private func answerForDead(_ bytes: ByteBuffer, _ process: Process, to: Int) {
    guard let seat = promises.seats.first(where: { $0.host == to }), let issued = seat.issued,
      let answer = forger.acknowledgement(of: bytes, generation: issued.generation)
    else { return }
    world.add(.datagram(answer, from: to, to: process.host), after: weather.drawDelay(&random))
  }

  private func overhear(_ bytes: ByteBuffer, from: Int, to: Int) {
    guard bytes.readableBytes > 0 else { return }
    if overheard.count < Self.overheardMax {
      overheard.append((bytes, from, to))
    } else if random.oneIn(4) {
      overheard[random.below(Self.overheardMax)] = (bytes, from, to)
    }
  }

  private func deliver(_ bytes: ByteBuffer, from: Int, to: Int) {
    guard let process = hosts[to].process else { return }
    arrive(.datagram(bytes, from: hosts[from].endpoint), process)
  }
}
