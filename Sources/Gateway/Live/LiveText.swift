// What a live reader is sent, as text: server-sent events (WHATWG HTML §9.2) or lines of NDJSON.
import NIOCore
import Wire

/// How a live answer is written. Readers of one shape share one encoding.
enum LiveShape: Hashable, Sendable {
  case events(EventShape)
  /// A record a line; a blank line is the heartbeat.
  case lines
}

struct EventShape: Hashable, Sendable {
  enum Name: String, Hashable, Sendable { case record, message }
  /// nil: `record`, or `batch` for batches.
  var name: Name?
  /// Several records an event, as an array.
  var isBatched = false
}

/// What a read covers: one shard, or all shards of a stream of this incarnation.
struct ReadScope: Sendable {
  let incarnation: UInt64
  /// The one shard, or nil for all.
  let shardIndex: Int?

  func cursor(at places: [Offset], isEnded: Bool = false) -> Cursor {
    if let shardIndex {
      return Cursor(
        incarnation: incarnation, place: .shard(shardIndex, places[0]), isEnded: isEnded)
    }
    return Cursor(incarnation: incarnation, place: .allShards(places), isEnded: isEnded)
  }

  /// The index in its stream of the shard at `slot` of this scope.
  func shardIndex(of slot: Int) -> Int { shardIndex ?? slot }
}

/// Why a live answer ends for good.
enum LiveEnd: String, Sendable { case limit, until, deleted }

/// Writes records of one answer, or of one round for many, moving `places` with each record.
struct LiveWriter {
  /// A batch event holds at most so many records, and closes after the record that takes it above so many bytes.
  static let batchRecordsMax = 500
  static let batchBytesMax = 256 << 10

  private let scope: ReadScope
  private let shape: LiveShape
  private(set) var places: [Offset]
  private(set) var records = 0
  /// Records were passed over since the last one written.
  private(set) var hasSkipped = false
  private var batchRecords = 0
  private var batchStart = 0

  init(_ shape: LiveShape, _ scope: ReadScope, at places: [Offset]) {
    self.shape = shape
    self.scope = scope
    self.places = places
  }

  /// Writes every record of `chunk` from `places[slot]` on.
  mutating func writeAll(_ chunk: FrameChunk, slot: Int, into buffer: inout ByteBuffer) {
    var text = RecordText(shard: scope.shardIndex(of: slot))
    chunk.forEachRecord(from: places[slot]) { record in
      write(record, slot: slot, &text, into: &buffer)
      return true
    }
  }

  /// Writes the records of `chunk` that `filter` wants and counts them off; `places` moves with each one looked at.
  /// - Returns: true if the shard holds nothing more before `until`.
  mutating func write(
    _ chunk: FrameChunk, slot: Int, _ filter: inout RecordFilter, into buffer: inout ByteBuffer
  ) -> Bool {
    var text = RecordText(shard: scope.shardIndex(of: slot))
    var isPast = false
    chunk.forEachRecord(from: places[slot]) { record in
      if filter.remaining == 0 { return false }
      if filter.isPast(record) {
        isPast = true
        return false
      }
      if filter.wants(record) {
        write(record, slot: slot, &text, into: &buffer)
        if let remaining = filter.remaining { filter.remaining = remaining - 1 }
      } else {
        places[slot] = record.offset + 1
        hasSkipped = true
      }
      return true
    }
    return isPast
  }

  private mutating func write(
    _ record: RecordView, slot: Int, _ text: inout RecordText, into buffer: inout ByteBuffer
  ) {
    places[slot] = record.offset + 1
    records += 1
    hasSkipped = false
    switch shape {
    case .lines:
      text.write(record, into: &buffer)
      buffer.writeInteger(UInt8(ascii: "\n"))
    case .events(let events) where events.isBatched:
      if batchRecords == 0 {
        batchStart = buffer.writerIndex
        buffer.writeStaticString(events.name == nil ? "event: batch\ndata: [" : events.head)
        if events.name != nil { buffer.writeInteger(UInt8(ascii: "[")) }
      } else {
        buffer.writeInteger(UInt8(ascii: ","))
      }
      text.write(record, into: &buffer)
      batchRecords += 1
      if batchRecords == Self.batchRecordsMax
        || buffer.writerIndex - batchStart > Self.batchBytesMax
      {
        closeBatch(into: &buffer)
      }
    case .events(let events):
      buffer.writeStaticString(events.head)
      text.write(record, into: &buffer)
      buffer.writeInteger(UInt8(ascii: "\n"))
      SSEText.writeID(scope.cursor(at: places), into: &buffer)
      buffer.writeInteger(UInt8(ascii: "\n"))
    }
  }

