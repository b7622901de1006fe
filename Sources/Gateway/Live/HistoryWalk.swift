// Which shard a reader takes from the log next, and how far: ordered within each shard, in turns between them.
import Wire

/// Places run towards stops; one read is under way at a time. Decides only, reads nothing.
struct HistoryWalk {
  /// The next record of each shard, by the shard's place in what is read.
  private(set) var places: [Offset]
  /// Where each shard's part ends for now, exclusive.
  private(set) var stops: [Offset]
  private var turn = 0

  init(from places: [Offset], to stops: [Offset]) {
    precondition(places.count == stops.count && !places.isEmpty)
    self.places = places
    self.stops = stops
  }

  /// The shard whose turn it is, or nil when every place has reached its stop.
  mutating func nextSlot() -> Int? {
    for _ in places.indices {
      let slot = turn
      if places[slot] < stops[slot] { return slot }
      turn = turn + 1 == places.count ? 0 : turn + 1
    }
    return nil
  }

  var isAtStops: Bool { places.indices.allSatisfy { places[$0] >= stops[$0] } }

  /// The reader has everything of `slot` before `place`.
  mutating func move(_ slot: Int, to place: Offset) {
    precondition(place >= places[slot], "a reader never goes back: \(places[slot]) to \(place)")
    places[slot] = place
  }

  /// Gives the turn to the next shard.
  mutating func endTurn(of slot: Int) {
    if turn == slot { turn = slot + 1 == places.count ? 0 : slot + 1 }
  }

  mutating func stop(_ slot: Int, at stop: Offset) { stops[slot] = stop }

  mutating func setStops(_ stops: [Offset]) {
    precondition(stops.count == places.count)
    self.stops = stops
  }
}

/// Which records of those that come by a reader wants, and when it has had enough.
struct RecordFilter: Equatable {
  enum Until: Equatable {
    case offset(Offset)
    /// Records at or after it are not wanted.
    case time(Timestamp)
  }
  var key: [UInt8]?
  /// Records that may still be given.
  var remaining: Int?
  var until: Until?

  static let everything = RecordFilter()

  func wants(_ record: RecordView) -> Bool {
    guard let key else { return true }
    guard let given = record.key else { return false }
    return given.elementsEqual(key)
  }

  /// True at the first record that is past `until`: its shard holds nothing more for this reader.
  func isPast(_ record: RecordView) -> Bool {
    switch until {
    case nil: false
    case .offset(let offset): record.offset >= offset
    case .time(let time): record.timestamp >= time
    }
  }
}
