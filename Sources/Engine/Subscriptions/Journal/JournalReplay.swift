// Rebuilds a subscription's state from its journal, page by page.
import NIOCore
import Wire

/// What a journal says, as far as it was read. A value: pages in, a state out.
struct JournalReplay {
  private var replay: DispatchReplay?
  /// A snapshot whose last part is still missing.
  private var parts: [UInt8] = []
  private var nextPart = 0
  private var partsBytes = 0
  /// Bytes of frames: of the last snapshot, and behind it.
  private(set) var snapshotBytes = 0
  private(set) var bytesSinceSnapshot = 0
  /// Where the next page has to begin.
  private(set) var place: Offset

  /// - Parameter first: the state of a subscription whose journal was never cut; nil if it was: then it has to begin
  ///   with a snapshot.
  init(from place: Offset, first: DispatchState?) {
    self.place = place
    replay = first.map { DispatchReplay($0) }
  }

  /// - Throws: where and why the journal cannot be what was written.
  mutating func read(_ chunk: FrameChunk) throws(JournalDamage) {
    var damage: JournalDamage?
    let frameBytes = chunk.byteCount / max(1, chunk.end.distance(from: chunk.start))
    chunk.forEachRecord(from: place) { record in
      do throws(JournalFault) {
        try take(record.value, frameBytes: frameBytes)
        place = record.offset + 1
        return true
      } catch {
        damage = JournalDamage(offset: record.offset, reason: error.description)
        return false
      }
    }
    if let damage { throw damage }
  }

  /// What the whole of it says.
  func state() throws(JournalDamage) -> DispatchState {
    guard let replay else {
      throw JournalDamage(offset: place, reason: "it was trimmed, and no snapshot is left")
    }
    return replay.state
  }

  private mutating func take(
    _ record: UnsafeRawBufferPointer, frameBytes: Int
  ) throws(JournalFault) {
    switch try JournalReader.entry(record) {
    case .changes(let changes):
      // A snapshot that was not finished is none; what it would have held is known from before.
      nextPart = 0
      guard replay != nil else {
        throw JournalFault(position: 0, what: "changes of a state that is not there")
      }
      replay!.apply(changes)
      bytesSinceSnapshot += frameBytes
    case .snapshotPart(let index, let count, let bytes):
      if index == 0 { (parts, nextPart, partsBytes) = ([], 0, 0) }
      guard index == nextPart else {
        throw JournalFault(position: 0, what: "a part of a snapshot out of its order")
      }
      parts += bytes
      nextPart += 1
      partsBytes += frameBytes
      guard nextPart == count else { return }
      replay = DispatchReplay(try JournalReader.state(parts))
      (snapshotBytes, bytesSinceSnapshot) = (partsBytes, 0)
      (parts, nextPart, partsBytes) = ([], 0, 0)
    }
  }
}

/// A journal that cannot be what was written to it.
struct JournalDamage: Error, Equatable {
  /// The record.
  var offset: Offset
  var reason: String
}
