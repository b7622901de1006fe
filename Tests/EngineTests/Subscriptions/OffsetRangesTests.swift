// Sets of offsets as ranges, against sets.
import Testing
import Wire

@testable import Engine

struct OffsetRangesTests {
  private func ranges(of offsets: Set<UInt64>) -> [Range<Offset>] {
    var ranges: [Range<Offset>] = []
    for offset in offsets.sorted() {
      if let last = ranges.last, last.upperBound == Offset(offset) {
        ranges[ranges.count - 1] = last.lowerBound..<Offset(offset + 1)
      } else {
        ranges.append(Offset(offset)..<Offset(offset + 1))
      }
    }
    return ranges
  }

  private func some(_ random: inout Random) -> Set<UInt64> {
    Set((0..<random.below(40)).map { _ in UInt64(random.below(60)) })
  }

  @Test(arguments: 0..<200) func `they do as sets do, and have one form`(seed: UInt64) {
    var random = Random(seed: seed)
    let one = some(&random)
    let two = some(&random)
    let first = OffsetRanges(offsets: one)
    let second = OffsetRanges(offsets: Array(two) + Array(two))
    #expect(first.ranges == ranges(of: one))
    #expect(first.count == one.count)
    #expect((0..<60).allSatisfy { first.contains(Offset($0)) == one.contains($0) })
    var changed = first
    changed.formUnion(second.ranges)
    #expect(changed.ranges == ranges(of: one.union(two)))
    changed = first
    for range in second.ranges { changed.insert(range) }
    #expect(changed.ranges == ranges(of: one.union(two)))
    changed = first
    changed.subtract(second)
    #expect(changed.ranges == ranges(of: one.subtracting(two)))
    #expect(first.intersection(second).ranges == ranges(of: one.intersection(two)))
    changed = first
    changed.remove(below: Offset(30))
    #expect(changed.ranges == ranges(of: one.filter { $0 >= 30 }))
    let middle = first.clamped(to: Offset(20)..<Offset(40))
    #expect(middle.ranges == ranges(of: one.filter { (20..<40).contains($0) }))
    #expect(
      OffsetRanges(merging: first.ranges + second.ranges).ranges == ranges(of: one.union(two)))
  }
}
