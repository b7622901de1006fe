// Handlers over a real engine and store in a directory of their own, driven by exchanges without sockets.
import Engine
import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import Gateway

/// What a test reads of an answer.
struct TestAnswer: Sendable {
  var status: Int
  var headers: Headers
  var body: ByteBuffer

  var text: String { String(buffer: body) }
  /// The body as JSON; a failed test if it is none.
  var json: JSONValue {
    do throws(JSONFault) { return try JSONValue.parse(body) } catch {
      Issue.record("not JSON: \(text)")
      return .null
    }
  }
  var code: String? { json["code"]?.asString }
}

/// An exchange that keeps its whole answer.
final class TestExchange: Exchange {
  let request: RequestHead
  let body: ByteBuffer
  let eventLoop: any EventLoop
  let requestID = "test-1"
  private let promise: EventLoopPromise<TestAnswer>
  private var answer: TestAnswer?
  /// Whole answers do not reach the client.
  private let isLost: Bool
  var unsentBytes = 0
  var onDrain: (() -> Void)?
  var onClose: (() -> Void)?
  var onInputEnd: (() -> Void)?

  init(
    _ request: RequestHead, _ body: ByteBuffer, _ promise: EventLoopPromise<TestAnswer>,
    isLost: Bool = false
  ) {
    self.request = request
    self.isLost = isLost
    self.body = body
    self.promise = promise
    eventLoop = promise.futureResult.eventLoop
  }

  @discardableResult
  func respond(_ status: Int, _ headers: Headers, _ body: ByteBuffer?) -> Bool {
    eventLoop.preconditionInEventLoop()
    precondition(answer == nil, "answered twice")
    let whole = TestAnswer(status: status, headers: headers, body: body ?? ByteBuffer())
    answer = whole
    promise.succeed(whole)
    return !isLost
  }

  func start(_ status: Int, _ headers: Headers) {
    precondition(answer == nil, "answered twice")
    answer = TestAnswer(status: status, headers: headers, body: ByteBuffer())
  }
  func write(_ chunk: BodyChunk) { answer!.body.writeImmutableBuffer(chunk.bytes) }
  func finish() { promise.succeed(answer!) }
  func abort() { promise.fail(Aborted()) }
  struct Aborted: Error {}
}

/// A gateway on two event loops, which are the store's lanes too, so that some shards live on the loop that is asked
/// and some on the other.
final class TestGateway: Sendable {
  let gateway: Gateway
  let engine: Engine
  let loop: any EventLoop
  private let handler: NIOLoopBound<(any Exchange) -> Void>

  private init(_ gateway: Gateway, _ engine: Engine, on executor: EventLoopExecutor) async throws {
    self.gateway = gateway
    self.engine = engine
    loop = executor.eventLoop
    handler = try await executor.eventLoop.submit {
      NIOLoopBound(
        gateway.handler(on: executor.eventLoop, executor: executor), eventLoop: executor.eventLoop)
    }.get()
  }

  /// Runs `body` against a gateway over an empty directory, and takes everything down afterwards.
  static func with(
    _ configuration: GatewayConfiguration = GatewayConfiguration(),
    _ body: @Sendable (TestGateway) async throws -> Void
  ) async throws {
    let directory = makeDirectory()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let lanes = group.makeIterator().map(EventLoopExecutor.init)
    let time = SystemTime()
    var threads: [ThreadExecutor] = []
    func makeThread(_ name: String) -> any Executor {
      threads.append(ThreadExecutor(name: name))
      return threads.last!
    }
    var options = StoreOptions(salt: 7)
    options.walFileBytes = 2 << 20
    options.reserveBytes = 0
    let disk = try PosixDisk(directory, access: .exclusive)
    let meta = try SQLiteMeta(path: directory + "/catalog.db", on: makeThread("catalog"))
    let contents = try CatalogContents.load(meta)
    let log = try EmbeddedStore.open(
      options: options, disk: disk, lanes: lanes, blocking: makeThread, time: time,
      checkpoints: { number throws(MetaError) in
        try SQLiteCheckpoint(path: "\(directory)/lanes/\(number)/checkpoint.db")
      }, liveShards: contents.liveShards)
    let engine = try await withCheckedContinuation { continuation in
      Engine.open(
        contents, meta: meta, log: log, time: time, lanes: lanes, settings: EngineSettings(),
        on: lanes[0]
      ) { continuation.resume(returning: $0) }
    }.get()
    let gateway = Gateway(
      engine: engine, configuration: configuration, clock: time, logger: Logger(label: "test"),
      otherMetrics: { [] })
    let result: Result<Void, any Error>
    do {
      result = .success(try await body(try await TestGateway(gateway, engine, on: lanes[0])))
    } catch {
      result = .failure(error)
    }
    await withCheckedContinuation { continuation in
      engine.stop(on: lanes[0]) { continuation.resume() }
    }
    for thread in threads { thread.stop() }
    try await group.shutdownGracefully()
    removeDirectory(directory)
    try result.get()
  }

