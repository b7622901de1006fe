// A lane's checkpoints in a SQLite database.
import Wire

public final class SQLiteCheckpoint {
  /// Opens or makes the database file.
  public init(path: String) throws(MetaError) { fatalError() }
}

public final class SQLiteMeta {
  /// Opens or makes the database file; every call to it is made on `executor`, which may block.
  public init(path: String, on executor: any Executor) throws(MetaError) { fatalError() }
}
