// Says every few seconds how far many seeds are.
import Engine
import Glibc

/// Of one seed it says nothing.
public struct SeedProgress<Totals: CustomStringConvertible> {
  private static var interval: Duration { .seconds(5) }
  private let count: UInt64
  private let began = SystemTime().monotonic
  private var said = SystemTime().monotonic
  private var done: UInt64 = 0
  private var totals: Totals

  public init(count: UInt64, totals: Totals) {
    self.count = count
    self.totals = totals
  }

  /// One more seed is done.
  public mutating func add(_ change: (inout Totals) -> Void) {
    done += 1
    change(&totals)
    guard count > 1, SystemTime().monotonic - said >= Self.interval else { return }
    said = SystemTime().monotonic
    print("\(done) of \(count) seeds, \(seconds) s: \(totals)")
    fflush(nil)
  }

  public func end() {
    if count > 1 { print("\(count) seeds passed in \(seconds) s: \(totals)") }
  }

  private var seconds: Int64 { (SystemTime().monotonic - began).components.seconds }
}
