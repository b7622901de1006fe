// The log stores that the contract is held against, and how a test talks with one.
import Engine
import Glibc
import Synchronization
import Testing
import Wire

/// One store's place: opened, closed and opened again, it is the same store.
protocol LogStoreFixture: Sendable {
  func open() async throws -> any LogStore
  func close(_ store: any LogStore) async
}

/// A kind of store. To hold another one to the contract, add it to `all`.
struct LogStoreKind: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let make: @Sendable () throws -> any LogStoreFixture

  static let all = [
    LogStoreKind(testDescription: "embedded") {
      EmbeddedFixture {
        var options = StoreOptions(salt: 1)
        options.walFileBytes = 1 << 20
        return options
      }
    },
    LogStoreKind(testDescription: "embedded, everything tiny and checkpoints all the time") {
      EmbeddedFixture {
        var options = StoreOptions(salt: 2)
        options.walFileBytes = 16 << 10
        options.walBlockBytes = 512
        options.cacheBytes = 4 << 10
        options.segmentBytes = 2 << 10
        options.indexEveryBytes = 256
        options.openFilesMax = 2
        options.checkpointDelay = .milliseconds(1)
        options.syncsEachMax = 2
        return options
      }
    },
  ]
}

/// The embedded store in a directory of its own, on real threads.
final class EmbeddedFixture: LogStoreFixture {
  private let directory = TemporaryDirectory()
  private let options: @Sendable () -> StoreOptions
  private let threads = Mutex<[ThreadExecutor]>([])
  private let disk = Mutex<PosixDisk?>(nil)

  init(options: @escaping @Sendable () -> StoreOptions) { self.options = options }

  func open() async throws -> any LogStore {
    let disk = try PosixDisk(directory.path, access: .exclusive)
    self.disk.withLock { $0 = disk }
    return try EmbeddedStore.open(
      options: options(), disk: disk, lanes: [thread("lane-0"), thread("lane-1")],
      blocking: thread, time: SystemTime(),
      checkpoints: { lane throws(MetaError) in
        try SQLiteCheckpoint(path: "\(directory.path)/lanes/\(lane)/checkpoint.db")
      }, liveShards: nil)
  }

  private func thread(_ name: String) -> ThreadExecutor {
    let thread = ThreadExecutor(name: name)
    threads.withLock { $0.append(thread) }
    return thread
  }

  func close(_ store: any LogStore) async {
    await withCheckedContinuation { done in store.close { done.resume() } }
    let stopped = threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    for thread in stopped { thread.stop() }
    disk.withLock { $0?.unlock() }
  }
}

/// A directory that goes with its last owner.
final class TemporaryDirectory: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/millrace-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { preconditionFailure("no directory: errno \(errno)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    if let disk = try? PosixDisk(path, access: .exclusive), let names = try? disk.list("") {
      for name in names { try? disk.remove(name) }
    }
    rmdir(path)
  }
}

/// A shard and its owner: calls are made on the shard's executor, answers are awaited.
struct Session: Sendable {
  let store: any LogStore
  let shard: ShardID
  let owner: Confined<Owner>

  static func open(_ store: any LogStore, _ shard: UInt64, epoch: UInt64 = 1) async throws(LogError)
    -> (session: Session, recovery: ShardRecovery)
  {
    let shard = ShardID(shard)
    let executor = store.executor(of: shard)
    let result = await withCheckedContinuation { answer in
      executor.execute {
        let owner = Owner(
          store, shard, epoch: Epoch(epoch), tail: .zero, time: Timestamp(milliseconds: 0))
        let session = Session(
          store: store, shard: shard, owner: Confined(owner, to: executor))
        store.open(shard, epoch: Epoch(epoch), client: owner) { result in
          answer.resume(
            returning: result.map { recovery in
              session.owner.value.begin(recovery)
              return (session: session, recovery: recovery)
            })
        }
      }
    }
    return try result.get()
  }

  func on<T: Sendable>(_ body: @escaping @Sendable (Owner) -> T) async -> T {
    await withCheckedContinuation { answer in
      owner.executor.execute { answer.resume(returning: body(owner.value)) }
    }
  }

  /// Returns when the records are durable, or with why not.
  @discardableResult
  func append(_ values: [String], extras: FrameExtras = .none, at time: Int64? = nil) async
    -> LogError?
  {
    await withCheckedContinuation { answer in
      owner.executor.execute {
        owner.value.append(
          values, extras: extras, at: time.map { Timestamp(milliseconds: $0) }
        ) { answer.resume(returning: $0) }
      }
    }
  }

  /// Appends one frame a value at once; returns when all are durable.
  func appendEach(_ values: [String]) async {
    await withCheckedContinuation { (answer: CheckedContinuation<Void, Never>) in
      owner.executor.execute {
        for value in values.dropLast() { owner.value.append([value]) }
        owner.value.append([values.last!]) { _ in answer.resume() }
      }
    }
  }

  func trim(before: UInt64) async -> LogError? {
    await withCheckedContinuation { answer in
      owner.executor.execute {
        owner.value.trim(before: Offset(before)) { answer.resume(returning: $0) }
      }
    }
  }

  func read(from: UInt64, bytesMax: Int = 1 << 20) async -> ReadOutcome {
    await withCheckedContinuation { answer in
      let executor = owner.executor
      executor.execute {
        store.read(shard, from: Offset(from), bytesMax: bytesMax, on: executor) {
          answer.resume(returning: $0)
        }
      }
    }
  }

  func find(_ time: Int64) async -> Result<Offset, LogError> {
    await withCheckedContinuation { answer in
      let executor = owner.executor
      executor.execute {
        store.find(Timestamp(milliseconds: time), in: shard, on: executor) {
          answer.resume(returning: $0)
        }
      }
    }
  }

  /// Everything from `from` to the tail, as many reads as it takes.
  func values(from: UInt64, bytesMax: Int = 1 << 20) async throws -> [String] {
    var values: [String] = []
    var next = Offset(from)
    while true {
      switch await read(from: next.rawValue, bytesMax: bytesMax) {
      case .frames(let chunk):
        #expect(chunk.start <= next && next < chunk.end)
        values += chunk.values(from: next)
        next = chunk.end
      case .atTail: return values
      case let other:
        Issue.record("read from \(next): \(other)")
        return values
      }
    }
  }
}
