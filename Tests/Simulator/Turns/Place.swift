// One place of the simulation: a queue of jobs, run here if they never block, else on a thread that can be held up.
import Dispatch

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class Place {
  let name: String
  unowned let world: World
  /// True for a thread of its own, which may wait in disk calls; false for an event loop, which must not.
  let mayBlock: Bool
  var weight = 16
  var isDead = false
  private var jobs: [@Sendable () -> Void] = []
  private var jobsStart = 0
  /// Its job waits in a blocking call for its next turn.
  private var isHeldUp = false
  private var thread: TurnThread?

  init(name: String, world: World, mayBlock: Bool) {
    self.name = name
    self.world = world
    self.mayBlock = mayBlock
  }

  var isRunnable: Bool { isHeldUp || jobsStart < jobs.count }

  func queue(_ job: @escaping @Sendable () -> Void) {
    guard !isDead else { return }
    jobs.append(job)
  }

  private func nextJob() -> (@Sendable () -> Void) {
    let job = jobs[jobsStart]
    // What it holds is let go of with it, however long the queue lasts.
    jobs[jobsStart] = {}
    jobsStart += 1
    if jobsStart == jobs.count {
      jobs.removeAll(keepingCapacity: true)
      jobsStart = 0
    } else if jobsStart > 256 {
      jobs.removeFirst(jobsStart)
      jobsStart = 0
    }
    return job
  }

  /// Runs the next job, up to its end or its next blocking call.
  func takeTurn() {
    guard mayBlock else { return nextJob()() }
    if isHeldUp {
      isHeldUp = false
      thread!.goOn()
    } else {
      if thread == nil { thread = TurnThread() }
      thread!.run(nextJob())
    }
  }

  /// Called by a blocking call: others take turns before it goes on.
  func holdUp() {
    guard !isDead else { return }
    precondition(mayBlock, "a loop cannot be held up")
    isHeldUp = true
    thread!.holdUp()
  }

  /// Lets a held up job run out (its calls fail from now on) and ends the thread.
  func end() {
    precondition(isDead)
    jobs = []
    jobsStart = 0
    if isHeldUp {
      isHeldUp = false
      thread!.goOn()
    }
    thread?.end()
    thread = nil
  }
}

/// A thread that runs only while the turn-taker waits for it.
private final class TurnThread: Sendable {
  private let go = DispatchSemaphore(value: 0)
  private let done = DispatchSemaphore(value: 0)
  private let job = Held(JobBox())

  private final class JobBox {
    var job: (@Sendable () -> Void)?
    func take() -> (@Sendable () -> Void)? {
      defer { job = nil }
      return job
    }
  }

  init() {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(self)
    let status = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<TurnThread>.fromOpaque(argument!).takeRetainedValue().loop()
        return nil
      }, body.toOpaque())
    precondition(status == 0, "no thread: \(status)")
    pthread_detach(thread)
  }

  private func loop() {
    while true {
      go.wait()
      guard runJob() else { return }
      done.signal()
    }
  }

  /// What the job held is let go of before the turn is given back.
  private func runJob() -> Bool {
    guard let next = job.value.take() else { return false }
    next()
    return true
  }

  func run(_ next: @escaping @Sendable () -> Void) {
    job.value.job = next
    goOn()
  }

  func goOn() {
    go.signal()
    guard done.wait(timeout: .now() + .seconds(60)) == .success else {
      fatalError("a job never came back: does it wait for a lock that is held across a disk call?")
    }
  }

  /// On this thread: gives the turn back and waits for the next.
  func holdUp() {
    done.signal()
    go.wait()
  }

  func end() {
    job.value.job = nil
    go.signal()
  }
}
