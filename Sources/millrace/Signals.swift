// Unix signals as wishes, passed on by a pipe: to a thread of their own, or to whoever reads it.
import Glibc
import Synchronization

enum Signals {
  enum Wish: Sendable { case stop, reload }

  /// Where the handler writes. Set once, before the handler is installed.
  private static let pipeEnd = Atomic<CInt>(-1)

  /// The end of a pipe from which each signal is read as a byte with its number; `Counter` tells what it means.
  ///
  /// To be called once. Handlers, not a blocked mask and `sigwaitinfo`: on Linux the main thread of an async program
  /// waits in libdispatch with every signal let through, and a signal without a handler would end the process there.
  static func pipe() -> CInt {
    var ends: [CInt] = [-1, -1]
    precondition(Glibc.pipe(&ends) == 0, "no pipe for signals: errno \(errno)")
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    // A handler must never wait, however many signals come.
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    pipeEnd.store(ends[1], ordering: .releasing)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      let saved = errno
      var byte = UInt8(truncatingIfNeeded: signal)
      _ = write(Signals.pipeEnd.load(ordering: .acquiring), &byte, 1)
      errno = saved
    }
    sigfillset(&action.sa_mask)
    action.sa_flags = SA_RESTART
    for signal in [SIGTERM, SIGINT, SIGHUP] {
      precondition(sigaction(signal, &action, nil) == 0, "signal \(signal) cannot be handled")
    }
    signal(SIGPIPE, SIG_IGN)
    return ends[0]
  }

  /// What the signals read so far ask for. A second wish to stop ends the process at once.
  struct Counter {
    private var stops = 0

    mutating func wish(_ byte: UInt8) -> Wish? {
      switch CInt(byte) {
      case SIGHUP: return .reload
      case SIGTERM, SIGINT:
        stops += 1
        // Whoever asks twice will not wait: as after a crash, what was acknowledged is on disk.
        if stops > 1 { _exit(130) }
        return .stop
      default: return nil
      }
    }
  }

  /// What the operator asks from now on. To be called once.
  static func wishes() -> AsyncStream<Wish> {
    let (stream, continuation) = AsyncStream.makeStream(of: Wish.self)
    let watch = Watch(readEnd: pipe(), continuation: continuation)
    var thread = pthread_t()
    let failure = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { preconditionFailure("the thread got its argument") }
        Unmanaged<Watch>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(watch).toOpaque())
    precondition(failure == 0, "the thread for signals cannot be made: \(failure)")
    pthread_detach(thread)
    return stream
  }

  private final class Watch {
    private let readEnd: CInt
    private let continuation: AsyncStream<Wish>.Continuation

    init(readEnd: CInt, continuation: AsyncStream<Wish>.Continuation) {
      self.readEnd = readEnd
      self.continuation = continuation
    }

    func run() {
      var counter = Counter()
      var byte: UInt8 = 0
      while true {
        guard read(readEnd, &byte, 1) == 1 else { continue }
        if let wish = counter.wish(byte) { continuation.yield(wish) }
      }
    }
  }
}
