// Appends: from a request to durable records and back to its answer.
import Engine
import NIOCore
import Wire

enum AppendHandlers {
  /// `POST /v1/streams/{stream}/records`: each record's key chooses its shard.
  static func appendToStream(_ request: Request) throws(Problem) {
    try append(request, to: try request.stream(), shard: nil)
  }

  /// `POST /v1/streams/{stream}/shards/{shard}/records`.
  static func appendToShard(_ request: Request) throws(Problem) {
    let stream = try request.stream()
    try append(request, to: stream, shard: try request.shard(of: stream))
  }

  private static func append(
    _ request: Request, to stream: Stream, shard: Shard?
  ) throws(Problem) {
    let query = try request.query(["key_pointer"])
    var headers = try AppendHeaders(request.head.headers)
    let body = try request.inflated(request.exchange.body, encoding: headers.contentEncoding)
    let format = AppendFormat(headers)
    guard body.readableBytes > 0 || format == .binaryEvent else { throw AppendBody.empty }
    if !format.isSingle { try headers.refuseSingleRecordHeaders(format.name) }
    let keyPointer = try keyPointer(query, format, headers)
    let condition = try condition(headers, shard)
    let spread = stream.shards.count > 1
    let extras = try headers.extras(
      for: body, keyPointer: keyPointer, shard: spread ? shard?.index : nil, request.limits)
    if format.isSingle { headers.passTraceOn(request.limits) }
    let claim = spread ? extras.claim(in: stream) : nil
    let home = shard ?? home(for: headers, extras, of: stream, request.loop)
    if format == .json, keyPointer == nil, headers.key == nil, headers.recordHeaders.isEmpty {
      let draft = try plainDraft(body, extras, request.limits)
      if claim == nil { return send(draft, to: home, if: condition, for: request) }
      return send([(home, draft)], if: condition, claiming: claim, for: request)
    }
    let reader = AppendBody(
      format: format, headers: headers, keyPointer: keyPointer, limits: request.limits)
    var sorter = RecordSorter(
      stream, home: home, isFixed: shard != nil, extras: extras, limits: request.limits,
      bytesHint: body.readableBytes)
    try body.withUnsafeReadableBytes { bytes throws(Problem) in
      try reader.read(bytes, into: &sorter)
    }
    send(sorter.finish(), if: condition, claiming: claim, for: request)
  }

  /// The commonest request of all, by the shortest way: one JSON value and nothing beside it.
  private static func plainDraft(
    _ body: ByteBuffer, _ extras: FrameExtras, _ limits: RequestLimits
  ) throws(Problem) -> FrameDraft {
    var builder = FrameBuilder(extras: extras, valuesBytesHint: body.readableBytes)
    try body.withUnsafeReadableBytes { bytes throws(Problem) in
      let extent: JSONExtent
      do throws(JSONFault) { extent = try JSONScanner.extent(bytes) } catch {
        throw Problem(fault: error)
      }
      guard extent.range.count <= limits.recordBytesMax else {
        throw Problem(
          recordOver: limits, bytes: extent.range.count, facts: [("record", .number(0))])
      }
      let value = UnsafeRawBufferPointer(rebasing: bytes[extent.range])
      if extent.hasLineBreaks {
        JSONScanner.flattened(value).withUnsafeReadableBytes { builder.appendPlain($0) }
      } else {
        builder.appendPlain(value)
      }
    }
    return builder.finish()
  }

  private static func keyPointer(
    _ query: Query, _ format: AppendFormat, _ headers: AppendHeaders
  ) throws(Problem) -> JSONPointer? {
    guard let text = query["key_pointer"] else { return nil }
    guard format == .json || format == .ndjson else {
      throw Query.refusal("key_pointer", "It goes with JSON and NDJSON, not \(format.name).")
    }
    guard headers.key == nil else {
      throw Query.refusal("key_pointer", "Record-Key gives the key already.")
    }
    guard let pointer = JSONPointer(text) else {
      throw Query.refusal("key_pointer", "It is a JSON pointer (RFC 6901) such as /user/id.")
    }
    return pointer
  }

  private static func condition(
    _ headers: AppendHeaders, _ shard: Shard?
  ) throws(Problem) -> AppendCondition {
    let tail = try headers.expectedTail()
    guard shard != nil || tail == nil else {
      throw AppendHeaders.refusal(
        "if-match", "It names the tail of one shard: append to …/shards/{shard}/records.")
    }
    return AppendCondition(
      expectedTail: tail, refusesGap: shard != nil && headers.producerID != nil)
  }

