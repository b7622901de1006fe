// One run of the server: opened from what the disk kept, and ended by a crash or a stop.
import Engine
import Wire

final class Life {
  let number: Int
  let disk: DiskState
  /// Event loops: the lanes first, then one that is no lane.
  let loops: [SimExecutor]
  private let opener: SimExecutor
  private(set) var started: Engine?
  private(set) var refusal: String?
  private(set) var isStopped = false
  private let places: Held<Places>

  /// Everything that runs for this life, so that a crash can end it.
  private final class Places {
    var all: [Place] = []
    let world: World
    let prefix: String
    init(_ world: World, prefix: String) {
      self.world = world
      self.prefix = prefix
    }
    func make(_ name: String, mayBlock: Bool) -> SimExecutor {
      let place = world.makePlace("\(prefix).\(name)", mayBlock: mayBlock)
      all.append(place)
      return SimExecutor(place)
    }
  }

  init(_ number: Int, lanes: Int, _ disk: DiskState, _ world: World) {
    self.number = number
    self.disk = disk
    let places = Places(world, prefix: "\(number)")
    self.places = Held(places)
    loops =
      (0..<lanes).map { places.make("lane\($0)", mayBlock: false) }
      + [places.make("loop", mayBlock: false)]
    opener = places.make("opener", mayBlock: true)
  }

  var engine: Engine { started! }

  /// Starts the server as the executable does; `started` or `refusal` says what came of it.
  func open(_ machine: Machine, _ settings: Settings, _ time: SimTime) {
    let life = Held(self)
    let machine = Held(machine)
    opener.execute {
      do {
        try life.value.openNow(machine.value, settings, time)
      } catch {
        life.value.refusal = "\(error)"
      }
    }
  }

  private func openNow(_ machine: Machine, _ settings: Settings, _ time: SimTime) throws {
    let lanes = Array(loops.dropLast())
    var meta: any MetaStore = SimMeta(
      machine.catalog, disk, on: places.value.make("catalog", mayBlock: true))
    if let bug = settings.bug { meta = SabotagedMeta(meta, bug) }
    let contents = try CatalogContents.load(meta)
    let store = try openStore(machine, settings, time, live: contents.liveShards)
    let life = Held(self)
    Engine.open(
      contents, meta: meta, log: store,
      time: settings.bug == .leasesNeverEnd ? SabotagedTime(base: time) : time, lanes: lanes,
      settings: settings.engine,
      on: loops[0]
    ) { result in
      switch result {
      case .success(let engine): life.value.started = engine
      case .failure(let error): life.value.refusal = "\(error)"
      }
    }
  }

  private func openStore(
    _ machine: Machine, _ settings: Settings, _ time: SimTime, live: Set<ShardID>
  ) throws -> any LogStore {
    let bug = settings.bug
    let real = SimDisk(disk)
    let store = try EmbeddedStore.open(
      options: settings.store,
      disk: bug.map { SabotagedDisk(real, $0, settings.store) } ?? real,
      lanes: Array(loops.dropLast()),
      blocking: { self.places.value.make($0, mayBlock: true) }, time: time,
      checkpoints: { lane in
        let real = SimCheckpoint(lane: lane, machine.checkpoint(lane), self.disk)
        return bug.map { SabotagedCheckpoint(real, $0) } ?? real
      },
      liveShards: live)
    disk.note("opened: \(store.report)")
    return bug.map { SabotagedLog(store, $0) } ?? store
  }

  func stop() {
    let life = Held(self)
    engine.stop(on: loops[loops.count - 1]) { life.value.isStopped = true }
  }

  /// The machine stops between two instructions.
  func end() {
    disk.isDead = true
    let doomed = places.value.all
    places.value.world.kill { place in doomed.contains { $0 === place } }
    started = nil
  }
}

/// What survives a life: the platter, and the databases on it.
final class Machine {
  let medium: Medium
  let catalog: MetaRows
  private var checkpoints: [Int: CheckpointRows] = [:]

  init(seed: UInt64) {
    medium = Medium(seed: seed)
    catalog = MetaRows()
  }

  /// The same in another place, to be damaged.
  init(copying other: Machine) {
    medium = other.medium.copy()
    catalog = other.catalog.copy()
    checkpoints = other.checkpoints.mapValues { $0.copy() }
  }

  func checkpoint(_ lane: Int) -> CheckpointRows {
    if checkpoints[lane] == nil { checkpoints[lane] = CheckpointRows() }
    return checkpoints[lane]!
  }
}
