// A lane's checkpoints in a SQLite database: where records lie, and the stamps of requests that may be repeated.
import Wire

public final class SQLiteCheckpoint: CheckpointStore {
  /// How many of a producer's stamps a shard keeps: API.md §3.
  private static let producerStampsKept = 5
  private let database: SQLiteDatabase

  /// Opens or makes the database file.
  /// - Parameter readOnly: for a look from outside: the file must be there, and `commit` fails.
  public init(path: String, readOnly: Bool = false) throws(MetaError) {
    database = try SQLiteDatabase(path: path, readOnly: readOnly)
    if !readOnly { try database.run(Self.schema) }
  }

  private static let schema = """
    CREATE TABLE IF NOT EXISTS lane (id INTEGER PRIMARY KEY CHECK (id = 1), log_sequence INTEGER);
    CREATE TABLE IF NOT EXISTS shards (
      shard INTEGER PRIMARY KEY, earliest INTEGER, tail INTEGER, last_timestamp INTEGER,
      epoch INTEGER);
    CREATE TABLE IF NOT EXISTS segments (
      shard INTEGER, base_offset INTEGER, end_offset INTEGER, bytes INTEGER,
      first_timestamp INTEGER, last_timestamp INTEGER,
      PRIMARY KEY (shard, base_offset)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS producers (
      shard INTEGER, producer TEXT, start INTEGER, end INTEGER, timestamp INTEGER,
      digest_high INTEGER, digest_low INTEGER, producer_epoch INTEGER, sequence INTEGER,
      PRIMARY KEY (shard, producer, start)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS producers_by_time ON producers (timestamp);
    CREATE TABLE IF NOT EXISTS keys (
      shard INTEGER, start INTEGER, end INTEGER, timestamp INTEGER,
      digest_high INTEGER, digest_low INTEGER, key TEXT,
      PRIMARY KEY (shard, start)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS keys_by_time ON keys (timestamp);
    """

  public func close() { database.close() }

  /// What is wrong with the file, in SQLite's words.
  func faults() throws(MetaError) -> [String] { try database.faults() }

  public func load() throws(MetaError) -> CheckpointState {
    var state = CheckpointState()
    let lane = try database.prepare("SELECT log_sequence FROM lane")
    while try lane.step() { state.logSequence = lane.unsigned(0) }
    let shards = try database.prepare(
      "SELECT shard, earliest, tail, last_timestamp, epoch FROM shards ORDER BY shard")
    while try shards.step() {
      state.shards.append(
        ShardCheckpoint(
          shard: ShardID(shards.unsigned(0)), earliest: Offset(shards.unsigned(1)),
          tail: Offset(shards.unsigned(2)),
          lastTimestamp: Timestamp(milliseconds: shards.integer(3)),
          epoch: Epoch(shards.unsigned(4))))
    }
    let segments = try database.prepare(
      """
      SELECT shard, base_offset, end_offset, bytes, first_timestamp, last_timestamp FROM segments
      ORDER BY shard, base_offset
      """)
    while try segments.step() {
      state.segments.append(
        SegmentCheckpoint(
          shard: ShardID(segments.unsigned(0)), baseOffset: Offset(segments.unsigned(1)),
          endOffset: Offset(segments.unsigned(2)), bytes: Int(segments.integer(3)),
          firstTimestamp: Timestamp(milliseconds: segments.integer(4)),
          lastTimestamp: Timestamp(milliseconds: segments.integer(5))))
    }
    state.stampedShards = try stampedShards()
    return state
  }

  /// Jumps from shard to shard by the primary keys, so that a million stamps of a shard cost one step.
  private func stampedShards() throws(MetaError) -> [ShardID] {
    var found: Set<ShardID> = []
    for table in ["producers", "keys"] {
      let next = try database.prepare(
        "SELECT shard FROM \(table) WHERE shard > ? ORDER BY shard LIMIT 1")
      var shard = Int64.min
      while true {
        try next.bind(.integer(shard))
        guard try next.step() else { break }
        shard = next.integer(0)
        next.reset()
        found.insert(ShardID(UInt64(bitPattern: shard)))
      }
    }
    return found.sorted()
  }

  public func stamps(of shard: ShardID) throws(MetaError) -> [StampedRange] {
    // A frame may carry both a producer's stamp and a key; the two rows become one stamp again.
    let rows = try database.prepare(
      """
      SELECT start, end, timestamp, digest_high, digest_low,
        producer, producer_epoch, sequence, NULL
      FROM producers WHERE shard = ?1
      UNION ALL
      SELECT start, end, timestamp, digest_high, digest_low, NULL, NULL, NULL, key
      FROM keys WHERE shard = ?1
      ORDER BY 1
      """)
    try rows.bind(.unsigned(shard.rawValue))
    var stamps: [StampedRange] = []
    while try rows.step() {
      let start = Offset(rows.unsigned(0))
      if stamps.last?.offsets.lowerBound != start {
        stamps.append(
          StampedRange(
            extras: FrameExtras(
              digest: BodyDigest(high: rows.unsigned(3), low: rows.unsigned(4))),
            offsets: start..<Offset(rows.unsigned(1)),
            timestamp: Timestamp(milliseconds: rows.integer(2))))
      }
      let last = stamps.count - 1
      if rows.isNull(8) {
        stamps[last].extras.producer = ProducerStamp(
          id: rows.text(5), epoch: rows.unsigned(6), sequence: rows.unsigned(7))
      } else {
        stamps[last].extras.idempotencyKey = rows.text(8)
      }
    }
    return stamps
  }

