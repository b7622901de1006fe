// Streams: made, listed, shown, changed and deleted.
import Engine
import NIOCore
import Wire

enum StreamHandlers {
  // MARK: One stream

  static func ensure(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let name = try request.name()
    let createOnly = try request.createsOnly()
    let fields = try StreamDocument.fields(of: try request.jsonBody(), isPatch: false)
    if case .set(let labels) = fields.labels { try checkCount(labels.count, request.limits) }
    let confined = request.confined
    request.engine.ensureStream(name, fields, createOnly: createOnly, on: request.executor) {
      let request = confined.value
      switch $0 {
      case .success(.created(let stream)):
        show(stream, status: 201, headers: [("location", "/v1/streams/\(name)")], request)
      case .success(.exists(let stream)): show(stream, request)
      case .failure(let error): request.fail(Problem(error, of: .stream))
      }
    }
  }

  private static func checkCount(_ labels: Int, _ limits: RequestLimits) throws(Problem) {
    guard labels <= limits.labelsMax else {
      throw JSONFields.badValue("/labels", "a stream has at most \(limits.labelsMax) labels.")
    }
  }

  static func get(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let stream = try request.stream()
    let tag = StreamDocument.entityTag(of: stream)
    if let known = request.head.headers["if-none-match"], EntityTags(known).matchesWeakly(tag) {
      return request.respond(304, Headers([("etag", tag), ("cache-control", "no-cache")]), nil)
    }
    show(stream, request)
  }

  private static func show(
    _ stream: Stream, status: Int = 200, headers: [(name: String, value: String)] = [],
    _ request: Request
  ) {
    let tag = StreamDocument.entityTag(of: stream)
    request.respondJSON(status, headers: headers + [("etag", tag), ("cache-control", "no-cache")]) {
      StreamDocument.write(stream, into: &$0)
    }
  }

  static func change(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let stream = try request.stream()
    let body = try request.jsonBody(types: ["application/merge-patch+json", "application/json"])
    let fields = try StreamDocument.fields(of: body, isPatch: true)
    if case .set(let changes) = fields.labels {
      let merged = stream.spec.labels.keys.filter { changes[$0] == nil }.count
      try checkCount(merged + changes.values.count { $0 != nil }, request.limits)
    }
    let revision = try request.expectedRevision(of: stream.version, .stream)
    let confined = request.confined
    request.engine.changeStream(stream.name, fields, ifRevision: revision, on: request.executor) {
      switch $0 {
      case .success(let stream): show(stream, confined.value)
      case .failure(let error): confined.value.fail(Problem(error, of: .stream))
      }
    }
  }

  static func delete(_ request: Request) throws(Problem) {
    let force = try request.query(["force"]).flag("force") ?? false
    let stream = try request.stream()
    let revision = try request.expectedRevision(of: stream.version, .stream)
    let confined = request.confined
    request.engine.deleteStream(
      stream.name, ifRevision: revision, force: force, on: request.executor
    ) {
      switch $0 {
      case .success: confined.value.respond(204, Headers(), nil)
      case .failure(let error): confined.value.fail(Problem(error, of: .stream))
      }
    }
  }

  // MARK: Lists

  static func list(_ request: Request) throws(Problem) {
    let query = try request.query(["page_size", "page_token", "prefix"])
    let page = try Page(query)
    let after = page.after
    guard after.map(Request.isName) ?? true else { throw Page.damaged }
    let streams = request.engine.streams(
      prefix: query["prefix"] ?? "", after: after, limit: page.size + 1)
    let shown = streams.prefix(page.size)
    request.respondJSON(bytesHint: 256 * shown.count + 64) { buffer in
      page.write(
        shown, next: streams.count > page.size ? shown.last?.name : nil, into: &buffer
      ) { stream, buffer in StreamDocument.write(stream, into: &buffer) }
    }
  }

  static func shards(_ request: Request) throws(Problem) {
    let query = try request.query(["page_size", "page_token"])
    let page = try Page(query)
    let stream = try request.stream()
    var first = 0
    if let after = page.after {
      guard let index = Int(decimal: after) else { throw Page.damaged }
      first = min(index + 1, stream.shards.count)
    }
    let shown = stream.shards[first...].prefix(page.size)
    let owner = request.loop.configuration.nodeName
    let epoch = request.engine.epoch
    request.respondJSON(bytesHint: 192 * shown.count + 64) { buffer in
      page.write(
        shown, next: shown.endIndex < stream.shards.count ? String(shown.endIndex - 1) : nil,
        into: &buffer
      ) { shard, buffer in write(shard, owner: owner, epoch, into: &buffer) }
    }
  }

  private static func write(
    _ shard: Shard, owner: String, _ epoch: Epoch, into buffer: inout ByteBuffer
  ) {
    let range = shard.keyRange
    // The tail is read last: records that arrive meanwhile never leave it below the earliest.
    let earliest = shard.earliest
    buffer.writeString("{\"shard\":\(shard.index),\"key_range\":[\"")
    writeHexadecimal(range.lowerBound, into: &buffer)
    buffer.writeString("\",\"")
    writeHexadecimal(range.upperBound, into: &buffer)
    buffer.writeString("\"],\"earliest\":\"\(earliest)\",\"tail\":\"\(shard.tail)\"")
    buffer.writeString(",\"bytes\":\"\(shard.bytes)\",\"owner\":")
    JSONText.writeEscapedString(owner, into: &buffer)
    buffer.writeString(",\"epoch\":\"\(epoch)\"}")
  }

  private static func writeHexadecimal(_ value: UInt64, into buffer: inout ByteBuffer) {
    let digits = String(value, radix: 16)
    buffer.writeRepeatingByte(UInt8(ascii: "0"), count: 16 - digits.utf8.count)
    buffer.writeString(digits)
  }
}
