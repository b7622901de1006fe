// The dispatcher against a model of it, by random lives.
import Testing

@testable import Engine

struct DispatchModelTests {
  @Test(arguments: 0..<8) func `the dispatcher answers as its model does`(part: UInt64) throws {
    for seed in (part * 30)..<(part * 30 + 30) {
      var schedule = DispatchSchedule(seed: seed)
      try schedule.run(steps: 300)
    }
  }
}
