// Reads everything in a data directory and checks every checksum: databases, write-ahead logs, segments.
import Wire

extension StoreInspector {
  /// - Parameter progress: called as bytes of segments are read: how many of how many.
  public func verify(progress: (_ done: Int, _ total: Int) -> Void) -> StoreVerification {
    var verification = StoreVerification()
    verification.server = server
    let catalog = loadCatalog(&verification.findings)
    verification.shardNames = catalog?.shardNames ?? [:]
    checkDatabase(DatabaseCopies.catalog, &verification.findings)
    let lanes = loadLanes(catalog, &verification.findings)
    for lane in lanes {
      checkDatabase(DatabaseCopies.checkpoint(lane.number), &verification.findings)
    }
    let shards = lanes.flatMap(\.order)
    checkShards(shards, catalog, &verification.findings)
    let total = shards.reduce(0) { $0 + $1.segments.reduce(0) { $0 + $1.bytes } }
    var done = 0
    var missing: [SegmentCheckpoint] = []
    progress(0, total)
    for shard in shards {
      verification.logFrames += shard.recent.count
      for segment in shard.segments {
        let before = done
        check(segment, &verification, &missing) { bytes in
          done += bytes
          progress(done, total)
        }
        // Whatever could not be read is done with as well.
        done = before + segment.bytes
      }
    }
    progress(total, total)
    verification.findings += confirmed(missing)
    return verification
  }

  private func checkDatabase(_ name: String, _ findings: inout [StoreFinding]) {
    // What could not even be loaded was told already.
    guard !findings.contains(where: { $0.file == name }) else { return }
    do throws(MetaError) {
      let database = try SQLiteDatabase(path: try databasePath(name), readOnly: true)
      defer { database.close() }
      findings += try database.faults().map { .damage(name, $0) }
    } catch {
      findings.append(.damage(name, "it cannot be checked: \(error)"))
    }
  }

  /// What the checkpoints say must make sense: segments follow one another from the earliest record to the tail.
  private func checkShards(
    _ shards: [ShardLog], _ catalog: CatalogContents?, _ findings: inout [StoreFinding]
  ) {
    let live = catalog?.liveShards
    for shard in shards {
      if let live, !live.contains(shard.id) {
        findings.append(
          .note(
            SegmentFiles.directory(shard.id),
            "what it belonged to was deleted; the next start of a server removes it"))
      }
      let directory = SegmentFiles.directory(shard.id)
      for (one, other) in zip(shard.segments, shard.segments.dropFirst())
      where one.endOffset != other.baseOffset {
        findings.append(
          .damage(
            directory,
            "a segment ends with offset \(one.endOffset), the next begins with \(other.baseOffset)")
        )
      }
      let logStart = shard.recent.first?.base ?? shard.tail
      if let last = shard.segments.last, last.endOffset != logStart {
        findings.append(
          .damage(directory, "segments end with \(last.endOffset), the log goes on at \(logStart)"))
      }
      if let first = shard.segments.first, first.baseOffset > shard.earliest {
        findings.append(
          .damage(
            directory, "records \(shard.earliest) to \(first.baseOffset) are in no segment"))
      }
    }
  }

  private func check(
    _ segment: SegmentCheckpoint, _ verification: inout StoreVerification,
    _ missing: inout [SegmentCheckpoint], _ progress: (Int) -> Void
  ) {
    let path = SegmentFiles.records(segment.shard, segment.baseOffset)
    do throws(DiskError) {
      let file = try disk.open(path, create: false)
      defer { file.close() }
      var check = SegmentCheck(segment, in: file)
      try check.run(progress)
      verification.segments += 1
      verification.frames += check.frames
      verification.records += check.records
      verification.bytes += segment.bytes
      for damage in check.damages {
        let losses = [
          RecordLoss(shard: segment.shard, offsets: damage.lost, bytes: damage.bytes)
        ]
        verification.findings.append(
          .damage(
            path, at: damage.position, damage.reason, damage.lost.isEmpty ? [] : losses))
      }
    } catch {
      guard error.kind != .notFound else { return missing.append(segment) }
      verification.findings.append(
        .damage(path, "it cannot be read: errno \(error.code)"))
    }
  }
}
