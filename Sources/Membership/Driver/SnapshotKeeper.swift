// Writes snapshots: at once where the promise needs it, else beside, the newest only, not more than one a second.
import Logging
import NIOCore
import Synchronization

/// Lives on its event loop.
public final class SnapshotKeeper {
  /// Joins of a whole cluster are one write or two; what a crash loses is only where others were.
  private static let pause = TimeAmount.seconds(1)

  /// One write at a time, and none of a generation before that of the last.
  private final class Gate: Sendable {
    let file: SnapshotFile
    private let last: Mutex<Snapshot>

    init(_ file: SnapshotFile, written: Snapshot) {
      self.file = file
      last = Mutex(written)
    }

    func write(_ snapshot: Snapshot) -> SnapshotFault? {
      last.withLock { last in
        guard snapshot.generation >= last.generation, snapshot != last else { return nil }
        do throws(SnapshotFault) {
          try file.write(snapshot)
          last = snapshot
          return nil
        } catch {
          return error
        }
      }
    }
  }

  private let gate: Gate
  private let loop: any EventLoop
  private let logger: Logger
  private var written: Snapshot
  /// What is to be kept, whether it is written or not.
  private var newest: Snapshot
  private var isWriting = false
  private var lastFault: SnapshotFault?

  /// - Parameter written: What the file holds.
  public init(_ file: SnapshotFile, written: Snapshot, on loop: any EventLoop, logger: Logger) {
    gate = Gate(file, written: written)
    self.loop = loop
    self.logger = logger
    self.written = written
    newest = written
  }

  /// A new generation is durable when this returns: nobody may hear of one that a crash could forget. The rest will
  /// be soon.
  public func keep(_ snapshot: Snapshot) {
    newest = snapshot
    if snapshot.generation != written.generation {
      flush()
    } else if !isWriting {
      writeBeside()
    }
  }

  /// What was to be kept is durable when this returns.
  public func flush() {
    if newest != written { done(newest, gate.write(newest)) }
  }

  private func writeBeside() {
    guard newest != written else { return }
    let snapshot = newest
    isWriting = true
    let gate = gate
    let loop = loop
    let keeper = NIOLoopBound(self, eventLoop: loop)
    BackgroundThread.run {
      let fault = gate.write(snapshot)
      loop.execute {
        keeper.value.done(snapshot, fault)
        loop.assumeIsolated().scheduleTask(in: Self.pause) {
          keeper.value.isWriting = false
          keeper.value.writeBeside()
        }
      }
    }
  }

  private func done(_ snapshot: Snapshot, _ fault: SnapshotFault?) {
    if fault == nil, snapshot.generation >= written.generation { written = snapshot }
    if let fault, fault != lastFault {
      logger.error(
        "the member's state cannot be kept; a restart will do without",
        metadata: ["file": "\(gate.file.path)", "reason": "\(fault)"])
    }
    lastFault = fault
  }
}
