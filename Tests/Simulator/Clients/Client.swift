// What every client of the simulated server has in common: it outlives the server, and lives on one of its loops.
import Engine
import Wire

class Client {
  let name: String
  unowned let simulation: Simulation
  var random: Random
  /// The server it talks to; nil while that is down.
  private(set) var life: Life?
  private(set) var executor: SimExecutor!

  init(_ name: String, _ simulation: Simulation, seed: UInt64) {
    self.name = name
    self.simulation = simulation
    random = Random(seed: seed)
  }

  var model: Model { simulation.model }
  var isWindingDown: Bool { simulation.isWindingDown }

  /// The server is up: go on from what is known.
  final func begin(_ life: Life) {
    self.life = life
    executor = life.loops[random.below(life.loops.count)]
    later(.milliseconds(random.below(3))) { self.start() }
  }

  /// The server is gone, and with it everything in flight.
  final func end() {
    guard life != nil else { return }
    life = nil
    dropped()
  }

  /// Called on the client's loop in each life.
  func start() {}
  /// Called when the server is gone.
  func dropped() {}
  /// True when nothing that it began waits for an end.
  var isSettled: Bool { true }
  /// What it waits for.
  var waitsFor: String { "" }

  func note(_ text: @autoclosure () -> String) { simulation.world.note("\(name) \(text())") }
  func violate(_ invariant: String, _ detail: String) {
    simulation.world.violate(invariant, "\(name): \(detail)")
  }

  func later(_ delay: Duration, _ body: @escaping () -> Void) {
    let job = Held(body)
    executor.schedule(after: delay) { job.value() }
  }

  /// A pause between two things a client does.
  func pause() -> Duration {
    let longest = simulation.settings.pauseMicroseconds
    return .microseconds(random.below(random.oneIn(40) ? 100 * longest : longest))
  }

  /// A reply that may cross threads, for a body that does not.
  func reply<Answer>(_ body: @escaping (Answer) -> Void) -> @Sendable (Answer) -> Void {
    let held = Held(body)
    return { held.value($0) }
  }

  /// The server's handle of a shard that the model knows; nil if its stream is gone.
  func handle(of shard: ShardModel) -> Shard? {
    guard let stream = life?.engine.stream(named: shard.stream.name),
      stream.incarnation == shard.stream.incarnation
    else {
      if !shard.stream.mayBeDeleted {
        violate("a stream is there until deleted", shard.label)
      }
      return nil
    }
    return stream.shards[shard.index]
  }

  /// The server's handle of a subscription that the model knows; nil if it is gone.
  func handle(of known: SubscriptionModel) -> Subscription? {
    guard let subscription = life?.engine.subscription(named: known.name),
      subscription.incarnation == known.incarnation
    else {
      if !known.mayBeDeleted {
        violate("a subscription is there until deleted", known.label)
      }
      return nil
    }
    return subscription
  }
}
