// Writes snapshots: at once where the promise needs it, else beside, the newest only, not more than one a second.
import Logging
import NIOCore

/// Lives on its event loop.
public final class SnapshotKeeper {
  /// Joins of a whole cluster are one write or two; what a crash loses is only where others were.
  private static let pause = TimeAmount.seconds(1)

  private let file: SnapshotFile
  private let loop: any EventLoop
  private let logger: Logger
  private var written: Snapshot
  /// The newest that is not written.
  private var waiting: Snapshot?
  private var isWriting = false
  private var lastFault: SnapshotFault?

  /// - Parameter written: What the file holds.
  public init(_ file: SnapshotFile, written: Snapshot, on loop: any EventLoop, logger: Logger) {
    self.file = file
    self.loop = loop
    self.logger = logger
    self.written = written
  }

  /// A new generation is durable when this returns: nobody may hear of one that a crash could forget. The rest will
  /// be soon.
  public func keep(_ snapshot: Snapshot) {
    guard snapshot.generation == written.generation else {
      waiting = nil
      write(snapshot)
      return
    }
    waiting = snapshot
    if !isWriting { writeBeside() }
  }

  /// Writes what waits.
  public func flush() {
    if let waiting, waiting != written { write(waiting) }
    waiting = nil
  }

  private func write(_ snapshot: Snapshot) {
    do throws(SnapshotFault) {
      try file.write(snapshot)
      done(snapshot, nil)
    } catch {
      done(snapshot, error)
    }
  }

  private func writeBeside() {
    guard let snapshot = waiting, snapshot != written else {
      waiting = nil
      return
    }
    waiting = nil
    isWriting = true
    let file = file
    let loop = loop
    let keeper = NIOLoopBound(self, eventLoop: loop)
    BackgroundThread.run {
      var fault: SnapshotFault?
      do throws(SnapshotFault) { try file.write(snapshot) } catch { fault = error }
      let heard = fault
      loop.execute {
        keeper.value.done(snapshot, heard)
        loop.assumeIsolated().scheduleTask(in: Self.pause) {
          keeper.value.isWriting = false
          keeper.value.writeBeside()
        }
      }
    }
  }

  private func done(_ snapshot: Snapshot, _ fault: SnapshotFault?) {
    // One that was overtaken by a generation that could not wait is put right by the next.
    if fault == nil { written = snapshot }
    if let fault, fault != lastFault {
      logger.error(
        "the member's state cannot be kept; a restart will do without",
        metadata: ["file": "\(file.path)", "reason": "\(fault)"])
    }
    lastFault = fault
  }
}