  /// Ends a batch event that is open; nothing otherwise.
  mutating func closeBatch(into buffer: inout ByteBuffer) {
    guard batchRecords > 0 else { return }
    batchRecords = 0
    buffer.writeStaticString("]\n")
    SSEText.writeID(scope.cursor(at: places), into: &buffer)
    buffer.writeInteger(UInt8(ascii: "\n"))
  }
}

extension EventShape {
  fileprivate var head: StaticString {
    name == .message ? "event: message\ndata: " : "event: record\ndata: "
  }
}

/// The events beside records. NDJSON has none of them but the heartbeat.
enum LiveText {
  /// The first event; it also tells the client where it stands and how long to wait before it comes back.
  static func writeOpen(
    stream: String, heartbeat: Duration, retry: Duration, at cursor: Cursor,
    into buffer: inout ByteBuffer
  ) {
    buffer.writeStaticString("event: open\ndata: {\"stream\":")
    JSONText.writeEscapedString(stream, into: &buffer)
    buffer.writeStaticString(",\"heartbeat_ms\":")
    JSONText.writeDecimal(UInt64(heartbeat.milliseconds), into: &buffer)
    buffer.writeStaticString("}\n")
    SSEText.writeRetry(after: retry, into: &buffer)
    SSEText.writeID(cursor, into: &buffer)
    SSEText.endEvent(into: &buffer)
  }

  /// Records `from` up to `to` of a shard are gone, unread.
  static func writeGap(
    shard: Int, from: Offset, to: Offset, at cursor: Cursor, into buffer: inout ByteBuffer
  ) {
    buffer.writeStaticString("event: gap\ndata: {\"shard\":")
    JSONText.writeDecimal(UInt64(shard), into: &buffer)
    buffer.writeStaticString(",\"from\":")
    JSONText.writeDecimalString(from.rawValue, into: &buffer)
    buffer.writeStaticString(",\"to\":")
    JSONText.writeDecimalString(to.rawValue, into: &buffer)
    buffer.writeStaticString(",\"reason\":\"trimmed\"}\n")
    SSEText.writeID(cursor, into: &buffer)
    SSEText.endEvent(into: &buffer)
  }

  /// The place moved but nothing matched.
  static func writeCheckpoint(
    isUpToDate: Bool, at cursor: Cursor, into buffer: inout ByteBuffer
  ) {
    buffer.writeStaticString(
      isUpToDate
        ? "event: checkpoint\ndata: {\"up_to_date\":true}\n"
        : "event: checkpoint\ndata: {\"up_to_date\":false}\n")
    SSEText.writeID(cursor, into: &buffer)
    SSEText.endEvent(into: &buffer)
  }

  /// The problem document; the client comes back after `retry` to where it was.
  static func writeProblem(
    _ problem: Problem, requestID: String, retry: Duration, into buffer: inout ByteBuffer
  ) {
    buffer.writeStaticString("event: problem\ndata: ")
    problem.write(into: &buffer, requestID: requestID)
    buffer.writeInteger(UInt8(ascii: "\n"))
    SSEText.writeRetry(after: retry, into: &buffer)
    SSEText.endEvent(into: &buffer)
  }

  /// The last event. Whoever comes back with its id is answered 204, which tells a browser to stay away.
  static func writeEnd(_ reason: LiveEnd, at cursor: Cursor, into buffer: inout ByteBuffer) {
    precondition(cursor.isEnded)
    buffer.writeStaticString("event: end\ndata: {\"reason\":\"")
    buffer.writeString(reason.rawValue)
    buffer.writeStaticString("\"}\n")
    SSEText.writeID(cursor, into: &buffer)
    SSEText.endEvent(into: &buffer)
  }

  static func heartbeat(_ shape: LiveShape) -> BodyChunk {
    BodyChunk(bytesHint: 16) { buffer in
      switch shape {
      case .events: SSEText.writeComment("hb", into: &buffer)
      case .lines: buffer.writeInteger(UInt8(ascii: "\n"))
      }
    }
  }
}

extension Exchange {
  /// Says what went wrong as the last event of a stream of them; the client comes back after `retry`.
  func finish(_ problem: Problem, retry: Duration) {
    write(
      BodyChunk(bytesHint: 512) { buffer in
        LiveText.writeProblem(problem, requestID: requestID, retry: retry, into: &buffer)
      })
    finish()
  }
}
