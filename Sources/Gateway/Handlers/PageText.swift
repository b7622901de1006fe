// The body of a page while it grows, within its limits of records and bytes.
import NIOCore
import Wire

struct PageText {
  private let form: ReadForm
  private let recordsMax: Int
  private let bytesMax: Int
  let filter: RecordFilter
  private var buffer: ByteBuffer
  private(set) var records = 0
  private(set) var isFull = false
  /// A bit for each shard that holds nothing more before `until`.
  var finishedSlots: UInt64 = 0
  /// One shard's part of a turn.
  let turnRecordsMax: Int
  let turnBytesMax: Int

  init(_ query: ReadQuery, shardCount: Int) {
    form = query.form
    recordsMax = query.limit ?? ReadQuery.limitDefault
    bytesMax = query.bytesMax ?? ReadQuery.bytesMaxDefault
    filter = RecordFilter(key: query.key, remaining: nil, until: query.until)
    turnRecordsMax = max(1, recordsMax / shardCount)
    turnBytesMax = max(4096, bytesMax / shardCount)
    buffer = ByteBufferAllocator().buffer(capacity: 4096)
    if form == .page { buffer.writeStaticString("{\"records\":[") }
  }

  var recordsLeft: Int { recordsMax - records }
  var bytesLeft: Int { max(0, bytesMax - buffer.readableBytes) }
  func isFinished(_ slot: Int) -> Bool { finishedSlots & (1 << UInt64(slot)) != 0 }

  /// Adds `record`; false, and the page is full, if it has no room for it. The first one always has.
  mutating func append(_ record: RecordView, _ text: inout RecordText) -> Bool {
    let start = buffer.writerIndex
    switch form {
    case .raw(let framing): RawText.write(record.value, framing, into: &buffer)
    case .lines, .events:
      text.write(record, into: &buffer)
      buffer.writeInteger(UInt8(ascii: "\n"))
    case .page:
      if records > 0 { buffer.writeInteger(UInt8(ascii: ",")) }
      text.write(record, into: &buffer)
    }
    if buffer.writerIndex > bytesMax, records > 0 {
      buffer.moveWriterIndex(to: start)
      isFull = true
      return false
    }
    records += 1
    if records == recordsMax || buffer.writerIndex >= bytesMax { isFull = true }
    return true
  }

  mutating func finish(_ cursor: Cursor, isUpToDate: Bool) -> ByteBuffer {
    if form == .page {
      buffer.writeStaticString("],\"cursor\":\"")
      cursor.write(into: &buffer)
      buffer.writeStaticString(isUpToDate ? "\",\"up_to_date\":true}" : "\",\"up_to_date\":false}")
    }
    return buffer
  }
}
