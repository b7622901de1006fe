// The turn-taker: virtual time, and places that each run one job at a time in an order drawn from the seed.
import Engine
import Wire

/// Everything that runs in one simulation. Only one thing runs at a time, on whichever thread.
final class World {
  /// Draws the order of turns and nothing else, so that other choices do not move it.
  private var random: Random
  private(set) var nanoseconds: Int64 = 0
  private(set) var turns = 0
  let trace: Trace
  private(set) var places: [Place] = []
  private(set) var current: Place?
  private var timers: [Timer] = []
  private var timerCount: UInt64 = 0
  /// The first broken promise; nothing runs after it.
  private(set) var violation: Violation?

  private struct Timer {
    var due: Int64
    var number: UInt64
    var place: Place
    var job: @Sendable () -> Void
  }

  init(seed: UInt64, trace: Trace) {
    random = Random(seed: seed ^ 0x7475_726e)
    self.trace = trace
  }

  // MARK: What happened

  func note(_ text: @autoclosure () -> String) {
    guard violation == nil else { return }
    let place = current?.name ?? "world"
    trace.line("\(stamp) \(place): \(text())")
  }

  private var stamp: String {
    let microseconds = String(nanoseconds / 1000 % 1_000_000)
    let seconds = nanoseconds / 1_000_000_000
    return "\(seconds)." + String(repeating: "0", count: 6 - microseconds.count) + microseconds
  }

  func violate(_ invariant: String, _ detail: String) {
    guard violation == nil else { return }
    note("VIOLATION \(invariant): \(detail)")
    violation = Violation(invariant: invariant, detail: detail, turn: turns)
  }

  // MARK: Places and timers

  func makePlace(_ name: String, mayBlock: Bool) -> Place {
    let place = Place(name: name, world: self, mayBlock: mayBlock)
    places.append(place)
    return place
  }

  /// Stops every place that `isDoomed` names for good: what is queued there is forgotten, and what waits in a blocking
  /// call returns from it with an error and runs out unheard.
  func kill(_ isDoomed: (Place) -> Bool) {
    let doomed = places.filter(isDoomed)
    for place in doomed { place.isDead = true }
    timers.removeAll { $0.place.isDead }
    for place in doomed {
      current = place
      place.end()
    }
    current = nil
    places.removeAll { $0.isDead }
  }

  func schedule(
    after delay: Int64, on place: Place, _ job: @escaping @Sendable () -> Void
  ) -> UInt64 {
    timerCount += 1
    guard !place.isDead else { return timerCount }
    let timer = Timer(
      due: nanoseconds + max(0, delay), number: timerCount, place: place, job: job)
    let index = timers.firstIndex { $0.due > timer.due } ?? timers.count
    timers.insert(timer, at: index)
    return timerCount
  }

  func cancelTimer(_ number: UInt64) { timers.removeAll { $0.number == number } }

  // MARK: Turns

  /// Runs one job, or one blocking call of a job, or lets time pass to the next timer.
  /// - Returns: false if there is nothing left to wait for.
  func turn() -> Bool {
    queueDueTimers()
    var total = 0
    for place in places where place.isRunnable { total += place.weight }
    guard total > 0 else {
      guard let first = timers.first else { return false }
      nanoseconds = max(nanoseconds, first.due)
      return true
    }
    var left = random.below(total)
    let chosen = places.first { place in
      guard place.isRunnable else { return false }
      left -= place.weight
      return left < 0
    }!
    turns += 1
    nanoseconds += Int64(1_000 + random.below(60_000))
    if turns % 256 == 0 { changePace() }
    trace.mix(UInt64(truncatingIfNeeded: nanoseconds))
    current = chosen
    chosen.takeTurn()
    current = nil
    return true
  }

  private func queueDueTimers() {
    guard let first = timers.first, first.due <= nanoseconds else { return }
    let dueCount = timers.firstIndex { $0.due > nanoseconds } ?? timers.count
    for timer in timers[..<dueCount] { timer.place.queue(timer.job) }
    timers.removeFirst(dueCount)
  }

  /// Makes some places slow for a while: a disk that takes its time, a loop that is held up.
  private func changePace() {
    for place in places { place.weight = [1, 4, 16, 16, 64][random.below(5)] }
  }
}

/// A broken promise.
public struct Violation: Sendable, CustomStringConvertible {
  public var invariant: String
  public var detail: String
  public var turn: Int
  public var description: String { "\(invariant) (turn \(turn)): \(detail)" }
}
