// A whole simulation from one seed: the server lives, crashes and lives again under clients that remember everything.
import Engine
import Wire

public final class Simulation {
  /// Turns of a usual run: several lives of the server, a second of the machine's time or less.
  public static let turnsUsual = 6_000
  /// Of a run that many others share two cores with.
  public static let turnsInTests = 2_500

  let world: World
  let settings: Settings
  let model: Model
  private(set) var keeper: Keeper!
  /// Nil if this simulation is without subscriptions.
  private(set) var registrar: Registrar?
  private(set) var undertaker: Undertaker!
  /// No new work is begun; what was begun is finished.
  private(set) var isWindingDown = false

  private let seed: UInt64
  private var random: Random
  private let time: SimTime
  private let climate: Climate
  private var machine: Machine
  private var clients: [Client] = []
  private var auditor: Auditor!
  private let director: SimExecutor
  private var lifeCount = 0
  private var crash = Crash.never
  private var isCrashDue = false

  /// When power goes.
  private enum Crash {
    case never
    /// After so many turns with clients.
    case turns(Int)
    /// Before the disk operation after so many.
    case operations(Int)
    /// The same, counted from the first sync that fails: what it should have written is not on the disk.
    case failedSync(Int)
    /// As soon as so many answers were given: what they said must hold at that very moment.
    case acknowledged(Int)
    /// As soon as so many chunks were shown.
    case shown(Int)
    /// As soon as so many dead letters were found: they are appended, and the journal may not know.
    case buried(Int)
    /// As soon as a seek was answered: the journal must know, and nothing was delivered again yet.
    case sought
  }

  enum Happening { case acknowledged, shown, buried, sought }

  /// Seeks are few: when power is to go after one, there is to be one, back over what is settled.
  var awaitsSeek: Bool { if case .sought = crash { true } else { false } }

  /// - Parameter bug: put in on purpose, to see whether it is found.
  public init(seed: UInt64, trace: Trace, bug: PlantedBug? = nil) {
    self.seed = seed
    random = Random(seed: seed)
    world = World(seed: seed, trace: trace)
    var settings = Settings.draw(&random)
    settings.bug = bug
    self.settings = settings
    climate = Climate(seed: seed)
    time = SimTime(world)
    model = Model(
      world, climate, time, keysKept: settings.engine.shardLimits.idempotencyKept,
      clockNeverJumps: !settings.hasClockJumps)
    machine = Machine(seed: seed)
    director = SimExecutor(world.makePlace("weather", mayBlock: false))
    makeClients()
  }

  private func makeClients() {
    let names = (0..<settings.streamCount).map { "s\($0)" }
    keeper = Keeper("keeper", self, seed: random.next(), names: names)
    auditor = Auditor("auditor", self, seed: random.next())
    clients = [keeper]
    for index in 0..<settings.appenders {
      let mode: Appender.Mode
      switch index % 4 {
      case 0: mode = .producer(window: 1 + random.below(4))
      case 1: mode = .plain
      case 2: mode = .keyed
      default: mode = .producer(window: 1)
      }
      clients.append(Appender("a\(index)", self, seed: random.next(), mode: mode))
    }
    for index in 0..<settings.followers {
      clients.append(Follower("f\(index)", self, seed: random.next()))
    }
    for index in 0..<settings.visitors {
      clients.append(Visitor("v\(index)", self, seed: random.next()))
    }
    makeSubscribers()
  }

  private func makeSubscribers() {
    undertaker = Undertaker("undertaker", self, seed: random.next())
    guard settings.subscriptions > 0 else { return }
    let names = (0..<settings.subscriptions).map { "b\($0)" }
    let registrar = Registrar("registrar", self, seed: random.next(), names: names)
    self.registrar = registrar
    clients += [undertaker, registrar, Pusher("push", self, seed: random.next())]
    for index in 0..<settings.pullers {
      clients.append(Puller("p\(index)", self, seed: random.next()))
    }
    for index in 0..<settings.attachers {
      clients.append(Attacher("l\(index)", self, seed: random.next()))
    }
  }

  // MARK: What clients ask

  func pickShard(_ random: inout Random) -> ShardModel? {
    let shards = keeper.streams.flatMap(\.shards)
    return shards.isEmpty ? nil : shards[random.below(shards.count)]
  }

  func happened(_ happening: Happening) {
    switch (crash, happening) {
    case (.acknowledged(let left), .acknowledged):
      crash = .acknowledged(left - 1)
      if left <= 1 { isCrashDue = true }
    case (.shown(let left), .shown):
      crash = .shown(left - 1)
      if left <= 1 { isCrashDue = true }
    case (.buried(let left), .buried):
      crash = .buried(left - 1)
      if left <= 1 { isCrashDue = true }
    case (.sought, .sought): isCrashDue = true
    default: break
    }
  }

  // MARK: The whole

