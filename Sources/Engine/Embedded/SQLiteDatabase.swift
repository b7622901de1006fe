// A connection to a SQLite database, and its prepared statements: the little of SQLite that the stores need.
import CSQLite
import Glibc

/// One connection; used by one thread at a time.
///
/// `@unchecked`: owns the connection's pointer; its owner keeps calls in order.
final class SQLiteDatabase: @unchecked Sendable {
  fileprivate let handle: OpaquePointer
  private var isClosed = false

  /// Opens or makes the file, with a write-ahead log that is synced at each commit.
  init(path: String, readOnly: Bool = false) throws(MetaError) {
    if !readOnly { try Self.keepPrivate(path) }
    var handle: OpaquePointer?
    let flags =
      SQLITE_OPEN_NOMUTEX
      | (readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)
    let code = sqlite3_open_v2(path, &handle, flags, nil)
    guard code == SQLITE_OK, let handle else {
      let reason = String(cString: sqlite3_errstr(code))
      sqlite3_close_v2(handle)
      throw .failed("\(path): \(reason)")
    }
    self.handle = handle
    sqlite3_extended_result_codes(handle, 1)
    sqlite3_busy_timeout(handle, 5000)
    if !readOnly {
      try run("PRAGMA journal_mode = WAL")
      try run("PRAGMA synchronous = FULL")
    }
  }

  /// SQLite makes a file that everybody may read; those beside it get the rights of the first.
  private static func keepPrivate(_ path: String) throws(MetaError) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, PosixDisk.fileMode)
    guard descriptor >= 0 else { throw .failed("\(path): \(String(cString: strerror(errno)))") }
    // Whoever has read it so far has; it may be another's file that we are let into.
    _ = fchmod(descriptor, PosixDisk.fileMode)
    _ = Glibc.close(descriptor)
  }

  deinit { close() }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    sqlite3_close_v2(handle)
  }

  /// Runs statements without parameters or results.
  func run(_ sql: String) throws(MetaError) {
    guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw failure() }
  }

  func prepare(_ sql: String) throws(MetaError) -> SQLiteStatement {
    try SQLiteStatement(sql, in: self)
  }

  /// What SQLite finds wrong with the file: its pages, its indices, their order. Empty if it is whole.
  func faults() throws(MetaError) -> [String] {
    let rows = try prepare("PRAGMA integrity_check")
    var faults: [String] = []
    while try rows.step() { faults.append(rows.text(0)) }
    return faults == ["ok"] ? [] : faults
  }

  /// Runs `body` between BEGIN and COMMIT; nothing of it stays if it throws.
  /// - Throws: what `body` threw, or `.undecided` when the commit itself went wrong.
  func transaction(_ body: () throws(MetaError) -> Void) throws(MetaError) {
    try run("BEGIN IMMEDIATE")
    do {
      try body()
    } catch {
      rollBack()
      throw error
    }
    guard sqlite3_exec(handle, "COMMIT", nil, nil, nil) == SQLITE_OK else {
      let code = sqlite3_errcode(handle)
      let reason = String(cString: sqlite3_errmsg(handle))
      rollBack()
      // A full disk cuts the log before the commit's last page, so nobody will ever read this commit.
      throw code & 0xff == SQLITE_FULL ? .failed(reason) : .undecided(reason)
    }
  }

  private func rollBack() {
    if sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
  }

  fileprivate func failure() -> MetaError { .failed(String(cString: sqlite3_errmsg(handle))) }
}

/// A prepared statement, used again and again; finalized with its last owner.
final class SQLiteStatement {
  private let database: SQLiteDatabase
  private let handle: OpaquePointer

  fileprivate init(_ sql: String, in database: SQLiteDatabase) throws(MetaError) {
    var handle: OpaquePointer?
    guard
      sqlite3_prepare_v3(database.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, nil)
        == SQLITE_OK, let handle
    else { throw database.failure() }
    self.database = database
    self.handle = handle
  }

  deinit { sqlite3_finalize(handle) }

  /// Binds the parameters in order, from the first.
  func bind(_ values: SQLiteValue...) throws(MetaError) {
    for (index, value) in values.enumerated() {
      let place = Int32(index + 1)
      let code =
        switch value {
        case .null: sqlite3_bind_null(handle, place)
        case .integer(let number): sqlite3_bind_int64(handle, place, number)
        case .text(let text): sqlite3_bind_text(handle, place, text, -1, transient)
        case .bytes(let bytes):
          // A zero-length array may have no address, which SQLite would take for NULL.
          bytes.isEmpty
            ? sqlite3_bind_zeroblob(handle, place, 0)
            : sqlite3_bind_blob(handle, place, bytes, Int32(bytes.count), transient)
        }
      guard code == SQLITE_OK else { throw database.failure() }
    }
  }

  /// Runs it to its end and makes it ready for the next use.
  func run() throws(MetaError) {
    while try step() {}
  }

  /// Moves to the next row; false, and ready for the next use, when there is none.
  func step() throws(MetaError) -> Bool {
    let code = sqlite3_step(handle)
    if code == SQLITE_ROW { return true }
    defer { sqlite3_reset(handle) }
    guard code == SQLITE_DONE else { throw database.failure() }
    return false
  }

  func reset() { sqlite3_reset(handle) }

  func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }
  func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
  /// The 64 bits as they were bound from `bitPattern:`.
  func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: integer(column)) }
  func text(_ column: Int32) -> String { String(decoding: bytes(column), as: UTF8.self) }
  func bytes(_ column: Int32) -> [UInt8] {
    let count = Int(sqlite3_column_bytes(handle, column))
    return Array(UnsafeRawBufferPointer(start: sqlite3_column_blob(handle, column), count: count))
  }
}

enum SQLiteValue {
  case null
  case integer(Int64)
  case text(String)
  case bytes([UInt8])

  /// All 64 bits; comparisons in SQL are right below 2⁶³.
  static func unsigned(_ value: UInt64) -> SQLiteValue { .integer(Int64(bitPattern: value)) }
}

/// Tells SQLite to copy what it is given: `SQLITE_TRANSIENT`, a cast that Swift cannot import.
private let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
