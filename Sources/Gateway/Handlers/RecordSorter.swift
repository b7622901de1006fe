// Sorts the records of one request into one frame for each shard they belong to.
import Engine
import NIOCore
import Wire

/// What a record has beside its value, gathered in one buffer that the next record uses again.
struct RecordParts {
  private var bytes: [UInt8] = []
  private var key: Range<Int>?
  private var contentType: Range<Int>?
  private var headers: [(name: Range<Int>, value: Range<Int>)] = []

  /// Bytes that count towards the record's limit.
  var byteCount: Int { bytes.count }
  var headerCount: Int { headers.count }
  var isEmpty: Bool { key == nil && contentType == nil && headers.isEmpty }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    headers.removeAll(keepingCapacity: true)
    key = nil
    contentType = nil
  }

  mutating func setKey(_ text: some Sequence<UInt8>) { key = add(text) }
  mutating func setContentType(_ text: some Sequence<UInt8>) { contentType = add(text) }

  /// False if a header of this name is there already.
  mutating func addHeader(_ name: some Sequence<UInt8>, _ value: some Sequence<UInt8>) -> Bool {
    let name = add(name)
    for header in headers where bytes[header.name] == bytes[name] { return false }
    headers.append((name, add(value)))
    return true
  }

  private mutating func add(_ text: some Sequence<UInt8>) -> Range<Int> {
    let start = bytes.count
    bytes.append(contentsOf: text)
    return start..<bytes.count
  }

  /// Lends the parts as a frame's builder takes them.
  func withAttributes<Result>(_ body: (RecordAttributes) -> Result) -> Result {
    // A pointer even without bytes: an empty key is a key.
    bytes.isEmpty
      ? [0].withUnsafeBytes { body(attributes(UnsafeRawBufferPointer(rebasing: $0[..<0]))) }
      : bytes.withUnsafeBytes { body(attributes($0)) }
  }

  private func attributes(_ bytes: UnsafeRawBufferPointer) -> RecordAttributes {
    func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(rebasing: bytes[range])
    }
    var attributes = RecordAttributes()
    attributes.key = key.map(slice)
    attributes.contentType = contentType.map(slice)
    attributes.headers = headers.map { (slice($0.name), slice($0.value)) }
    return attributes
  }
}

/// Takes records in the request's order; those of one shard keep it.
struct RecordSorter {
  private let stream: Stream
  /// Where records without a key go; on a shard's own URL all of them.
  private let home: Shard
  private let isFixed: Bool
  private let extras: FrameExtras
  private let limits: RequestLimits
  private let bytesHint: Int
  private var homeBuilder: FrameBuilder
  /// By shard index; empty until a key leads elsewhere.
  private var others: [FrameBuilder?] = []
  private(set) var count = 0

  /// - Parameter isFixed: keys do not choose the shard.
  init(
    _ stream: Stream, home: Shard, isFixed: Bool, extras: FrameExtras, limits: RequestLimits,
    bytesHint: Int
  ) {
    self.stream = stream
    self.home = home
    self.isFixed = isFixed || stream.shards.count == 1
    self.extras = extras
    self.limits = limits
    self.bytesHint = bytesHint
    homeBuilder = FrameBuilder(extras: extras, valuesBytesHint: bytesHint)
  }

  /// Adds a JSON value (in one line) that has nothing beside it.
  mutating func addPlain(_ value: UnsafeRawBufferPointer) throws(Problem) {
    try check(bytes: value.count)
    homeBuilder.appendPlain(value)
  }

  /// Adds values that lie as a frame wants them; their limits were checked.
  mutating func addPlainRegion(_ region: UnsafeRawBufferPointer, lengths: [UInt32]) {
    count += lengths.count
    homeBuilder.appendPlainRegion(region, lengths: lengths)
  }

  /// Adds a value with its parts.
  mutating func add(
    _ value: UnsafeRawBufferPointer, _ parts: borrowing RecordParts
  ) throws(Problem) {
    try check(bytes: value.count + parts.byteCount)
    guard parts.headerCount <= limits.recordHeadersMax else {
      throw Problem(
        .recordTooLarge,
        "Record \(count - 1) has \(parts.headerCount) headers; at most "
          + "\(limits.recordHeadersMax) are taken.",
        facts: Problem.limit("record_headers_max", limits.recordHeadersMax)
          + [("record", .number(count - 1))])
    }
    parts.withAttributes { place(value, $0) }
  }

  /// Adds a JSON value with a key and nothing else.
  mutating func add(
    _ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer
  ) throws(Problem) {
    try check(bytes: value.count + key.count)
    var attributes = RecordAttributes()
    attributes.key = key
    place(value, attributes)
  }

  private mutating func place(_ value: UnsafeRawBufferPointer, _ attributes: RecordAttributes) {
    guard !isFixed, let key = attributes.key else { return homeBuilder.append(value, attributes) }
    let shard = stream.shard(forKeyHash: KeyHash.xxh64(key))
    guard shard !== home else { return homeBuilder.append(value, attributes) }
    if others.isEmpty { others = Array(repeating: nil, count: stream.shards.count) }
    if others[shard.index] == nil {
      others[shard.index] = FrameBuilder(
        extras: extras, valuesBytesHint: min(bytesHint, 2 * bytesHint / stream.shards.count + 256))
    }
    others[shard.index]!.append(value, attributes)
  }

  private mutating func check(bytes: Int) throws(Problem) {
    guard bytes <= limits.recordBytesMax else {
      throw Problem(recordOver: limits, bytes: bytes, facts: [("record", .number(count))])
    }
    guard count < limits.batchRecordsMax else { throw Problem(batchOver: limits) }
    count += 1
  }

  /// The frames and where they go, by shard.
  mutating func finish() -> [(shard: Shard, draft: FrameDraft)] {
    if others.isEmpty { return [(home, homeBuilder.finish())] }
    var drafts: [(shard: Shard, draft: FrameDraft)] = []
    for shard in stream.shards {
      if shard === home {
        if homeBuilder.count > 0 { drafts.append((shard, homeBuilder.finish())) }
      } else if var builder = others[shard.index].take() {
        drafts.append((shard, builder.finish()))
      }
    }
    return drafts
  }
}

extension Problem {
  init(recordOver limits: RequestLimits, bytes: Int, facts: [(name: String, value: Fact)]) {
    self.init(
      .recordTooLarge,
      "A record with its key and headers has at most \(limits.recordBytesMax) bytes, not \(bytes).",
      facts: Self.limit("record_bytes_max", limits.recordBytesMax) + facts)
  }

  init(batchOver limits: RequestLimits) {
    self.init(
      .batchTooLarge, "A request has at most \(limits.batchRecordsMax) records.",
      facts: Self.limit("batch_records_max", limits.batchRecordsMax))
  }
}
