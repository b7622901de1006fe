// What must be true of one shard: who holds each offset, how far it is known durable, what may have been dropped.
import Engine
import Wire

final class ShardModel {
  let id: ShardID
  let stream: StreamModel
  let index: Int
  /// The request that holds each offset, or -1 while nobody knows.
  private var holders: [Int] = []
  /// When each record was stamped, or Int64.min while nobody knows.
  private var times: [Int64] = []
  /// Everything below was acknowledged, read or published: it stays.
  private(set) var durableTail = Offset.zero
  /// The highest offset that any trim named.
  var trimAsked = Offset.zero
  /// Where the shard starts at least: answered by a trim, or seen.
  var trimDone = Offset.zero
  /// Requests not yet known to be anywhere.
  var open: [Int: Request] = [:]

  init(id: ShardID, stream: StreamModel, index: Int) {
    self.id = id
    self.stream = stream
    self.index = index
  }

  var label: String { "\(stream.name)/\(index) (\(id))" }

  func holder(at offset: Offset) -> Int? {
    guard offset.rawValue < UInt64(holders.count), holders[Int(offset.rawValue)] >= 0 else {
      return nil
    }
    return holders[Int(offset.rawValue)]
  }

  func time(at offset: Offset) -> Int64? {
    guard offset.rawValue < UInt64(times.count), times[Int(offset.rawValue)] != .min else {
      return nil
    }
    return times[Int(offset.rawValue)]
  }

  private func grow(to end: Offset) {
    let missing = Int(end.rawValue) - holders.count
    guard missing > 0 else { return }
    holders.append(contentsOf: repeatElement(-1, count: missing))
    times.append(contentsOf: repeatElement(.min, count: missing))
  }

  /// Says that `request` holds `range`. Returns who does instead, if somebody does.
  func settle(_ request: Int, in range: Range<Offset>) -> Int? {
    grow(to: range.upperBound)
    for offset in Int(range.lowerBound.rawValue)..<Int(range.upperBound.rawValue) {
      if holders[offset] >= 0 && holders[offset] != request { return holders[offset] }
      holders[offset] = request
    }
    return nil
  }

  /// Says when the record at `offset` was stamped. Returns another time it was seen with.
  func stamp(_ offset: Offset, _ time: Int64) -> Int64? {
    grow(to: offset + 1)
    let known = times[Int(offset.rawValue)]
    times[Int(offset.rawValue)] = time
    return known == .min || known == time ? nil : known
  }

  func raiseDurableTail(to offset: Offset) { durableTail = max(durableTail, offset) }
}

/// A stream as it was created, until it is deleted.
final class StreamModel {
  let name: String
  let incarnation: UInt64
  var shards: [ShardModel] = []
  /// What may drop records without a trim; both if a change is undecided.
  var retentions: [Retention]
  /// Somebody asked for its deletion; whether it happened may be unknown.
  var mayBeDeleted = false

  var mayExpire: Bool { retentions.contains { $0.age != nil || $0.bytes != nil } }

  init(name: String, incarnation: UInt64, retention: Retention) {
    self.name = name
    self.incarnation = incarnation
    retentions = [retention]
  }
}
