// A thread of its own that runs jobs in order, with timers: where blocking calls are made.
import CPlatform
import Glibc
import Wire

/// `@unchecked`: owns a pthread mutex and condition; everything that changes is guarded by that mutex.
public final class ThreadExecutor: Executor, @unchecked Sendable {
  private typealias Job = @Sendable () -> Void
  private struct Timer {
    var due: Duration
    var id: UInt64
    var job: Job
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wakeUp = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let name: String
  private var thread = pthread_t()
  private var jobs: [Job] = []
  /// By due time, latest first: few, and mostly cancelled or added at the end.
  private var timers: [Timer] = []
  private var timersMade: UInt64 = 0
  private var isWaiting = false
  private var isStopping = false

  /// Starts the thread, which keeps this object alive until `stop`. The kernel cuts `name` to 15 bytes.
  public init(name: String) {
    self.name = name
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(wakeUp, &attributes)
    pthread_condattr_destroy(&attributes)
    pthread_mutex_lock(mutex)  // held until `thread` is set, so that the thread knows itself
    let failure = pthread_create(
      &thread, nil,
      { context in
        Unmanaged<ThreadExecutor>.fromOpaque(context!).takeRetainedValue().runUntilStopped()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    precondition(failure == 0, "no thread for \(name): errno \(failure)")
    pthread_mutex_unlock(mutex)
  }

  deinit {
    pthread_cond_destroy(wakeUp)
    pthread_mutex_destroy(mutex)
    wakeUp.deallocate()
    mutex.deallocate()
  }

  public var isCurrent: Bool { pthread_equal(pthread_self(), thread) != 0 }

  public func execute(_ job: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(mutex)
    jobs.append(job)
    let isWaiting = self.isWaiting
    pthread_mutex_unlock(mutex)
    // Behind the lock: the woken thread would only wait for it, at the price of two more switches.
    if isWaiting { pthread_cond_signal(wakeUp) }
  }

  @discardableResult
  public func schedule(after delay: Duration, _ job: @escaping @Sendable () -> Void)
    -> ScheduledJob
  {
    let due = SystemTime().monotonic + delay
    pthread_mutex_lock(mutex)
    timersMade += 1
    let id = timersMade
    // Of equal times the earlier made is nearer the end, where the next one due is taken from.
    let place = timers.firstIndex { $0.due <= due } ?? timers.endIndex
    timers.insert(Timer(due: due, id: id, job: job), at: place)
    if place == timers.endIndex - 1 { wakeIfWaiting() }
    pthread_mutex_unlock(mutex)
    return ScheduledJob { [weak self] in self?.cancelTimer(id) }
  }

  /// Runs what is queued, drops timers, ends the thread and waits for that. Not to be called on the thread itself.
  public func stop() {
    precondition(!isCurrent, "a thread cannot wait for its own end")
    pthread_mutex_lock(mutex)
    precondition(!isStopping, "a thread is stopped once")
    isStopping = true
    wakeIfWaiting()
    pthread_mutex_unlock(mutex)
    pthread_join(thread, nil)
  }

  private func cancelTimer(_ id: UInt64) {
    pthread_mutex_lock(mutex)
    timers.removeAll { $0.id == id }
    pthread_mutex_unlock(mutex)
  }

  private func wakeIfWaiting() {
    if isWaiting { pthread_cond_signal(wakeUp) }
  }

  private func runUntilStopped() {
    millrace_name_thread(name)
    var batch: [Job] = []
    while takeJobs(into: &batch) {
      for job in batch { job() }
      batch.removeAll(keepingCapacity: true)
    }
  }

  /// Waits for jobs and takes them all; false when there are none and none will come.
  private func takeJobs(into batch: inout [Job]) -> Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      swap(&batch, &jobs)
      if let next = timers.last, next.due <= SystemTime().monotonic {
        let now = SystemTime().monotonic
        while let timer = timers.last, timer.due <= now { batch.append(timers.removeLast().job) }
      }
      if !batch.isEmpty { return true }
      if isStopping { return false }
      isWaiting = true
      if let next = timers.last {
        var until = timespec(next.due)
        pthread_cond_timedwait(wakeUp, mutex, &until)
      } else {
        pthread_cond_wait(wakeUp, mutex)
      }
      isWaiting = false
    }
  }
}

/// The machine's clocks.
public struct SystemTime: TimeSource {
  public init() {}

  public var now: Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
  }

  public var monotonic: Duration {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}

extension timespec {
  fileprivate init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    self.init(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
  }
}
