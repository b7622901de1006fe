// The executor seam over a place of the simulation, and the clock seam over its virtual time.
import Engine
import Wire

public final class SimExecutor: Executor {
  private let held: Held<Place>

  init(_ place: Place) { held = Held(place) }

  var place: Place { held.value }

  public var isCurrent: Bool { place.world.current === place }

  public func execute(_ job: @escaping @Sendable () -> Void) { place.queue(job) }

  @discardableResult
  public func schedule(
    after delay: Duration, _ job: @escaping @Sendable () -> Void
  ) -> ScheduledJob {
    let (seconds, attoseconds) = delay.components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let nanoseconds = overflow ? Int64.max / 2 : whole + attoseconds / 1_000_000_000
    let number = place.world.schedule(after: nanoseconds, on: place, job)
    return ScheduledJob { [held] in held.value.world.cancelTimer(number) }
  }
}

/// Virtual time, with a wall clock that may be wrong and may jump.
public final class SimTime: TimeSource {
  private final class State {
    let world: World
    var skewMilliseconds: Int64 = 0
    /// How far it was ever turned forward, all jumps together.
    var turnedForward: Int64 = 0
    init(_ world: World) { self.world = world }
  }
  private let state: Held<State>
  /// 2026-01-01T00:00:00Z.
  static let start: Int64 = 1_767_225_600_000

  init(_ world: World) { state = Held(State(world)) }

  public var now: Timestamp {
    let state = state.value
    return Timestamp(
      milliseconds: Self.start + state.world.nanoseconds / 1_000_000 + state.skewMilliseconds)
  }

  public var monotonic: Duration { .nanoseconds(state.value.world.nanoseconds) }

  /// In milliseconds; grows by at least as much as the wall clock does between any two moments.
  var age: Int64 { state.value.world.nanoseconds / 1_000_000 + state.value.turnedForward }

  /// Moves the wall clock, either way.
  func jump(milliseconds: Int64) {
    state.value.skewMilliseconds += milliseconds
    if milliseconds > 0 { state.value.turnedForward += milliseconds }
    state.value.world.note("the wall clock jumps by \(milliseconds) ms")
  }
}
