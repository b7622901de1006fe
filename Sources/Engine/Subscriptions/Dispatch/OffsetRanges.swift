// A set of offsets, kept as ranges.
import Wire

/// Sorted ranges that neither overlap nor touch; none is empty. So a set has exactly one form.
struct OffsetRanges: Sendable, Equatable {
  private(set) var ranges: [Range<Offset>] = []

  init() {}

  init(_ range: Range<Offset>) { if !range.isEmpty { ranges = [range] } }

  /// Of ranges in any order, overlapping or not.
  init(merging unsorted: [Range<Offset>]) {
    ranges = unsorted.filter { !$0.isEmpty }
    coalesce()
  }

  /// Of offsets in any order, each once or more.
  init(offsets: some Sequence<UInt64>) {
    var sorted = Array(offsets)
    if !zip(sorted, sorted.dropFirst()).allSatisfy({ $0 < $1 }) { sorted.sort() }
    var first: UInt64 = 0
    var end: UInt64 = 0
    for offset in sorted where offset >= end {
      if offset > end || first == end {
        if first < end { ranges.append(Offset(first)..<Offset(end)) }
        first = offset
      }
      end = offset + 1
    }
    if first < end { ranges.append(Offset(first)..<Offset(end)) }
  }

  var isEmpty: Bool { ranges.isEmpty }

  /// How many offsets, not ranges.
  var count: Int { ranges.reduce(0) { $0 + $1.upperBound.distance(from: $1.lowerBound) } }

  func contains(_ offset: Offset) -> Bool {
    let index = firstIndex(endingAbove: offset)
    return index < ranges.count && ranges[index].lowerBound <= offset
  }

  /// The index of the first range that ends above `offset`.
  func firstIndex(endingAbove offset: Offset) -> Int {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound > offset { high = middle } else { low = middle + 1 }
    }
    return low
  }

  mutating func insert(_ offset: Offset) { insert(offset..<(offset + 1)) }

  mutating func insert(_ range: Range<Offset>) {
    guard !range.isEmpty else { return }
    guard let last = ranges.last, range.lowerBound <= last.upperBound else {
      ranges.append(range)
      return
    }
    // Those that overlap or touch become one with it.
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound >= range.lowerBound { high = middle } else { low = middle + 1 }
    }
    var end = low
    var merged = range
    while end < ranges.count, ranges[end].lowerBound <= range.upperBound {
      merged =
        min(
          merged.lowerBound, ranges[end].lowerBound)..<max(
          merged.upperBound, ranges[end].upperBound)
      end += 1
    }
    ranges.replaceSubrange(low..<end, with: CollectionOfOne(merged))
  }

  mutating func formUnion(_ others: [Range<Offset>]) {
    if others.count <= 8 {
      for range in others { insert(range) }
    } else {
      ranges += others
      coalesce()
    }
  }

  mutating func remove(below offset: Offset) {
    let index = firstIndex(endingAbove: offset)
    ranges.removeFirst(index)
    if let first = ranges.first, first.lowerBound < offset {
      ranges[0] = offset..<first.upperBound
    }
  }

  mutating func subtract(_ other: OffsetRanges) {
    guard !isEmpty, !other.isEmpty else { return }
    var left: [Range<Offset>] = []
    var index = 0
    for range in ranges {
      var start = range.lowerBound
      while index < other.ranges.count, other.ranges[index].upperBound <= start { index += 1 }
      var cutting = index
      while cutting < other.ranges.count, other.ranges[cutting].lowerBound < range.upperBound {
        let cut = other.ranges[cutting]
        if start < cut.lowerBound { left.append(start..<cut.lowerBound) }
        start = max(start, cut.upperBound)
        cutting += 1
      }
      if start < range.upperBound { left.append(start..<range.upperBound) }
    }
    ranges = left
  }

  func intersection(_ other: OffsetRanges) -> OffsetRanges {
    var outside = self
    outside.subtract(other)
    var inside = self
    inside.subtract(outside)
    return inside
  }

  func clamped(to bounds: Range<Offset>) -> OffsetRanges {
    OffsetRanges(merging: ranges.map { $0.clamped(to: bounds) })
  }

  /// Lets the lowest ranges go until there are `keeping`.
  mutating func dropLowest(keeping countMax: Int) {
    if ranges.count > countMax { ranges.removeFirst(ranges.count - countMax) }
  }

  private mutating func coalesce() {
    ranges.sort { $0.lowerBound < $1.lowerBound }
    var kept = 0
    for range in ranges {
      if kept > 0, range.lowerBound <= ranges[kept - 1].upperBound {
        let last = ranges[kept - 1]
        ranges[kept - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
      } else {
        ranges[kept] = range
        kept += 1
      }
    }
    ranges.removeLast(ranges.count - kept)
  }
}
