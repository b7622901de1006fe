// Reads a lane's write-ahead log after a stop or a crash and decides what of it holds.
//
// The rules: groups follow one another without gaps in their sequence. A file's groups end where a file of a higher
// generation begins anew. A group that is not whole ends the log if nothing says that it was once durable: no
// header of its file or of a later one was written after it. Otherwise it is damage.
import NIOCore
import Wire

/// A frame found in the log, and where.
struct ReplayedFrame {
  var header: FrameHeader
  var address: WALAddress
}

struct WALRecovery {
  let disk: any Disk
  let lane: Int
  let salt: UInt64
  let block: Int
  /// Groups up to this one are in segments and need not be read.
  let checkpointed: UInt64

  struct File {
    var slot: Int
    var generation: UInt64
    /// Its first group's sequence number.
    var first: UInt64
  }

  /// A place where acknowledged records cannot be read.
  struct Damage {
    var file: String
    var position: Int
    var reason: String
    /// Frames from there on, as far as they can be told: what goes if the log is cut there.
    var lost: [FrameHeader] = []
    /// Bytes from there on that belong to no frame that can be told.
    var unknownBytes = 0
    /// Groups behind it that are not whole either.
    var further: [LogDamage.Place] = []
  }

  /// The group that was written last; maybe never synced.
  struct LastGroup {
    var sequence: UInt64
    var frames: [ReplayedFrame]
    /// The frames' bytes, one after another.
    var payload: ByteBuffer
  }

  struct Outcome {
    /// Files with groups, by generation.
    var files: [File] = []
    /// Files without any.
    var blankSlots: [Int] = []
    /// The last whole group beyond the checkpoint. Its frames were not handed over.
    var last: LastGroup?
    /// One past the last whole group.
    var nextSequence: UInt64
    /// Above every number that any header bears.
    var sequenceCeiling: UInt64
    var nextGeneration: UInt64 = 1
    var damage: Damage?
  }

  /// Calls `replay` with every frame beyond the checkpoint, in order, but for those of the last group; stops at
  /// damage, which the outcome then tells.
  /// - Parameter refuse: asked about each whole group in order: why it cannot follow what came before, or nil.
  func run(
    refuse: ([ReplayedFrame]) -> String?, _ replay: (ReplayedFrame) -> Void
  ) throws(StoreOpenError) -> Outcome {
    var outcome = Outcome(nextSequence: checkpointed + 1, sequenceCeiling: checkpointed + 1)
    try survey(&outcome)
    let files = outcome.files
    var walk = Walk(expected: nil, last: nil)
    for (index, file) in files.enumerated() {
      // Later files say anew what this one has from `limit` on.
      let limit = files[(index + 1)...].map(\.first).min() ?? .max
      if limit <= checkpointed + 1 || limit <= file.first { continue }
      if walk.expected == nil, file.first > checkpointed + 1 {
        // Nothing here is damaged, so nothing here may be cut: the checkpoints are an older copy.
        throw .mismatched(
          file: path(file),
          "it begins with log entry \(file.first), the lane's checkpoints end with \(checkpointed)")
      }
      outcome.damage = try read(file, limit: limit, &walk, &outcome, refuse, replay)
      if outcome.damage != nil {
        try tellLoss(&outcome, from: index)
        break
      }
    }
    outcome.nextSequence = max(walk.expected ?? 0, checkpointed + 1)
    outcome.last = walk.last
    return outcome
  }

  // MARK: What files there are

  /// Finds each file's generation and first group; a file without a good first header is looked through.
  private func survey(_ outcome: inout Outcome) throws(StoreOpenError) {
    var headless: [(slot: Int, headers: [GroupHeader])] = []
    var torn: [(file: File, beneath: [GroupHeader])] = []
    do {
      for slot in try disk.list(LaneFiles.directory(lane)).compactMap(LaneFiles.slot).sorted() {
        guard let first = try header(slot) else {
          headless.append((slot, try headers(in: contents(slot), from: 0).map(\.header)))
          continue
        }
        outcome.note(first)
        let file = File(slot: slot, generation: first.generation, first: first.sequence)
        if first.sequence > checkpointed, let beneath = try headersBeneath(first, slot) {
          torn.append((file, beneath))
        } else {
          outcome.files.append(file)
        }
      }
    } catch {
      throw .disk(error)
    }
    for (file, beneath) in torn {
      // Whoever began a later file with a later group knew this one to be durable: then it is damaged, not torn.
      let wasDurable = outcome.files.contains {
        $0.generation > file.generation && $0.first > file.first
      }
      if wasDurable { outcome.files.append(file) } else { headless.append((file.slot, beneath)) }
    }
    for (slot, headers) in headless {
      for header in headers { outcome.note(header) }
      // Whoever recycles a file has a checkpoint of all its groups, or a later file says them anew.
      let first = headers.max { $0.generation < $1.generation }.flatMap { newest in
        headers.first { $0.generation == newest.generation }
      }
      let isNeeded = headers.contains { header in
        header.sequence > checkpointed && header.generation == first?.generation
          && !outcome.files.contains {
            $0.generation > header.generation && $0.first <= header.sequence
          }
      }
      if isNeeded, let first {
        // Its beginning is damaged: what is before its first good header was durable when that was written.
        outcome.files.append(
          File(slot: slot, generation: first.generation, first: first.durable))
      } else {
        outcome.blankSlots.append(slot)
      }
    }
    outcome.files.sort { $0.generation < $1.generation }
    for (one, next) in zip(outcome.files, outcome.files.dropFirst())
    where one.generation == next.generation {
      throw .mismatched(file: path(next), "it has the generation of \(path(one))")
    }
  }