  /// Runs about `turns` turns with clients and faults, then checks that everything completes without faults.
  public func run(turns: Int) -> Outcome {
    world.note("seed \(seed)")
    scheduleWeather()
    let turnsMax = 400 + turns / 5
    while world.turns < turns && world.violation == nil { live(turnsMax, drawCrash(turnsMax)) }
    // Seeks are few, and power seldom goes right after one: a life is kept for that.
    if registrar != nil, settings.hasSeeks, world.violation == nil { live(2 * turnsMax, .sought) }
    if world.violation == nil { finish() }
    return makeOutcome()
  }

  private func makeOutcome() -> Outcome {
    let outcome = Outcome(
      seed: seed, bug: settings.bug, violation: world.violation, turns: world.turns,
      traceHash: world.trace.hash, traceLines: world.trace.lineCount,
      lastLines: world.trace.lastLines, counts: model.counts)
    world.kill { _ in true }
    return outcome
  }

  /// One life in bad weather, up to its crash or its stop.
  private func live(_ turnsMax: Int, _ end: Crash) {
    crash = end
    guard let life = open() else { return }
    // Attempts to open that failed are no life.
    if case .sought = end { crash = end }
    let isStopped = random.oneIn(5)
    if case .failedSync = end {
      climate.change(Weather(syncFaults: 2 + random.below(12), only: "lanes"), world)
    } else if settings.hasFaults && random.oneIn(2) {
      climate.change(drawWeather(), world)
    }
    let lastTurn = world.turns + 200 + random.below(turnsMax)
    advance { self.world.turns >= lastTurn }
    if isStopped && !isCrashDue && world.violation == nil {
      climate.change(.fair, world)
      stopServer(life)
      let patience = world.turns + 50_000
      advance { life.isStopped || self.world.turns >= patience }
    }
    self.end(life)
  }

  private func drawCrash(_ turnsMax: Int) -> Crash {
    var kinds = [0, 1, 2, 3, 4]
    if settings.hasFaults { kinds.append(5) }
    if registrar != nil { kinds.append(6) }
    if registrar != nil, settings.hasSeeks { kinds.append(7) }
    switch kinds[random.below(kinds.count)] {
    case 0: return .operations(random.below(40))
    case 1: return .operations(random.below(turnsMax / 8))
    case 2: return .acknowledged(1 + random.below(turnsMax / 40))
    case 3: return .shown(1 + random.below(turnsMax / 40))
    case 5: return .failedSync(random.below(8))
    case 6: return .buried(1 + random.below(3))
    case 7: return .sought
    default: return .never
    }
  }

  private func drawWeather() -> Weather {
    Weather.draw(&random, usedBytes: machine.medium.usedBytes(open: []))
  }

  /// Opens the server until it opens, checks everything it has, and lets the clients in. Returns nil after a crash.
  private func open() -> Life? {
    for attempt in 0... {
      lifeCount += 1
      model.life = lifeCount
      model.isStopping = false
      // Bad weather may strike before anything is counted: a store that sees little space is full from the start.
      model.faultsBefore = climate.faultCount - (climate.weather.isFair ? 0 : 1)
      if !settings.hasFaults || attempt > 2 { climate.change(.fair, world) }
      let disk = DiskState(machine.medium, climate, world)
      let lanes = 1 + random.below(settings.lanesMax)
      let life = Life(lifeCount, lanes: lanes, disk, world)
      world.note("life \(lifeCount) with \(lanes) lanes")
      disk.onLastOperation = { [unowned self] in isCrashDue = true }
      switch crash {
      case .operations(let count): disk.operationsLeft = count
      case .failedSync(let count): disk.operationsAfterFailedSync = count
      default: break
      }
      life.open(machine, settings, time)
      let patience = world.turns + 100_000
      advance { life.started != nil || life.refusal != nil || self.world.turns > patience }
      if world.violation != nil || isCrashDue {
        end(life)
        return nil
      }
      if life.started != nil {
        audit(life)
        if world.violation == nil && !isCrashDue {
          for client in clients { client.begin(life) }
          return life
        }
        end(life)
        return nil
      }
      model.counts.opensRefused += 1
      if !model.hadFaults {
        world.violate("the store opens after any crash", life.refusal ?? "it never came back")
        return nil
      }
      world.note("did not open: \(life.refusal ?? "no answer")")
      end(life)
    }
    return nil
  }

  private func audit(_ life: Life) {
    climate.change(.fair, world)
    keeper.compare(life.engine)
    registrar?.compare(life.engine)
    auditor.reset()
    auditor.begin(life)
    let patience = world.turns + 200_000
    advance { self.auditor.isDone || self.world.turns > patience }
    if !auditor.isDone && !isCrashDue && world.violation == nil {
      world.violate("everything completes", auditor.waitsFor)
    }
    auditor.end()
  }

