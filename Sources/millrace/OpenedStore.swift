// The data directory, opened: the lock, the catalog, and the embedded log store on its lanes.
import Engine
import Wire

/// What stands behind the Engine on one machine.
struct OpenedStore {
  let log: EmbeddedStore
  let meta: SQLiteMeta
  let catalog: CatalogContents
  /// Threads that may block; to be stopped once the Engine has stopped.
  let threads: [ThreadExecutor]

  /// Takes the directory's lock and recovers what it holds. Blocks.
  init(
    _ configuration: Configuration, lanes: [any Executor], clock: any TimeSource
  ) throws(StartFailure) {
    let data = configuration.data
    var threads: [ThreadExecutor] = []
    func makeThread(_ name: String) -> ThreadExecutor {
      let thread = ThreadExecutor(name: name)
      threads.append(thread)
      return thread
    }
    let disk: PosixDisk
    do {
      disk = try PosixDisk(data, access: .exclusive)
    } catch {
      throw StartFailure(error, data: data)
    }
    do {
      meta = try SQLiteMeta(path: "\(data)/catalog.db", on: makeThread("catalog"))
    } catch {
      throw StartFailure(error, data: data)
    }
    do {
      catalog = try CatalogContents.load(meta)
    } catch {
      throw StartFailure(error, data: data)
    }
    do {
      log = try EmbeddedStore.open(
        options: configuration.store, disk: disk, lanes: lanes, blocking: makeThread, time: clock,
        checkpoints: { number throws(MetaError) in
          try SQLiteCheckpoint(path: "\(data)/lanes/\(number)/checkpoint.db")
        },
        liveShards: catalog.liveShards)
    } catch {
      throw StartFailure(error, data: data)
    }
    self.threads = threads
  }
}
