// What inspect and verify found, for machines: one JSON object; 64-bit numbers are decimal strings, as over HTTP.
import Engine
import Wire

enum InspectionJSON {
  static func text(_ inspection: StoreInspection, of directory: String) -> String {
    let document: JSONValue = .members([
      "data": .string(directory),
      "server": server(inspection.server),
      "damaged": .bool(inspection.isDamaged),
      "streams": .array(inspection.streams.map(stream)),
      "subscriptions": .array(inspection.subscriptions.map(subscription)),
      "strays": .array(inspection.strays.map { shard($0, index: nil) }),
      "lanes": .array(inspection.lanes.map(lane)),
      "findings": .array(inspection.findings.map { finding($0, inspection.shardNames) }),
    ])
    return document.text() + "\n"
  }

  static func text(_ verification: StoreVerification, of directory: String) -> String {
    let document: JSONValue = .members([
      "data": .string(directory),
      "server": server(verification.server),
      "damaged": .bool(verification.isDamaged),
      "segments": .integer(Int64(verification.segments)),
      "batches": decimal(verification.frames),
      "records": decimal(verification.records),
      "bytes": decimal(verification.bytes),
      "log_batches": verification.server == nil ? decimal(verification.logFrames) : .null,
      "findings": .array(verification.findings.map { finding($0, verification.shardNames) }),
    ])
    return document.text() + "\n"
  }

  private static func decimal(_ number: some BinaryInteger) -> JSONValue { .string("\(number)") }
  private static func decimal(_ offset: Offset) -> JSONValue { .string("\(offset)") }

  /// null when none is running.
  private static func server(_ holder: PosixDisk.Holder?) -> JSONValue {
    guard let holder else { return .null }
    return .members(["process": holder.process.map { .integer(Int64($0)) } ?? .null])
  }

  private static func stream(_ stream: StoreInspection.Stream) -> JSONValue {
    .members([
      "name": .string(stream.name),
      "records": decimal(stream.shards.reduce(0) { $0 + $1.records }),
      "bytes": decimal(stream.shards.reduce(0) { $0 + $1.bytes }),
      "retention": .members([
        "age": stream.spec.retention.age.map { .string(DurationText.format($0)) } ?? .null,
        "bytes": stream.spec.retention.bytes.map { decimal($0) } ?? .null,
      ]),
      "shards": .array(stream.shards.enumerated().map { shard($1, index: $0) }),
    ])
  }

  private static func subscription(_ subscription: StoreInspection.Subscription) -> JSONValue {
    .members([
      "name": .string(subscription.name),
      "stream": .string(subscription.stream),
      "journal": shard(subscription.journal, index: nil),
    ])
  }

  private static func shard(_ shard: StoreInspection.Shard, index: Int?) -> JSONValue {
    .members([
      "shard": index.map { .integer(Int64($0)) } ?? .null,
      "id": .string("\(shard.id)"),
      "earliest": decimal(shard.earliest),
      "tail": decimal(shard.tail),
      "records": decimal(shard.records),
      "bytes": decimal(shard.bytes),
      "segments": .integer(Int64(shard.segments)),
      "last_timestamp": shard.lastTimestamp.map { .string(RFC3339.text($0)) } ?? .null,
    ])
  }

  private static func lane(_ lane: StoreInspection.Lane) -> JSONValue {
    .members([
      "lane": .integer(Int64(lane.number)),
      "shards": .integer(Int64(lane.shards)),
      "log_files": .integer(Int64(lane.logFiles)),
      "log_bytes": decimal(lane.logBytes),
      "waiting_batches": lane.waiting.map { decimal($0.frames) } ?? .null,
      "waiting_bytes": lane.waiting.map { decimal($0.bytes) } ?? .null,
    ])
  }

  private static func finding(_ finding: StoreFinding, _ names: [ShardID: ShardName])
    -> JSONValue
  {
    .members([
      "severity": .string(finding.severity.rawValue),
      "file": .string(finding.file),
      "offset": finding.position.map { decimal($0) } ?? .null,
      "what": .string(finding.what),
      "lost": .array(
        finding.losses.map { loss in
          .members([
            "stream": names[loss.shard]?.stream.map { .string($0) } ?? .null,
            "shard": names[loss.shard]?.index.map { .integer(Int64($0)) } ?? .null,
            "subscription": names[loss.shard]?.subscription.map { .string($0) } ?? .null,
            "shard_id": .string("\(loss.shard)"),
            "from": decimal(loss.offsets.lowerBound),
            "to": decimal(loss.offsets.upperBound),
            "bytes": decimal(loss.bytes),
          ])
        }),
    ])
  }
}
