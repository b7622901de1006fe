// Appends to a subscription's journal: records of one set in a row, a few frames on their way at once, all in order.
import NIOCore
import Wire

/// On the journal's executor. When something fails it is over: whatever was not committed is void, and the owner starts
/// anew from what the journal holds.
final class JournalWriter {
  /// One set of records: all of them durable, or the writer fails.
  private struct Frame {
    var draft: FrameDraft
    /// The first record's place, once it has one; of the set that this frame belongs to.
    var isFirst: Bool
    var isLast: Bool
    var committed: ((Offset) -> Void)?
  }

  /// While these are on their way, sets are better made larger than sent.
  private static let framesMax = 4
  /// When the queue to disk is full.
  private static let retryDelay = Duration.milliseconds(5)

  private let engine: Engine
  private let shard: Shard
  private let snapshotAfterBytes: Int
  private let failed: (AppendError) -> Void
  private var unsent: [Frame] = []
  private var sent: [Frame] = []
  private var setStart = Offset.zero
  private var isSubmitting = false
  private var isRefused = false
  private var isOver = false
  /// Bytes that a reader has to go through beside the last snapshot.
  private(set) var bytesSinceSnapshot: Int
  private(set) var snapshotBytes: Int

  /// - Parameter failed: called once, at most.
  init(
    _ engine: Engine, _ shard: Shard, bytesSinceSnapshot: Int, snapshotBytes: Int,
    snapshotAfterBytes: Int, failed: @escaping (AppendError) -> Void
  ) {
    self.engine = engine
    self.shard = shard
    self.failed = failed
    self.bytesSinceSnapshot = bytesSinceSnapshot
    self.snapshotBytes = snapshotBytes
    self.snapshotAfterBytes = snapshotAfterBytes
  }

  /// So much is on its way that the next set had better wait.
  var isFull: Bool { !unsent.isEmpty || sent.count >= Self.framesMax }
  var isIdle: Bool { unsent.isEmpty && sent.isEmpty }

  /// The longest record that fits a frame.
  var recordBytesMax: Int { engine.services.log.frameBytesMax / 2 }

  var isSnapshotDue: Bool { bytesSinceSnapshot > max(snapshotAfterBytes, 2 * snapshotBytes) }

  /// Appends the records of a set; `committed` is called with the first one's place once all are durable.
  func append(
    _ records: [ByteBuffer], isSnapshot: Bool = false, committed: @escaping (Offset) -> Void
  ) {
    precondition(!records.isEmpty, "a set has a record")
    guard !isOver else { return }
    var bytes = 0
    for (index, record) in records.enumerated() {
      let draft = Self.draft(of: record)
      bytes += draft.byteCount
      let isLast = index == records.count - 1
      unsent.append(
        Frame(
          draft: draft, isFirst: index == 0, isLast: isLast, committed: isLast ? committed : nil))
    }
    if isSnapshot {
      (snapshotBytes, bytesSinceSnapshot) = (bytes, 0)
    } else {
      bytesSinceSnapshot += bytes
    }
    submit()
  }

  /// Nothing more comes of what is on its way.
  func abandon() {
    isOver = true
    unsent = []
    sent = []
  }

  private static func draft(of record: ByteBuffer) -> FrameDraft {
    var builder = FrameBuilder(valuesBytesHint: record.readableBytes + 32)
    let type: StaticString = "application/octet-stream"
    type.withUTF8Buffer { type in
      var attributes = RecordAttributes()
      attributes.contentType = UnsafeRawBufferPointer(type)
      record.withUnsafeReadableBytes { builder.append($0, attributes) }
    }
    return builder.finish()
  }

  private func submit() {
    while let frame = unsent.first, sent.count < Self.framesMax, !isOver {
      unsent.removeFirst()
      sent.append(frame)
      isSubmitting = true
      isRefused = false
      let writer = Confined(self, to: shard.executor)
      engine.append(frame.draft, to: shard, if: .none, on: shard.executor) { result in
        writer.value.answered(result)
      }
      isSubmitting = false
      guard isRefused, !isOver else { continue }
      // Nothing was appended after it, so that the order holds.
      unsent.insert(sent.removeLast(), at: 0)
      shard.executor.schedule(after: Self.retryDelay) { writer.value.submit() }
      return
    }
  }

  private func answered(_ result: Result<Appended, AppendError>) {
    guard !isOver else { return }
    switch result {
    case .success(let appended):
      let frame = sent.removeFirst()
      if frame.isFirst { setStart = appended.offsets.lowerBound }
      frame.committed?(setStart)
      submit()
    case .failure(.busy) where isSubmitting:
      isRefused = true
    case .failure(let error):
      abandon()
      failed(error)
    }
  }
}
