// A stream as the metadata store keeps it: a JSON document that later versions add fields to.
import Wire

struct StreamDocument: DirectoryDocument {
  static let bucket = "streams"

  var name: String
  var spec: StreamSpec
  var createdAt: Timestamp
  var shards: [ShardID]

  init(name: String, spec: StreamSpec, createdAt: Timestamp, shards: [ShardID]) {
    self.name = name
    self.spec = spec
    self.createdAt = createdAt
    self.shards = shards
  }

  /// Its first shard's ID tells a stream from every other that had its name: IDs are never given twice.
  var incarnation: UInt64 { shards[0].rawValue }

  func stream(revision: Revision, shards: [Shard]) -> Stream {
    Stream(
      name: name, incarnation: incarnation, spec: spec, createdAt: createdAt, revision: revision,
      shards: shards)
  }

  var encoded: [UInt8] {
    let labels = spec.labels.sorted { $0.key < $1.key }
      .map { ($0.key, JSONValue.string($0.value)) }
    let document: JSONValue = [
      "created_at": .integer(createdAt.milliseconds),
      "shards": .array(shards.map { .string($0.description) }),
      "retention": [
        "age_ms": spec.retention.age.map { .integer($0.milliseconds) } ?? .null,
        "bytes": spec.retention.bytes.map { .string(String($0)) } ?? .null,
      ],
      "labels": .object(JSONObject(labels)),
    ]
    return Array(document.text().utf8)
  }

  init(name: String, decoding bytes: [UInt8]) throws(CatalogDamage) {
    let document: JSONValue
    do {
      document = try bytes.withUnsafeBytes { raw throws(JSONFault) in try JSONValue.parse(raw) }
    } catch {
      throw .document(key: name, reason: "\(error)")
    }
    guard let createdAt = document["created_at"]?.asInteger,
      let shards = document["shards"]?.asArray, !shards.isEmpty,
      let retention = document["retention"], let labels = document["labels"]?.asObject
    else { throw .document(key: name, reason: "a field is missing") }
    self.name = name
    self.createdAt = Timestamp(milliseconds: createdAt)
    self.shards = []
    for shard in shards {
      guard let id = shard.asString.flatMap(UInt64.init) else {
        throw .document(key: name, reason: "a shard is not a number")
      }
      self.shards.append(ShardID(id))
    }
    spec = StreamSpec(
      shardCount: shards.count,
      retention: Retention(
        age: retention["age_ms"]?.asInteger.map { .milliseconds($0) },
        bytes: retention["bytes"]?.asString.flatMap { Int($0) }),
      labels: [:])
    for (label, value) in labels { spec.labels[label] = value.asString }
  }
}

extension StreamFields {
  /// A new stream: what is named, and the defaults for the rest.
  var spec: StreamSpec {
    var spec = StreamSpec()
    shardCount.patch(&spec.shardCount)
    patch(&spec)
    return spec
  }

  /// Changes `spec` as a merge patch does; the number of shards stays.
  func patch(_ spec: inout StreamSpec) {
    retentionAge.patch(&spec.retention.age)
    retentionBytes.patch(&spec.retention.bytes)
    if case .set(let changes) = labels {
      for (label, value) in changes { spec.labels[label] = value }
    }
  }

  /// The fields present here that `spec` has otherwise, by their names in requests.
  func differences(from spec: StreamSpec) -> [String] {
    var different = FieldDifferences()
    different.compare(shardCount, with: spec.shardCount, "shards")
    different.compare(retentionAge, with: spec.retention.age, "retention.age")
    different.compare(retentionBytes, with: spec.retention.bytes, "retention.bytes")
    if case .set(let wanted) = labels, wanted.compactMapValues({ $0 }) != spec.labels {
      different.names.append("labels")
    }
    return different.names
  }
}

extension Stream: DirectoryEntry {
  var document: StreamDocument {
    StreamDocument(name: name, spec: spec, createdAt: createdAt, shards: shards.map(\.id))
  }
}
