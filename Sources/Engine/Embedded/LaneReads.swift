// Reading a lane's shards: from memory if the frames are there, else from the log's files or from segments.
import Wire

extension Lane {
  func read(
    _ id: ShardID, from: Offset, bytesMax: Int, on target: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) {
    switch place(of: from, in: id) {
    case .outcome(let outcome): target.execute { reply(outcome) }
    case .entries(let entries, let end):
      if let chunk = cache.chunk(entries, end: end, bytesMax: bytesMax) {
        counters.readsFromMemory.add(1)
        return target.execute { reply(.frames(chunk)) }
      }
      readLog(entries, bytesMax: bytesMax, on: target, reply: reply)
    case .segment(let segment):
      counters.readsFromSegments.add(1)
      let (reader, lane) = (parts.reader, confined)
      nextReader(segment.shard).execute {
        do throws(SegmentReadError) {
          let chunk = try reader.read(segment, from: from, bytesMax: bytesMax)
          target.execute { reply(.frames(chunk)) }
        } catch {
          switch error {
          case .failed(let error): target.execute { reply(.failed(error)) }
          case .gone:
            // Trimmed while the reader was on its way, or lost: the lane knows which.
            lane.executor.execute {
              let missing = lane.value.whyMissing(segment, from)
              target.execute { reply(missing) }
            }
          }
        }
      }
    }
  }

  func find(
    _ time: Timestamp, in id: ShardID, on target: any Executor,
    reply: @escaping @Sendable (Result<Offset, LogError>) -> Void
  ) {
    guard !isClosed else { return target.execute { reply(.failure(.gone)) } }
    guard let shard = shards[id] else { return target.execute { reply(.success(.zero)) } }
    let earliest = shard.earliest
    let index = shard.segments.partitionIndex { $0.lastTimestamp >= time }
    guard index < shard.segments.count else {
      let entries = shard.flushing + shard.recent
      let entry = entries.partitionIndex { $0.timestamp >= time }
      let offset = entry < entries.count ? max(entries[entry].base, earliest) : shard.tail
      return target.execute { reply(.success(offset)) }
    }
    let segment = shard.segments[index]
    let (reader, lane) = (parts.reader, confined)
    nextReader(id).execute {
      do throws(SegmentReadError) {
        let offset = max(try reader.find(time, in: segment), earliest)
        target.execute { reply(.success(offset)) }
      } catch {
        switch error {
        case .failed(let error): target.execute { reply(.failure(error)) }
        case .gone:
          lane.executor.execute {
            let last = Offset(segment.endOffset.rawValue - 1)
            if case .failed(let error) = lane.value.whyMissing(segment, last) {
              target.execute { reply(.failure(error)) }
            } else {
              lane.value.find(time, in: id, on: target, reply: reply)
            }
          }
        }
      }
    }
  }

  // MARK: Where records are

  private enum Place {
    case outcome(ReadOutcome)
    /// Not in segments; the last entry ends at `end`.
    case entries(ArraySlice<FrameEntry>, end: Offset)
    case segment(SegmentCheckpoint)
  }

  private func place(of from: Offset, in id: ShardID) -> Place {
    if isClosed { return .outcome(.failed(.gone)) }
    guard let shard = shards[id] else {
      return .outcome(from == .zero ? .atTail : .beyondTail(.zero))
    }
    if from > shard.tail { return .outcome(.beyondTail(shard.tail)) }
    if from == shard.tail { return .outcome(.atTail) }
    if from < shard.earliest { return .outcome(.trimmed(earliest: shard.earliest)) }
    if let first = shard.recent.first, from >= first.base {
      return .entries(Self.entries(shard.recent, from: from), end: shard.tail)
    }
    if let first = shard.flushing.first, from >= first.base {
      let end = shard.recent.first?.base ?? shard.tail
      return .entries(Self.entries(shard.flushing, from: from), end: end)
    }
    let index = shard.segments.partitionIndex { $0.endOffset > from }
    precondition(
      index < shard.segments.count && shard.segments[index].baseOffset <= from,
      "shard \(id): offset \(from) is nowhere")
    return .segment(shard.segments[index])
  }

  private static func entries(_ entries: [FrameEntry], from: Offset) -> ArraySlice<FrameEntry> {
    entries[(entries.partitionIndex { $0.base > from } - 1)...]
  }

  private func readLog(
    _ entries: ArraySlice<FrameEntry>, bytesMax: Int, on target: any Executor,
    reply: @escaping @Sendable (ReadOutcome) -> Void
  ) {
    counters.readsFromLog.add(1)
    var bytes = 0
    let wanted = entries.prefix { entry in
      defer { bytes += Int(entry.byteCount) }
      return bytes == 0 || bytes + Int(entry.byteCount) <= bytesMax
    }
    let reader = log.pin()
    let lane = confined
    nextReader(ShardID(UInt64(parts.number))).execute {
      let outcome: ReadOutcome
      do throws(LogError) {
        outcome = .frames(try reader.chunk(wanted))
      } catch {
        outcome = .failed(error)
      }
      lane.executor.execute { lane.value.unpin(reader) }
      target.execute { reply(outcome) }
    }
  }

  /// What to say to one who wanted `from` of a segment whose file is not there.
  private func whyMissing(_ segment: SegmentCheckpoint, _ from: Offset) -> ReadOutcome {
    guard !isClosed, let shard = shards[segment.shard] else { return .failed(.gone) }
    if from < shard.earliest { return .trimmed(earliest: shard.earliest) }
    return .failed(
      .damaged(
        file: SegmentFiles.records(segment.shard, segment.baseOffset), position: 0,
        "the file is missing"))
  }

  /// A shard's reads follow one another, so that one who reads on finds the place where he stopped.
  private func nextReader(_ shard: ShardID) -> any Executor {
    parts.readers[Int(shard.rawValue / 7 % UInt64(parts.readers.count))]
  }
}

// MARK: The end

extension Lane {
  struct Closing {
    var reply: (@Sendable () -> Void)?
    var hasTriedCheckpoint = false
  }

  /// Commits what is queued, makes a last checkpoint and lets go of everything.
  func close(_ reply: @escaping @Sendable () -> Void) {
    precondition(!isClosing, "a store is closed once")
    closing.reply = reply
    queueFlush()
  }

  func goOnClosing() {
    guard isClosing, !isClosed, !isFlushQueued else { return }
    if !staged.isEmpty { startCommit() }
    guard flight == nil, !checkpointing.isRunning, !log.isMakingFile else { return }
    if !staged.isEmpty {
      // The log is full and the checkpoint that should make room has failed.
      dropStaged(.device("the log is full and cannot be emptied"))
    }
    if !closing.hasTriedCheckpoint {
      closing.hasTriedCheckpoint = true
      startCheckpoint()
      if checkpointing.isRunning { return }
    }
    isClosed = true
    checkpointing.timer?.cancel()
    checkpointing.spaceTimer?.cancel()
    log.files = []
    let (store, reply) = (parts.checkpointer.store, closing.reply!)
    closing.reply = nil
    parts.checkpointExecutor.execute {
      store.close()
      reply()
    }
  }
}