  /// The shard of the records without a key. Each request takes the next; one that may be repeated takes the same
  /// again, by a hash of what stays the same, so that the shard that remembers it is asked.
  private static func home(
    for headers: AppendHeaders, _ extras: FrameExtras, of stream: Stream, _ loop: GatewayLoop
  ) -> Shard {
    if stream.shards.count == 1 { return stream.shards[0] }
    if let key = headers.key { return stream.shard(forKeyHash: KeyHash.xxh64(key)) }
    if let producer = extras.producer {
      return stream.shard(forKeyHash: KeyHash.xxh64(producer.id, seed: producer.sequence))
    }
    if let key = extras.idempotencyKey { return stream.home(ofKey: key) }
    loop.nextShard &+= 1
    return stream.shards[Int(UInt(bitPattern: loop.nextShard) % UInt(stream.shards.count))]
  }

  private static func send(
    _ drafts: consuming [(shard: Shard, draft: FrameDraft)], if condition: AppendCondition,
    claiming claim: KeyClaim?, for request: Request
  ) {
    guard let claim else { return send(drafts, if: condition, for: request) }
    let drafts = drafts
    let confined = request.confined
    let engine = request.engine
    engine.claim(claim.key, claim.digest, in: claim.stream, on: request.executor) { refusal in
      if let refusal { return confined.value.fail(Problem(refusal)) }
      send(drafts, if: condition, for: confined.value) { outcome in
        engine.settle(claim.key, outcome, in: claim.stream)
      }
    }
  }

  /// - Parameter settle: hears what became of it before the client does.
  private static func send(
    _ drafts: consuming [(shard: Shard, draft: FrameDraft)], if condition: AppendCondition,
    for request: Request, settle: ((KeyOutcome) -> Void)? = nil
  ) {
    guard drafts.count > 1 else {
      return send(
        drafts[0].draft, to: drafts[0].shard, if: condition, for: request, settle: settle)
    }
    let join = Confined(
      AppendJoin(request, shards: drafts.map(\.shard.index), settle: settle),
      to: request.executor)
    for (place, (shard, draft)) in drafts.enumerated() {
      request.engine.append(draft, to: shard, if: condition, on: request.executor) {
        join.value.receive($0, at: place)
      }
    }
  }

  private static func send(
    _ draft: consuming FrameDraft, to shard: Shard, if condition: AppendCondition,
    for request: Request, settle: ((KeyOutcome) -> Void)? = nil
  ) {
    let confined = Confined((request, settle), to: request.executor)
    let index = shard.index
    request.engine.append(draft, to: shard, if: condition, on: request.executor) {
      let (request, settle) = confined.value
      settle?(KeyOutcome(of: [$0]))
      switch $0 {
      case .success(let appended): answer(request, appended, shard: index)
      case .failure(let error): request.fail(Problem(error))
      }
    }
  }

  private static func answer(_ request: Request, _ appended: Appended, shard: Int) {
    let count = appended.offsets.upperBound.distance(from: appended.offsets.lowerBound)
    request.countAppend()
    let text = AppendAnswer.text(
      count: count, isDuplicate: appended.isDuplicate,
      CollectionOfOne((shard, appended.offsets)), request.loop.allocator)
    request.respond(200, Request.json, text)
  }
}

/// An idempotency key on a stream of several shards, to be claimed before anything is appended under it.
private struct KeyClaim: Sendable {
  let key: String
  let digest: BodyDigest
  let stream: Stream
}

extension FrameExtras {
  fileprivate func claim(in stream: Stream) -> KeyClaim? {
    guard let idempotencyKey, let digest else { return nil }
    return KeyClaim(key: idempotencyKey, digest: digest, stream: stream)
  }
}

extension KeyOutcome {
  fileprivate init(of results: [Result<Appended, AppendError>]) {
    var outcome = KeyOutcome.nothing
    for result in results {
      switch result {
      case .success(let appended) where appended.isDuplicate:
        if outcome == .nothing { outcome = .known }
      case .success: outcome = .appended
      case .failure(.device(_, .maybe)): outcome = .appended
      case .failure: break
      }
    }
    self = outcome
  }
}

/// `{"appended":2,"duplicate":false,"ranges":[{"shard":0,"start":"1044","end":"1046"}]}`, by hand: the hottest answer.
enum AppendAnswer {
  /// Room that suffices: the text around the ranges, and 31 characters and three numbers for each of them.
  private static func bytesMax(ranges: Int) -> Int { 80 + ranges * (31 + 3 * 20) }

