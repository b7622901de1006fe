// The owner of a shard over a real store: who is told what when a commit fails, and in which order loops are heard.
import Testing
import Wire

@testable import Engine

struct ShardOwnerTests {
  private func draft(_ value: String, _ extras: FrameExtras = .none) -> FrameDraft {
    var builder = FrameBuilder(extras: extras, valuesBytesHint: 16)
    Array(value.utf8).withUnsafeBytes { builder.appendPlain($0) }
    return builder.finish()
  }

  @Test func `a repeat is answered with the batch it repeats, whatever becomes of those behind it`()
    throws
  {
    let bench = try StoreBench.opened()
    let executor = bench.executor(of: 1)
    let shard = Shard(
      id: ShardID(1), index: 0, shardCount: 1, executor: executor,
      summary: ShardSummary(earliest: .zero, tail: .zero, bytes: 0))
    let owner = ShardOwner(
      shard,
      OwnerServices(
        log: bench.store, time: bench.turns.time, epoch: Epoch(1), limits: ShardLimits(),
        mailboxes: Mailboxes([executor]), meters: Meters()))
    let (first, second, repeated) = (
      Box<Result<Appended, AppendError>>(), Box<Result<Appended, AppendError>>(),
      Box<Result<Appended, AppendError>>()
    )
    // The first commit goes through, the next one does not.
    bench.turns.on(executor) { owner.trim(before: .zero, on: executor) { _ in } }
    let commits = Countdown(1)
    bench.disk.setFault { operation, path in
      operation == "write" && path.contains("wal") && commits.isOver() ? .full : nil
    }
    bench.turns.asCurrent(executor) {
      owner.append(draft("1", .producer("p", 1)), if: .none, on: executor) { first.set($0) }
    }
    bench.turns.run(jobsMax: 1)  // the flush: the first group is on its way
    bench.turns.asCurrent(executor) {
      owner.append(draft("2"), if: .none, on: executor) { second.set($0) }
      owner.append(draft("1", .producer("p", 1)), if: .none, on: executor) { repeated.set($0) }
    }
    bench.turns.run()
    #expect(try first.value?.get() == Appended(offsets: Offset(0)..<Offset(1), isDuplicate: false))
    #expect(throws: AppendError.diskFull) { try second.value?.get() }
    #expect(
      try repeated.value?.get() == Appended(offsets: Offset(0)..<Offset(1), isDuplicate: true))
  }

  @Test func `what is queued for a loop waits for what others posted there before`() {
    let turns = Turns()
    let (here, there) = (turns.executor("here"), turns.executor("there"))
    let mailboxes = Mailboxes([here, there])
    let heard = Box<[String]>()
    heard.set([])
    func say(_ word: String) -> @Sendable () -> Void { { heard.set(heard.value! + [word]) } }
    turns.asCurrent(there) { mailboxes.queue(to: here, say("settled there")) }
    turns.asCurrent(here) { mailboxes.queue(to: here, say("claimed here")) }
    #expect(heard.value == [])
    turns.run()
    #expect(heard.value == ["settled there", "claimed here"])
    turns.asCurrent(here) { mailboxes.queue(to: here, say("at once")) }
    #expect(heard.value?.last == "at once")
  }
}
