// The data directory, opened: the lock, the catalog, and the embedded log store on its lanes.
import Engine
import Logging
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
    _ configuration: Configuration, lanes: [any Executor], clock: any TimeSource, logger: Logger
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
    var options = configuration.store
    options.shardsBelow = catalog.shardsBelow
    let liveShards = catalog.liveShards
    let names = catalog.shardNames
    func open() throws(StoreOpenError) -> EmbeddedStore {
      try EmbeddedStore.open(
        options: options, disk: disk, lanes: lanes, blocking: makeThread, time: clock,
        checkpoints: { number throws(MetaError) in
          try SQLiteCheckpoint(path: "\(data)/lanes/\(number)/checkpoint.db")
        },
        liveShards: liveShards)
    }
    do throws(StoreOpenError) {
      log = try open()
    } catch .damaged(let damages) where configuration.truncateDamaged {
      // Said before it is done: what is dropped now is nowhere else.
      for damage in damages {
        logger.warning(
          "--truncate-damaged: the log is cut where it is damaged",
          metadata: [
            "file": "\(data)/\(damage.file)", "byte": "\(damage.position)",
            "reason": "\(damage.reason)",
          ])
        for line in damage.words(names) { logger.warning("to be dropped: \(line)") }
      }
      options.truncatesDamaged = true
      do throws(StoreOpenError) {
        log = try open()
      } catch {
        throw StartFailure(error, data: data, names: names)
      }
    } catch {
      throw StartFailure(error, data: data, names: names)
    }
    self.threads = threads
  }
}
