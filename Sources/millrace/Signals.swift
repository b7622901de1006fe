// Unix signals as a stream of wishes, passed on by a pipe to a thread of their own.
import Glibc
import Synchronization

enum Signals {
  enum Wish: Sendable { case stop, reload }

  /// Where the handler writes. Set once, before the handler is installed.
  private static let pipeEnd = Atomic<CInt>(-1)

  /// What the operator asks from now on. A second wish to stop ends the process at once.
  ///
  /// To be called once. Handlers, not a blocked mask and `sigwaitinfo`: on Linux the main thread of an async program
  /// waits in libdispatch with every signal let through, and a signal without a handler would end the process there.
  static func wishes() -> AsyncStream<Wish> {
    var ends: [CInt] = [-1, -1]
    precondition(pipe(&ends) == 0, "no pipe for signals: errno \(errno)")
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

    let (stream, continuation) = AsyncStream.makeStream(of: Wish.self)
    let watch = Watch(readEnd: ends[0], continuation: continuation)
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
      var stops = 0
      var byte: UInt8 = 0
      while true {
        guard read(readEnd, &byte, 1) == 1 else { continue }
        switch CInt(byte) {
        case SIGHUP: continuation.yield(.reload)
        case SIGTERM, SIGINT:
          stops += 1
          // Whoever asks twice will not wait: as after a crash, what was acknowledged is on disk.
          if stops > 1 { _exit(130) }
          continuation.yield(.stop)
        default: continue
        }
      }
    }
  }
}
