// The replay window: each counter once, in any order within its width.
import Testing
import Wire

@testable import Membership

@Suite struct ReplayWindowTests {
  /// Against a set of all that was seen.
  @Test(arguments: 0..<12 as Range<UInt64>)
  func `it takes each counter once and forgets none within its width`(seed: UInt64) {
    var random = Random(seed: seed)
    var window = ReplayWindow()
    var seen: Set<UInt64> = []
    var highest: UInt64 = random.oneIn(2) ? 0 : random.anySize() >> 1
    for _ in 0..<20_000 {
      let counter: UInt64
      switch random.below(8) {
      case 0: counter = highest + random.next(upperBound: 3000)
      case 1: counter = highest - min(highest, random.next(upperBound: 3000))
      default: counter = highest + 1 - min(highest, random.next(upperBound: 64))
      }
      let isRecent = seen.isEmpty || counter > highest || highest - counter < ReplayWindow.width
      let accepts = window.accepts(counter)
      #expect(accepts == (isRecent && !seen.contains(counter)))
      guard accepts else { continue }
      window.mark(counter)
      seen.insert(counter)
      highest = max(highest, counter)
      #expect(!window.accepts(counter))
    }
  }

  @Test(arguments: [1, 2, 64, 1024] as [UInt64])
  func `any order of a run as long as its width is taken, once`(length: UInt64) {
    for start in [0, 1, 63, 1_000_000] as [UInt64] {
      var random = Random(seed: length &+ start)
      var window = ReplayWindow()
      for counter in (start..<start + length).shuffled(using: &random) {
        #expect(window.accepts(counter))
        window.mark(counter)
      }
      #expect(!(start..<start + length).contains { window.accepts($0) })
      #expect(window.accepts(start + length))
    }
  }

  @Test func `a leap as far as can be leaves nothing behind that is taken`() {
    var window = ReplayWindow()
    window.mark(5)
    window.mark(.max - 1)
    #expect(!window.accepts(5) && !window.accepts(6) && !window.accepts(.max))
    #expect(window.accepts(.max - 1 - 1023) && !window.accepts(.max - 1 - 1024))
  }
}