  static func text(
    count: Int, isDuplicate: Bool, _ ranges: some Collection<(shard: Int, offsets: Range<Offset>)>,
    _ allocator: ByteBufferAllocator
  ) -> ByteBuffer {
    let room = bytesMax(ranges: ranges.count)
    var buffer = allocator.buffer(capacity: room)
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { memory in
      var writer = RawWriter(memory)
      writer.write("{\"appended\":")
      writer.write(decimal: count)
      writer.write(isDuplicate ? ",\"duplicate\":true" : ",\"duplicate\":false")
      writer.write(",\"ranges\":[")
      var isFirst = true
      for (shard, offsets) in ranges {
        writer.write(isFirst ? "{\"shard\":" : ",{\"shard\":")
        isFirst = false
        writer.write(decimal: shard)
        writer.write(",\"start\":\"")
        writer.write(decimal: Int(offsets.lowerBound.rawValue))
        writer.write("\",\"end\":\"")
        writer.write(decimal: Int(offsets.upperBound.rawValue))
        writer.write("\"}")
      }
      writer.write("]}")
      return writer.count
    }
    return buffer
  }
}

/// Waits for the shards of one request and answers for all of them.
final class AppendJoin {
  private let request: Request
  private let shards: [Int]
  private let settle: ((KeyOutcome) -> Void)?
  private var results: [Result<Appended, AppendError>?]
  private var missing: Int

  init(_ request: Request, shards: [Int], settle: ((KeyOutcome) -> Void)?) {
    self.request = request
    self.shards = shards
    self.settle = settle
    results = Array(repeating: nil, count: shards.count)
    missing = shards.count
  }

  func receive(_ result: Result<Appended, AppendError>, at place: Int) {
    precondition(results[place] == nil, "shard \(shards[place]) answered twice")
    results[place] = result
    missing -= 1
    if missing == 0 { answer(results.map { $0! }) }
  }

  private func answer(_ results: [Result<Appended, AppendError>]) {
    settle?(KeyOutcome(of: results))
    var appended: [(shard: Int, appended: Appended)] = []
    var problems: [(shard: Int, problem: Problem)] = []
    for (shard, result) in zip(shards, results) {
      switch result {
      case .success(let one): appended.append((shard, one))
      case .failure(let error): problems.append((shard, Problem(error)))
      }
    }
    guard problems.isEmpty else { return request.fail(problem(appended, problems)) }
    var count = 0
    for (_, one) in appended {
      count += one.offsets.upperBound.distance(from: one.offsets.lowerBound)
    }
    request.countAppend()
    let text = AppendAnswer.text(
      count: count, isDuplicate: appended.allSatisfy(\.appended.isDuplicate),
      appended.map { ($0.shard, $0.appended.offsets) }, request.loop.allocator)
    request.respond(200, Request.json, text)
  }

  /// One problem for all: that of the shards if nothing was appended anywhere, else `partly_applied`.
  private func problem(
    _ appended: [(shard: Int, appended: Appended)], _ problems: [(shard: Int, problem: Problem)]
  ) -> Problem {
    let isUntouched = appended.isEmpty && problems.allSatisfy { $0.problem.applied == .no }
    var problem: Problem
    if isUntouched {
      // What the client must mend comes before what passes by itself.
      problem = (problems.first { !$0.problem.retryable } ?? problems[0]).problem
    } else {
      let final = problems.first { !$0.problem.retryable }
      problem = Problem(
        .partlyApplied,
        final.map {
          "\(appended.count) of \(shards.count) shards took their records; shard \($0.shard) "
            + "never will: \($0.problem.detail)"
        } ?? "\(appended.count) of \(shards.count) shards took their records; send the same "
          + "request again under the same producer fields or idempotency key.",
        applied: .maybe)
      problem.isFinal = final != nil
    }
    problem.facts.append(("shards", .json(Self.list(appended, problems))))
    return problem
  }

  private static func list(
    _ appended: [(shard: Int, appended: Appended)], _ problems: [(shard: Int, problem: Problem)]
  ) -> String {
    let texts =
      appended.map { shard, one in
        (
          shard,
          "{\"shard\":\(shard),\"applied\":\"yes\",\"start\":\"\(one.offsets.lowerBound)\","
            + "\"end\":\"\(one.offsets.upperBound)\"}"
        )
      }
      + problems.map { shard, problem in
        (
          shard,
          "{\"shard\":\(shard),\"applied\":\"\(problem.applied.rawValue)\","
            + "\"code\":\"\(problem.code.rawValue)\"}"
        )
      }
    return "[" + texts.sorted { $0.0 < $1.0 }.map(\.1).joined(separator: ",") + "]"
  }
}
