// What verify says of a spoiled segment: each damage once, in its place, with the records that are lost and no others.
import Testing
import Wire

@testable import Engine

@Suite struct `Checking segments` {
  /// A segment of batches of three, its file, and where each batch begins.
  private func filled() throws -> (StoreBench, SegmentCheckpoint, starts: [Int]) {
    let bench = StoreBench()
    try bench.open { $0.segmentBytes = 1 << 20 }
    let owner = try bench.owner(1)
    for number in 0..<20 {
      let pad = String(repeating: "s", count: number % 5 * 40)
      #expect(bench.append(owner, ["\"\(number)a\(pad)\"", "\"b\"", "\(number)"]) == nil)
    }
    bench.makeCheckpoint()
    let segments = try bench.checkpoint(of: 0).load().segments
    #expect(segments.count == 1)
    let segment = try #require(segments.first)
    let bytes = bench.disk.bytes(of: SegmentFiles.records(segment.shard, segment.baseOffset))
    var starts: [Int] = []
    var place = 0
    while place < segment.bytes {
      starts.append(place)
      place += try bytes.withUnsafeBytes {
        try FrameHeader(checking: UnsafeRawBufferPointer(rebasing: $0[place...])).frameBytes
      }
    }
    #expect(starts.count == 20)
    return (bench, segment, starts)
  }

  private func checked(_ disk: MemoryDisk, _ segment: SegmentCheckpoint) throws -> SegmentCheck {
    let file = try disk.open(
      SegmentFiles.records(segment.shard, segment.baseOffset), create: false)
    var check = SegmentCheck(segment, in: file)
    var read = 0
    try check.run { read += $0 }
    #expect(read <= segment.bytes)
    return check
  }

  @Test func `a whole segment has no damage, and everything in it is counted`() throws {
    let (bench, segment, _) = try filled()
    let check = try checked(bench.disk, segment)
    #expect(check.damages.isEmpty && check.frames == 20 && check.records == 60)
  }

  @Test func `each flipped bit costs the batch that it is in, and no other`() throws {
    let (bench, segment, starts) = try filled()
    let path = SegmentFiles.records(segment.shard, segment.baseOffset)
    for position in 0..<segment.bytes {
      let disk = bench.disk.copy()
      disk.spoil(path, at: position, by: 1 << (position % 8))
      let check = try checked(disk, segment)
      let batch = starts.lastIndex { $0 <= position }!
      let lost = check.damages.filter { !$0.lost.isEmpty }
      #expect(lost.count == 1 && check.damages.count == 1, "byte \(position)")
      #expect(lost.first?.lost == Offset(UInt64(3 * batch))..<Offset(UInt64(3 * batch + 3)))
      #expect(lost.first?.position == starts[batch])
      #expect(check.frames == 19)
    }
  }

  @Test func `several damages are each told`() throws {
    let (bench, segment, starts) = try filled()
    let path = SegmentFiles.records(segment.shard, segment.baseOffset)
    // A head, a payload, and two heads behind one another.
    for start in [starts[2] + 10, starts[7] + 80, starts[11] + 1, starts[12] + 1] {
      bench.disk.spoil(path, at: start)
    }
    let check = try checked(bench.disk, segment)
    #expect(check.damages.map(\.position) == [starts[2], starts[7], starts[11]])
    #expect(
      check.damages.map(\.lost)
        == [6..<9, 21..<24, 33..<39].map {
          Offset(UInt64($0.lowerBound))..<Offset(UInt64($0.upperBound))
        })
  }

  @Test func `a file cut off at any byte loses what is behind the cut`() throws {
    let (bench, segment, starts) = try filled()
    let path = SegmentFiles.records(segment.shard, segment.baseOffset)
    let bytes = bench.disk.bytes(of: path)
    for size in stride(from: 0, to: segment.bytes, by: 13) {
      let disk = bench.disk.copy()
      disk.replace(path, with: Array(bytes[..<size]))
      let check = try checked(disk, segment)
      #expect(check.damages.last?.lost.upperBound == segment.endOffset)
      let lost = check.damages.reduce(0) { $0 + $1.lost.count }
      #expect(lost >= 60 - 3 * starts.count { $0 < size } && lost <= 63 - 3 * check.frames)
    }
  }
}

extension Range where Bound == Offset {
  fileprivate var count: Int { upperBound.distance(from: lowerBound) }
}
