// The catalog's documents in a SQLite database; changes that wait together share one transaction and one sync.
import Wire

public final class SQLiteMeta: MetaStore {
  private typealias Finish = @Sendable (Result<Revision, MetaError>) -> Void

  private enum Change: Sendable {
    case put([UInt8])
    case delete
  }

  private struct Request: Sendable {
    var bucket: String
    var key: String
    var change: Change
    var condition: MetaCondition
    var finish: Finish
  }

  /// What waits for the next transaction; touched on the store's executor only.
  private final class Queue {
    var requests: [Request] = []
    var isClosed = false
  }

  private let path: String
  private let database: SQLiteDatabase
  private let executor: any Executor
  private let queue: Confined<Queue>

  /// Opens or makes the database file. Every change is made on `executor`, which may block.
  public init(path: String, on executor: any Executor) throws(MetaError) {
    self.path = path
    self.executor = executor
    queue = Confined(Queue(), to: executor)
    database = try SQLiteDatabase(path: path)
    try database.run(
      """
      CREATE TABLE IF NOT EXISTS entries (
        bucket TEXT, key TEXT, value BLOB, revision INTEGER,
        PRIMARY KEY (bucket, key)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS counter (
        id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER);
      INSERT OR IGNORE INTO counter VALUES (1, 0);
      """)
  }

  /// Reads by a connection of its own, so that it may be called anywhere.
  public func list(_ bucket: String) throws(MetaError) -> [MetaRecord] {
    try Self.list(bucket, at: path)
  }

  /// What the database file at `path` holds, also for one who only looks.
  static func list(_ bucket: String, at path: String) throws(MetaError) -> [MetaRecord] {
    let reader = try SQLiteDatabase(path: path, readOnly: true)
    defer { reader.close() }
    let rows = try reader.prepare(
      "SELECT key, value, revision FROM entries WHERE bucket = ? ORDER BY key")
    try rows.bind(.text(bucket))
    var records: [MetaRecord] = []
    while try rows.step() {
      records.append(
        MetaRecord(key: rows.text(0), value: rows.bytes(1), revision: Revision(rows.unsigned(2))))
    }
    return records
  }

  public func get(
    _ bucket: String, _ key: String, on executor: any Executor,
    reply: @escaping @Sendable (Result<MetaRecord?, MetaError>) -> Void
  ) {
    self.executor.execute { [self] in
      let result: Result<MetaRecord?, MetaError>
      do throws(MetaError) {
        guard !queue.value.isClosed else { throw .failed("the store is closed") }
        var record: MetaRecord?
        try database.transaction { () throws(MetaError) in
          // A commit whose sync failed may lie in the log and be believed after a crash: this one is written over it.
          _ = try nextRevision()
          record = try find(bucket, key)
        }
        result = .success(record)
      } catch {
        result = .failure(error)
      }
      executor.execute { reply(result) }
    }
  }

  public func put(
    _ bucket: String, _ key: String, _ value: [UInt8], if condition: MetaCondition,
    on executor: any Executor, reply: @escaping @Sendable (Result<Revision, MetaError>) -> Void
  ) {
    submit(
      Request(bucket: bucket, key: key, change: .put(value), condition: condition) { result in
        executor.execute { reply(result) }
      })
  }

  public func delete(
    _ bucket: String, _ key: String, if condition: MetaCondition, on executor: any Executor,
    reply: @escaping @Sendable (Result<Void, MetaError>) -> Void
  ) {
    submit(
      Request(bucket: bucket, key: key, change: .delete, condition: condition) { result in
        executor.execute { reply(result.map { _ in }) }
      })
  }

  public func close(reply: @escaping @Sendable () -> Void) {
    executor.execute { [self] in
      makeChanges()
      queue.value.isClosed = true
      database.close()
      reply()
    }
  }

  private func submit(_ request: Request) {
    executor.execute { [self] in
      let queue = queue.value
      guard !queue.isClosed else { return request.finish(.failure(.failed("the store is closed"))) }
      queue.requests.append(request)
      // The job runs after all that were queued before it: those join this transaction.
      if queue.requests.count == 1 { executor.execute { self.makeChanges() } }
    }
  }

  private func makeChanges() {
    let requests = queue.value.requests
    queue.value.requests = []
    guard !requests.isEmpty else { return }
    var results: [Result<Revision, MetaError>] = []
    do {
      try database.transaction { () throws(MetaError) in
        for request in requests { results.append(try make(request)) }
      }
    } catch {
      results = requests.map { _ in .failure(error) }
    }
    for (request, result) in zip(requests, results) { request.finish(result) }
  }

  /// A condition that fails is a result; anything else that fails undoes the whole transaction.
  private func make(_ request: Request) throws(MetaError) -> Result<Revision, MetaError> {
    let current = try revision(request.bucket, request.key)
    let holds =
      switch request.condition {
      case .absent: current == nil
      case .at(let revision): current == revision
      case .always: true
      }
    guard holds else { return .failure(.conflict(current)) }
    switch request.change {
    case .put(let value):
      let revision = try nextRevision()
      let put = try database.prepare("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)")
      try put.bind(
        .text(request.bucket), .text(request.key), .bytes(value), .unsigned(revision.rawValue))
      try put.run()
      return .success(revision)
    case .delete:
      let delete = try database.prepare("DELETE FROM entries WHERE bucket = ? AND key = ?")
      try delete.bind(.text(request.bucket), .text(request.key))
      try delete.run()
      return .success(current ?? Revision(0))
    }
  }

  private func find(_ bucket: String, _ key: String) throws(MetaError) -> MetaRecord? {
    let row = try database.prepare(
      "SELECT value, revision FROM entries WHERE bucket = ? AND key = ?")
    try row.bind(.text(bucket), .text(key))
    guard try row.step() else { return nil }
    defer { row.reset() }
    return MetaRecord(key: key, value: row.bytes(0), revision: Revision(row.unsigned(1)))
  }

  private func revision(_ bucket: String, _ key: String) throws(MetaError) -> Revision? {
    let row = try database.prepare("SELECT revision FROM entries WHERE bucket = ? AND key = ?")
    try row.bind(.text(bucket), .text(key))
    guard try row.step() else { return nil }
    defer { row.reset() }
    return Revision(row.unsigned(0))
  }

  /// One counter for all keys: a key that was deleted and made again never repeats a revision.
  private func nextRevision() throws(MetaError) -> Revision {
    let row = try database.prepare("UPDATE counter SET revision = revision + 1 RETURNING revision")
    guard try row.step() else { throw .failed("the revision counter is gone") }
    let revision = Revision(row.unsigned(0))
    try row.run()
    return revision
  }
}