  public func commit(_ change: CheckpointChange) throws(MetaError) {
    try database.transaction { () throws(MetaError) in
      try remove(change)
      try write(change.shards)
      try write(change.segments)
      try write(change.stamps)
      try forget(change)
      let lane = try database.prepare("INSERT OR REPLACE INTO lane VALUES (1, ?)")
      try lane.bind(.unsigned(change.logSequence))
      try lane.run()
    }
  }

  private func remove(_ change: CheckpointChange) throws(MetaError) {
    if !change.removedShards.isEmpty {
      for table in ["shards", "segments", "producers", "keys"] {
        let delete = try database.prepare("DELETE FROM \(table) WHERE shard = ?")
        for shard in change.removedShards {
          try delete.bind(.unsigned(shard.rawValue))
          try delete.run()
        }
      }
    }
    let delete = try database.prepare("DELETE FROM segments WHERE shard = ? AND base_offset = ?")
    for (shard, baseOffset) in change.removedSegments {
      try delete.bind(.unsigned(shard.rawValue), .unsigned(baseOffset.rawValue))
      try delete.run()
    }
  }

  private func write(_ shards: [ShardCheckpoint]) throws(MetaError) {
    let put = try database.prepare("INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?, ?)")
    for row in shards {
      try put.bind(
        .unsigned(row.shard.rawValue), .unsigned(row.earliest.rawValue),
        .unsigned(row.tail.rawValue), .integer(row.lastTimestamp.milliseconds),
        .unsigned(row.epoch.rawValue))
      try put.run()
    }
  }

  private func write(_ segments: [SegmentCheckpoint]) throws(MetaError) {
    let put = try database.prepare("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?)")
    for row in segments {
      try put.bind(
        .unsigned(row.shard.rawValue), .unsigned(row.baseOffset.rawValue),
        .unsigned(row.endOffset.rawValue), .integer(Int64(row.bytes)),
        .integer(row.firstTimestamp.milliseconds), .integer(row.lastTimestamp.milliseconds))
      try put.run()
    }
  }

  private func write(_ stamps: [(shard: ShardID, stamp: StampedRange)]) throws(MetaError) {
    let putKey = try database.prepare("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?)")
    for (shard, stamp) in stamps {
      guard let key = stamp.extras.idempotencyKey, let digest = stamp.extras.digest else {
        continue
      }
      try putKey.bind(
        .unsigned(shard.rawValue), .unsigned(stamp.offsets.lowerBound.rawValue),
        .unsigned(stamp.offsets.upperBound.rawValue), .integer(stamp.timestamp.milliseconds),
        .unsigned(digest.high), .unsigned(digest.low), .text(key))
      try putKey.run()
    }
    let putProducer = try database.prepare(
      "INSERT OR REPLACE INTO producers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
    let prune = try database.prepare(
      """
      DELETE FROM producers WHERE shard = ?1 AND producer = ?2 AND start < (
        SELECT start FROM producers WHERE shard = ?1 AND producer = ?2
        ORDER BY start DESC LIMIT 1 OFFSET \(Self.producerStampsKept - 1))
      """)
    for (shard, stamp) in lastOfEachProducer(stamps) {
      guard let producer = stamp.extras.producer, let digest = stamp.extras.digest else { continue }
      try putProducer.bind(
        .unsigned(shard.rawValue), .text(producer.id),
        .unsigned(stamp.offsets.lowerBound.rawValue),
        .unsigned(stamp.offsets.upperBound.rawValue), .integer(stamp.timestamp.milliseconds),
        .unsigned(digest.high), .unsigned(digest.low), .unsigned(producer.epoch),
        .unsigned(producer.sequence))
      try putProducer.run()
      try prune.bind(.unsigned(shard.rawValue), .text(producer.id))
      try prune.run()
    }
  }

  /// Leaves out stamps that later ones of the same change would push out: a busy producer costs five rows, not
  /// one for each request.
  private func lastOfEachProducer(
    _ stamps: [(shard: ShardID, stamp: StampedRange)]
  ) -> [(shard: ShardID, stamp: StampedRange)] {
    struct Sender: Hashable {
      var shard: ShardID
      var producer: String
    }
    var later: [Sender: Int] = [:]
    var kept: [(shard: ShardID, stamp: StampedRange)] = []
    for (shard, stamp) in stamps.reversed() {
      guard let producer = stamp.extras.producer?.id else { continue }
      let count = later[Sender(shard: shard, producer: producer), default: 0]
      guard count < Self.producerStampsKept else { continue }
      later[Sender(shard: shard, producer: producer)] = count + 1
      kept.append((shard, stamp))
    }
    return kept.reversed()
  }

  private func forget(_ change: CheckpointChange) throws(MetaError) {
    let keys = try database.prepare("DELETE FROM keys WHERE timestamp < ?")
    try keys.bind(.integer(change.keysSince.milliseconds))
    try keys.run()
    let producers = try database.prepare("DELETE FROM producers WHERE timestamp < ?")
    try producers.bind(.integer(change.producersSince.milliseconds))
    try producers.run()
  }
}
