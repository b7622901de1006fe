// Looks at a data directory from outside and changes nothing in it, also beside a running server.
//
// Without a server the directory is locked against one, so that everything is read as it lies; the databases are copied
// elsewhere first, because SQLite writes even when it reads. Beside a server the databases are read in place, as SQLite
// allows, and the write-ahead logs, which change all the time, are left to the server.
import Glibc
import Wire

public final class StoreInspector {
  let disk: PosixDisk
  private let directory: String
  private let copies: DatabaseCopies
  /// Its salt is never used: the manifest has one.
  private let options = StoreOptions(salt: 0)

  /// The server that has the directory, if one runs.
  public var server: PosixDisk.Holder? { disk.server }

  public init(_ directory: String) throws(InspectionFailure) {
    self.directory = directory
    do {
      disk = try PosixDisk(directory, access: .readOnly)
      guard try disk.exists(StoreManifest.path) || disk.exists(LaneFiles.root) else {
        throw InspectionFailure(description: "\(directory) holds no store")
      }
    } catch let failure as InspectionFailure {
      throw failure
    } catch StoreOpenError.disk(let error) {
      throw Self.failure(directory, error)
    } catch let error as DiskError {
      throw Self.failure(directory, error)
    } catch {
      throw InspectionFailure(description: "\(directory): \(error)")
    }
    copies = try DatabaseCopies(of: disk)
  }

  private static func failure(_ directory: String, _ error: DiskError) -> InspectionFailure {
    let reason = error.code == 0 ? "\(error.kind)" : String(cString: strerror(error.code))
    return InspectionFailure(description: "\(directory): \(reason)")
  }

  // MARK: What there is

  public func inspect() -> StoreInspection {
    var inspection = StoreInspection()
    inspection.server = server
    let catalog = loadCatalog(&inspection.findings)
    inspection.shardNames = catalog?.shardNames ?? [:]
    let lanes = loadLanes(catalog, &inspection.findings)
    var shards: [ShardID: StoreInspection.Shard] = [:]
    for lane in lanes {
      inspection.lanes.append(describe(lane))
      for shard in lane.order { shards[shard.id] = describe(shard) }
    }
    func takeShard(_ id: ShardID) -> StoreInspection.Shard {
      shards.removeValue(forKey: id)
        ?? StoreInspection.Shard(
          id: id, earliest: .zero, tail: .zero, bytes: 0, segments: 0, lastTimestamp: nil)
    }
    for (name, ids, spec) in catalog?.summaries ?? [] {
      inspection.streams.append(
        StoreInspection.Stream(name: name, spec: spec, shards: ids.map(takeShard)))
    }
    for (name, journal, stream) in catalog?.subscriptionSummaries ?? [] {
      inspection.subscriptions.append(
        StoreInspection.Subscription(name: name, stream: stream, journal: takeShard(journal)))
    }
    inspection.strays = shards.values.sorted { $0.id < $1.id }
    var missing: [SegmentCheckpoint] = []
    for lane in lanes {
      for segment in lane.order.flatMap(\.segments) {
        if let finding = checkSize(of: segment, &missing) { inspection.findings.append(finding) }
      }
    }
    inspection.findings += confirmed(missing)
    return inspection
  }

  private func describe(_ lane: RecoveredLane) -> StoreInspection.Lane {
    var described = StoreInspection.Lane(
      number: lane.number, shards: lane.order.count, logFiles: 0, logBytes: 0, waiting: nil)
    let names = (try? disk.list(LaneFiles.directory(lane.number))) ?? []
    for slot in names.compactMap(LaneFiles.slot) {
      described.logFiles += 1
      described.logBytes += (try? size(of: LaneFiles.log(lane.number, slot: slot))) ?? 0
    }
    if server == nil {
      described.waiting = (
        frames: lane.order.reduce(0) { $0 + $1.recent.count },
        bytes: lane.order.reduce(0) { $0 + $1.recentBytes }
      )
    }
    return described
  }

  private func describe(_ shard: ShardLog) -> StoreInspection.Shard {
    StoreInspection.Shard(
      id: shard.id, earliest: shard.earliest, tail: shard.tail, bytes: shard.bytes,
      segments: shard.segments.count,
      lastTimestamp: shard.tail == .zero ? nil : shard.lastTimestamp)
  }

  func size(of path: String) throws(DiskError) -> Int {
    let file = try disk.open(path, create: false)
    defer { file.close() }
    return try file.size()
  }