  private func end(_ life: Life) {
    let mercy = Medium.Mercy.draw(&random)
    world.note("power goes: \(mercy)")
    isCrashDue = false
    crash = .never
    life.end()
    for client in clients { client.end() }
    auditor.end()
    model.crashed()
    machine.medium.crash(mercy)
  }

  /// Takes turns until `isOver`, a crash or a broken promise.
  private func advance(until isOver: () -> Bool) {
    while world.violation == nil && !isCrashDue && !isOver() {
      guard world.turn() else {
        if !isOver() { world.violate("everything completes", "nothing is left to wait for") }
        return
      }
    }
  }

  // MARK: Liveness

  /// Without faults everything that was begun completes, and a stop leaves nothing to replay wrongly.
  private func finish() {
    climate.change(.fair, world)
    crash = .never
    guard let life = open() else { return }
    let end = world.turns + 1000
    advance { self.world.turns >= end }
    // Faults, then their end, within one life: it recovers by itself.
    if settings.hasFaults {
      climate.change(drawWeather(), world)
      let end = world.turns + 1500
      advance { self.world.turns >= end }
      climate.change(.fair, world)
    }
    isWindingDown = true
    world.note("winding down")
    let patience = world.turns + 300_000
    advance { self.clients.allSatisfy(\.isSettled) || self.world.turns > patience }
    for client in clients where !client.isSettled {
      world.violate("everything completes", "\(client.name) waits for \(client.waitsFor)")
    }
    // Whether the disk has space again is looked at from time to time.
    advance { life.engine.unready == nil || self.world.turns > patience }
    if let reason = life.engine.unready {
      world.violate("everything completes", "not ready: \(reason)")
    }
    stop(life)
    guard world.violation == nil, let last = open() else { return }
    stop(last)
  }

  private func stop(_ life: Life) {
    guard world.violation == nil else { return }
    stopServer(life)
    let patience = world.turns + 100_000
    advance { life.isStopped || self.world.turns > patience }
    if !life.isStopped { world.violate("everything completes", "the stop") }
    // Reads that were under way end after it.
    let last = world.turns + 2_000
    advance { life.disk.open.isEmpty || self.world.turns > last }
    if !life.disk.open.isEmpty {
      world.violate("a stop lets go of everything", "\(life.disk.open.map(\.path))")
    }
    end(life)
  }

  private func stopServer(_ life: Life) {
    world.note("the server is told to stop")
    model.isStopping = true
    life.stop()
  }

  // MARK: Damage

  /// Runs as `run` does, up to a stop; then turns over one bit, or cuts a file off, in a copy of everything stored,
  /// and checks that whoever opens and reads that is told, or shown what is right; as often as `trials` says.
  public func runDamaging(turns: Int, trials: Int) -> Outcome {
    let outcome = run(turns: turns)
    guard outcome.violation == nil else { return outcome }
    let sound = machine
    auditor.expectsDamage = true
    for _ in 0..<trials where world.violation == nil {
      machine = Machine(copying: sound)
      damage(machine.medium)
      openDamaged()
    }
    machine = sound
    return makeOutcome()
  }

  private func damage(_ medium: Medium) {
    let paths = medium.names.keys.sorted().filter { (medium.file(at: $0)?.cached.count ?? 0) > 0 }
    guard !paths.isEmpty else { return }
    let path = paths[random.below(paths.count)]
    let file = medium.file(at: path)!
    if random.oneIn(5) {
      let size = random.below(file.cached.count)
      world.note("cut \(path) off at \(size)")
      medium.cutOff(file, at: size)
    } else {
      let bit = random.below(8 * file.cached.count)
      world.note("turn over bit \(bit) of \(path)")
      medium.rot(file, bit: bit)
    }
  }

  private func openDamaged() {
    lifeCount += 1
    model.life = lifeCount
    model.isStopping = false
    let disk = DiskState(machine.medium, climate, world)
    let life = Life(lifeCount, lanes: 1 + random.below(settings.lanesMax), disk, world)
    life.open(machine, settings, time)
    advance { life.started != nil || life.refusal != nil }
    if life.started != nil {
      audit(life)
      model.counts.damagedOpened += 1
    } else {
      world.note("did not open: \(life.refusal ?? "")")
      if life.refusal?.contains("file") != true {
        world.violate("damage is named", life.refusal ?? "nothing")
      }
      model.counts.damagedRefused += 1
    }
    end(life)
  }

  // MARK: Weather

  private func scheduleWeather() {
    let simulation = Held(self)
    director.schedule(after: .milliseconds(5 + random.below(80))) {
      simulation.value.changeWeather()
    }
  }

  private func changeWeather() {
    scheduleWeather()
    if settings.hasClockJumps && random.oneIn(4) {
      time.jump(milliseconds: Int64(random.below(4000)) - 2000)
    }
    guard settings.hasFaults, !isWindingDown, auditor.life == nil else { return }
    climate.change(random.oneIn(2) ? .fair : drawWeather(), world)
  }
}
