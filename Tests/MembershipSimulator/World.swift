// What everything in one simulation shares: the time, what is due, the trace, the first broken promise.
import Membership
import NIOCore
import Simulator

/// A promise that did not hold.
public struct Violation: Sendable {
  public var invariant: String
  public var detail: String
  /// Virtual seconds since the beginning.
  public var seconds: Double
}

enum Happening {
  case wake(Process, Int64)
  /// It reaches the process at this moment.
  case input(Process, Input)
  /// It reaches the host, whoever runs there by then.
  case datagram(ByteBuffer, from: Int, to: Int)
  /// ICMP: nobody listens there.
  case unreachable(Process, Endpoint)
  /// A connect arrives at its host.
  case knock(Connection)
  case established(Connection)
  case connectFailed(Connection, StreamEnd)
  /// The first item of a direction is due.
  case line(Connection, Int)
  case freeze(Process, Int64)
  case thaw(Process)
  case boot(Int)
  case story
}

final class World {
  /// Nanoseconds since the simulation began.
  private(set) var now: Int64 = 0
  var agenda = Agenda<Happening>()
  let trace: Trace
  private(set) var violation: Violation?

  init(trace: Trace) { self.trace = trace }

  func add(_ happening: Happening, after delay: Int64) {
    agenda.add(happening, at: now + max(0, delay))
  }

  /// The next that happens up to `end`, with time moved there; nil, and time at `end`, if nothing does.
  func next(until end: Int64) -> Happening? {
    guard let due = agenda.nextDue, due <= end, let next = agenda.next() else {
      now = max(now, end)
      return nil
    }
    precondition(next.due >= now, "something was due at \(next.due), and it is \(now)")
    now = next.due
    return next.entry
  }

  func note(_ text: @autoclosure () -> String) {
    guard violation == nil else { return }
    trace.line("\(stamp) \(text())")
  }

  private var stamp: String {
    let microseconds = String(now / 1000 % 1_000_000)
    return "\(now / 1_000_000_000)."
      + String(repeating: "0", count: 6 - microseconds.count) + microseconds
  }

  func violate(_ invariant: String, _ detail: @autoclosure () -> String) {
    guard violation == nil else { return }
    let detail = detail()
    note("VIOLATION \(invariant): \(detail)")
    violation = Violation(
      invariant: invariant, detail: detail, seconds: Double(now / 1_000_000) / 1000)
  }
}
