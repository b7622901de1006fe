// What a lane counts for /metrics; written on the lane, read from any thread.
import Synchronization

final class LaneCounters: Sendable {
  let frames = Atomic<Int>(0)
  let bytes = Atomic<Int>(0)
  let commits = Atomic<Int>(0)
  let commitNanoseconds = Atomic<Int>(0)
  let commitLatency = Mutex(LatencyHistogram())
  let failedCommits = Atomic<Int>(0)
  let logBytesInUse = Atomic<Int>(0)
  let logFiles = Atomic<Int>(0)
  let stagedBytes = Atomic<Int>(0)
  let cachedBytes = Atomic<Int>(0)
  let checkpoints = Atomic<Int>(0)
  let checkpointNanoseconds = Atomic<Int>(0)
  let checkpointBytes = Atomic<Int>(0)
  let failedCheckpoints = Atomic<Int>(0)
  let readsFromMemory = Atomic<Int>(0)
  let readsFromLog = Atomic<Int>(0)
  let readsFromSegments = Atomic<Int>(0)
  let isFull = Atomic<Int>(0)
  /// 1 while nothing can be committed because checkpoints fail.
  let isStuck = Atomic<Int>(0)
  let shards = Atomic<Int>(0)
  /// Why the last checkpoint that failed did.
  let lastCheckpointFailure = Mutex("")

  func samples(lane: Int) -> [MetricSample] {
    let labels = [(name: "lane", value: String(lane))]
    func counter(_ name: String, _ help: String, _ value: Double) -> MetricSample {
      MetricSample("millrace_store_" + name, .counter, help, labels: labels, value: value)
    }
    func gauge(_ name: String, _ help: String, _ value: Double) -> MetricSample {
      MetricSample("millrace_store_" + name, .gauge, help, labels: labels, value: value)
    }
    func read(_ atomic: borrowing Atomic<Int>) -> Double { Double(atomic.load(ordering: .relaxed)) }
    return [
      counter("frames_total", "Frames made durable.", read(frames)),
      counter("bytes_total", "Bytes of frames made durable.", read(bytes)),
      counter("commits_total", "Group commits, a sync each.", read(commits)),
      counter(
        "commit_seconds_total", "Time spent writing and syncing group commits.",
        read(commitNanoseconds) / 1e9),
      counter("failed_commits_total", "Group commits that failed.", read(failedCommits)),
      gauge("log_bytes", "Write-ahead log that waits for a checkpoint.", read(logBytesInUse)),
      gauge("log_files", "Write-ahead log files, free ones included.", read(logFiles)),
      gauge("staged_bytes", "Frames that wait for a commit.", read(stagedBytes)),
      gauge("cached_bytes", "Recent frames in memory.", read(cachedBytes)),
      counter("checkpoints_total", "Checkpoints made.", read(checkpoints)),
      counter(
        "checkpoint_seconds_total", "Time spent on checkpoints.",
        read(checkpointNanoseconds) / 1e9),
      counter(
        "checkpoint_bytes_total", "Bytes laid into segments.", read(checkpointBytes)),
      counter("failed_checkpoints_total", "Checkpoints that failed.", read(failedCheckpoints)),
      counter("reads_from_memory_total", "Reads answered from memory.", read(readsFromMemory)),
      counter("reads_from_log_total", "Reads answered from log files.", read(readsFromLog)),
      counter(
        "reads_from_segments_total", "Reads answered from segments.", read(readsFromSegments)),
      gauge("full", "1 while appends are refused for want of disk space.", read(isFull)),
      gauge("shards", "Shards known.", read(shards)),
    ]
  }
}

extension Atomic<Int> {
  func add(_ count: Int) { wrappingAdd(count, ordering: .relaxed) }
  func set(_ value: Int) { store(value, ordering: .relaxed) }
}