  /// A segment's file must hold as much as its checkpoint says; more may follow.
  private func checkSize(
    of segment: SegmentCheckpoint, _ missing: inout [SegmentCheckpoint]
  ) -> StoreFinding? {
    let path = SegmentFiles.records(segment.shard, segment.baseOffset)
    do {
      let size = try size(of: path)
      guard size < segment.bytes else { return nil }
      return .damage(
        path, at: size, "the file ends there, it should have \(segment.bytes) bytes")
    } catch  where error.kind == .notFound {
      missing.append(segment)
      return nil
    } catch {
      return .damage(path, "it cannot be read: \(String(cString: strerror(error.code)))")
    }
  }

  // MARK: Reading what the databases say

  func loadCatalog(_ findings: inout [StoreFinding]) -> CatalogContents? {
    do throws(CatalogDamage) {
      return try CatalogContents.load { bucket throws(MetaError) in
        try SQLiteMeta.list(bucket, at: try databasePath(DatabaseCopies.catalog))
      }
    } catch {
      switch error {
      case .store(let error):
        findings.append(.damage(DatabaseCopies.catalog, "it cannot be read: \(error)"))
      case .document(let key, let reason):
        findings.append(.damage(DatabaseCopies.catalog, "entry \(key): \(reason)"))
      }
      return nil
    }
  }

  /// The lanes that could be read; the findings say what is wrong with them and with the others.
  func loadLanes(_ catalog: CatalogContents?, _ findings: inout [StoreFinding]) -> [RecoveredLane] {
    var options = options
    options.shardsBelow = catalog?.shardsBelow
    var opening = StoreOpening(
      options: options, disk: disk, time: FrozenTime(), liveShards: nil)
    var lanes: [RecoveredLane] = []
    do throws(StoreOpenError) {
      let looked = try opening.look(readsLogs: server == nil) { number throws(MetaError) in
        try SQLiteCheckpoint(
          path: try databasePath(DatabaseCopies.checkpoint(number)), readOnly: true)
      }
      for (number, result) in looked {
        switch result {
        case .success(let lane):
          lanes.append(lane)
          if let damage = lane.damage { findings += Self.findings(damage) }
        case .failure(let error): findings.append(Self.finding(error, lane: number))
        }
      }
    } catch {
      findings.append(Self.finding(error, lane: nil))
    }
    return lanes
  }

  func databasePath(_ name: String) throws(MetaError) -> String {
    // Beside a server SQLite's own locks keep its pages whole.
    server == nil ? try copies.path(of: name) : "\(directory)/\(name)"
  }

  private static func findings(_ damage: LogDamage) -> [StoreFinding] {
    var first = StoreFinding.damage(
      damage.file, at: damage.position, damage.reason, damage.losses)
    if damage.unknownBytes > 0 {
      first.what += "; \(damage.unknownBytes) bytes there cannot be told for records of any shard"
    }
    return [first]
      + damage.further.map { .damage($0.file, at: $0.position, $0.reason) }
  }

  private static func finding(_ error: StoreOpenError, lane: Int?) -> StoreFinding {
    let directory = lane.map(LaneFiles.directory) ?? LaneFiles.root
    switch error {
    case .foreign(let file, let what), .mismatched(let file, let what): return .damage(file, what)
    case .checkpoint(let lane, let error):
      return .damage(DatabaseCopies.checkpoint(lane), "it cannot be read: \(error)")
    case .disk(let error):
      return .damage(
        error.path.isEmpty ? directory : error.path,
        "it cannot be read: \(String(cString: strerror(error.code)))")
    case .damaged(let damages): return damages.flatMap(findings).first!
    case .locked: return .damage(directory, "another process has it")
    }
  }

  // MARK: Files that are not there

  /// How often a missing file is asked about again, a second apart: a server removes a file first and records it after.
  private static let looksMax = 10

  /// Of these segments those whose files should be there.
  func confirmed(_ missing: [SegmentCheckpoint]) -> [StoreFinding] {
    var missing = missing
    var looks = 0
    while server != nil, !missing.isEmpty, looks < Self.looksMax {
      if looks > 0 { sleep(1) }
      looks += 1
      var unheard: [StoreFinding] = []
      var named: Set<String> = []
      for lane in loadLanes(nil, &unheard) {
        for segment in lane.order.flatMap(\.segments) {
          named.insert(SegmentFiles.records(segment.shard, segment.baseOffset))
        }
      }
      missing.removeAll { !named.contains(SegmentFiles.records($0.shard, $0.baseOffset)) }
    }
    return missing.map { segment in
      .damage(
        SegmentFiles.records(segment.shard, segment.baseOffset), "the file is missing",
        [
          RecordLoss(
            shard: segment.shard, offsets: segment.baseOffset..<segment.endOffset,
            bytes: segment.bytes)
        ])
    }
  }
}

/// Opening a store asks for the time only when it changes something, which a look never does.
private struct FrozenTime: TimeSource {
  var now: Timestamp { Timestamp(milliseconds: 0) }
  var monotonic: Duration { .zero }
}