  /// - Parameter isLost: the client will not get the answer.
  func send(
    _ method: String, _ path: String, _ headers: [(String, String)] = [],
    body: ByteBuffer = ByteBuffer(), isLost: Bool = false
  ) async throws -> TestAnswer {
    let parts = path.split(separator: "?", maxSplits: 1)
    let head = RequestHead(
      method: method, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : nil,
      headers: Headers(headers.map { ($0.0, $0.1) }), authority: "localhost:8420")
    let promise = loop.makePromise(of: TestAnswer.self)
    loop.execute { [handler] in
      handler.value(TestExchange(head, body, promise, isLost: isLost))
    }
    return try await promise.futureResult.get()
  }

  func send(
    _ method: String, _ path: String, _ headers: [(String, String)] = [], _ text: String
  ) async throws -> TestAnswer {
    try await send(method, path, headers, body: ByteBuffer(string: text))
  }

  /// Sends a JSON document.
  func json(
    _ method: String, _ path: String, _ text: String, _ headers: [(String, String)] = []
  ) async throws -> TestAnswer {
    try await send(method, path, headers + [("content-type", "application/json")], text)
  }

  func append(
    _ path: String, _ type: String, _ text: String, _ headers: [(String, String)] = []
  ) async throws -> TestAnswer {
    try await send("POST", path, headers + [("content-type", type)], text)
  }

  func makeStream(_ name: String, shards: Int = 1) async throws {
    let answer = try await json("PUT", "/v1/streams/\(name)", "{\"shards\":\(shards)}")
    #expect(answer.status == 201, "\(answer.text)")
  }

  /// Every record of a stream as `shard/offset key headers value`, read from the engine itself.
  func records(of name: String) async -> [String] {
    guard let stream = engine.stream(named: name) else { return [] }
    var lines: [String] = []
    for shard in stream.shards where shard.tail > shard.earliest {
      var next = shard.earliest
      while next < shard.tail {
        guard case .frames(let chunk) = await read(shard, from: next) else {
          Issue.record("shard \(shard.index) cannot be read at \(next)")
          return lines
        }
        chunk.forEachRecord(from: next) {
          lines.append("\(shard.index)/\($0.offset)\(Self.text(of: $0))")
          return true
        }
        next = chunk.end
      }
    }
    return lines
  }

  private func read(_ shard: Shard, from offset: Offset) async -> ReadOutcome {
    await withCheckedContinuation { continuation in
      engine.read(shard, from: offset, bytesMax: 1 << 20, on: shard.executor) {
        continuation.resume(returning: $0)
      }
    }
  }

  private static func text(of record: RecordView) -> String {
    func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }
    var line = ""
    if let key = record.key { line += " key=\(text(key))" }
    record.forEachHeader { line += " \(text($0)):\(text($1))" }
    if let type = record.contentType { line += " type=\(text(type))" }
    return line + " " + text(record.value)
  }
}

private func makeDirectory() -> String {
  var template = Array("/tmp/millrace-gateway-XXXXXX".utf8CString)
  precondition(mkdtemp(&template) != nil, "no temporary directory")
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

private func removeDirectory(_ path: String) {
  guard let directory = opendir(path) else {
    unlink(path)
    return
  }
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { removeDirectory(path + "/" + name) }
  }
  closedir(directory)
  rmdir(path)
}