  private func path(_ file: File) -> String { LaneFiles.log(lane, slot: file.slot) }

  private func header(_ slot: Int) throws(DiskError) -> GroupHeader? {
    let file = try disk.open(LaneFiles.log(lane, slot: slot), create: false)
    defer { file.close() }
    var bytes = ByteBuffer()
    _ = try file.read(at: 0, count: GroupHeader.bytes, into: &bytes)
    return GroupHeader(in: bytes, at: 0, lane: lane, salt: salt)
  }

  /// The headers of a file's former use, if its first group was being written when power went: nothing of it was ever
  /// durable, and an earlier file may hold the same group whole, as when the last start was cut off while writing the
  /// last group anew. nil if the file counts.
  private func headersBeneath(_ first: GroupHeader, _ slot: Int) throws(DiskError)
    -> [GroupHeader]?
  {
    let size = GroupHeader.groupBytes(payloadBytes: first.payloadBytes, block: block)
    guard first.flaw(in: try contents(slot, bytesMax: size), at: 0, block: block) != nil else {
      return nil
    }
    let bytes = try contents(slot)
    let others = headers(in: bytes, from: block).map(\.header)
    let goesOn = others.contains {
      $0.generation == first.generation && $0.durable >= first.sequence
    }
    return goesOn ? nil : others.filter { $0.generation != first.generation }
  }

  private func contents(_ slot: Int, bytesMax: Int = .max) throws(DiskError) -> ByteBuffer {
    let file = try disk.open(LaneFiles.log(lane, slot: slot), create: false)
    defer { file.close() }
    var bytes = ByteBuffer()
    _ = try file.read(at: 0, count: min(try file.size(), bytesMax), into: &bytes)
    return bytes
  }

  /// Every good header from `position` on, of whatever generation.
  private func headers(in bytes: ByteBuffer, from position: Int) -> [(
    position: Int, header: GroupHeader
  )] {
    stride(from: position, to: bytes.writerIndex, by: block).compactMap { position in
      GroupHeader(in: bytes, at: position, lane: lane, salt: salt).map { (position, $0) }
    }
  }

  // MARK: Group by group

  private struct Walk {
    /// The next group's sequence number; nil before the first file.
    var expected: UInt64?
    var last: LastGroup?
  }

  private func read(
    _ file: File, limit: UInt64, _ walk: inout Walk, _ outcome: inout Outcome,
    _ refuse: ([ReplayedFrame]) -> String?, _ replay: (ReplayedFrame) -> Void
  ) throws(StoreOpenError) -> Damage? {
    let bytes: ByteBuffer
    do { bytes = try contents(file.slot) } catch { throw .disk(error) }
    var position = 0
    var expected = file.first
    defer { walk.expected = max(walk.expected ?? 0, expected) }
    while expected < limit {
      var flaw = "no group begins here"
      if let header = GroupHeader(in: bytes, at: position, lane: lane, salt: salt),
        header.generation == file.generation, header.sequence == expected
      {
        outcome.note(header)
        let size = GroupHeader.groupBytes(payloadBytes: header.payloadBytes, block: block)
        if expected <= checkpointed, position + size <= bytes.writerIndex {
          position += size
          expected += 1
          continue
        }
        switch group(header, in: bytes, at: position, of: file) {
        case .success(let group):
          if let reason = refuse(group.frames) {
            return Damage(file: path(file), position: position, reason: reason)
          }
          if let before = walk.last { for frame in before.frames { replay(frame) } }
          walk.last = group
          position += size
          expected += 1
          continue
        case .failure(let reason): flaw = reason.text
        }
      }
      // Not whole. Was anything of this file written after it?
      let later = headers(in: bytes, from: position + block).first {
        $0.header.generation == file.generation && $0.header.durable >= expected
          && $0.header.sequence < limit
      }
      if let later {
        outcome.note(later.header)
        guard later.header.durable <= checkpointed else {
          return Damage(file: path(file), position: position, reason: flaw)
        }
        position = later.position
        expected = later.header.sequence
        continue
      }
      let goesOnElsewhere = limit < .max
      return goesOnElsewhere
        ? Damage(file: path(file), position: position, reason: flaw) : nil
    }
    return nil
  }

  private struct Flaw: Error { var text: String }

  /// The frames of a group, if it is whole.
  private func group(
    _ header: GroupHeader, in bytes: ByteBuffer, at position: Int, of file: File
  ) -> Result<LastGroup, Flaw> {
    if let flaw = header.flaw(in: bytes, at: position, block: block) {
      return .failure(Flaw(text: flaw))
    }
    let start = position + GroupHeader.bytes
    var group = LastGroup(
      sequence: header.sequence, frames: [],
      payload: bytes.getSlice(at: start, length: header.payloadBytes)!)
    var done = 0
    while done < header.payloadBytes {
      do {
        let frame = try group.payload.withUnsafeReadableBytes { raw throws(FrameDamage) in
          let rest = UnsafeRawBufferPointer(rebasing: raw[done...])
          let frame = try FrameHeader(checking: rest)
          try frame.checkPayload(rest)
          return frame
        }
        let address = WALAddress(generation: file.generation, position: start + done)
        group.frames.append(ReplayedFrame(header: frame, address: address))
        done += frame.frameBytes
      } catch {
        return .failure(Flaw(text: "the frame at \(start + done): \(error)"))
      }
    }
    return .success(group)
  }

  // MARK: What is lost

  /// Finds the frames that lie behind the damage, so that it can be said what cutting the log there drops.
  private func tellLoss(_ outcome: inout Outcome, from index: Int) throws(StoreOpenError) {
    guard var damage = outcome.damage else { return }
    for (place, file) in outcome.files.enumerated().dropFirst(index) {
      let bytes: ByteBuffer
      do { bytes = try contents(file.slot) } catch { throw .disk(error) }
      for (_, header) in headers(in: bytes, from: 0) { outcome.note(header) }
      let limit = outcome.files[(place + 1)...].map(\.first).min() ?? .max
      salvage(
        bytes, from: place == index ? damage.position : 0, of: file, limit: limit, into: &damage)
    }
    outcome.damage = damage
  }

  /// Takes stock of one file's groups from `position` on: of whole ones, of broken ones, and of what lies where a
  /// header should be.
  private func salvage(
    _ bytes: ByteBuffer, from position: Int, of file: File, limit: UInt64,
    into damage: inout Damage
  ) {
    var position = position
    while position < bytes.writerIndex {
      var end = bytes.writerIndex
      var frames = position..<end
      if let header = GroupHeader(in: bytes, at: position, lane: lane, salt: salt) {
        // A former life of the file begins here, or what a later file says anew.
        guard header.generation == file.generation, header.sequence < limit else { return }
        let isFirst = path(file) == damage.file && position == damage.position
        if !isFirst, let flaw = header.flaw(in: bytes, at: position, block: block) {
          damage.further.append(
            LogDamage.Place(file: path(file), position: position, reason: flaw))
        }
        end = position + GroupHeader.groupBytes(payloadBytes: header.payloadBytes, block: block)
        let start = position + GroupHeader.bytes
        frames = min(start, bytes.writerIndex)..<min(start + header.payloadBytes, bytes.writerIndex)
      } else if let next = headers(in: bytes, from: position + block).first {
        end = next.position
        frames = position..<end
      }
      bytes.withUnsafeReadableBytes {
        Self.salvage(UnsafeRawBufferPointer(rebasing: $0[frames]), into: &damage)
      }
      position = end
    }
  }

  /// Every frame whose head can be read, wherever it begins. Zeros and a group's own header and trailer are nothing.
  private static func salvage(_ bytes: UnsafeRawBufferPointer, into damage: inout Damage) {
    var position = 0
    var unknown = 0
    var knownEnd = 0
    while position < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
      if rest[0] == UInt8(truncatingIfNeeded: FrameLayout.magic),
        let header = try? FrameHeader(checking: rest), header.frameBytes <= rest.count
      {
        damage.lost.append(header)
        knownEnd = position + header.frameBytes
        // The length is under the payload's checksum alone.
        let isWhole = (try? header.checkPayload(rest)) != nil
        position += isWhole ? header.frameBytes : 1
      } else {
        if rest[0] != 0, position >= knownEnd { unknown += 1 }
        position += 1
      }
    }
    damage.unknownBytes += max(0, unknown - GroupHeader.bytes - GroupHeader.trailerBytes)
  }
}

extension WALRecovery.Outcome {
  /// No later group or file may bear a number that was borne before.
  fileprivate mutating func note(_ header: GroupHeader) {
    nextGeneration = max(nextGeneration, header.generation + 1)
    sequenceCeiling = max(sequenceCeiling, header.sequence + 1)
  }
}
