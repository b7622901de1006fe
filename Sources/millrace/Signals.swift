// Unix signals as a stream of wishes, taken by a thread of their own.
import Glibc

enum Signals {
  enum Wish: Sendable { case stop, reload }

  /// What the operator asks from now on. A second wish to stop ends the process at once.
  ///
  /// To be called once, before the event loops' threads are made: they inherit that these signals do not interrupt
  /// them.
  static func wishes() -> AsyncStream<Wish> {
    var watched = sigset_t()
    sigemptyset(&watched)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&watched, signal) }
    let code = pthread_sigmask(SIG_BLOCK, &watched, nil)
    precondition(code == 0, "signals cannot be blocked: \(code)")
    signal(SIGPIPE, SIG_IGN)

    let (stream, continuation) = AsyncStream.makeStream(of: Wish.self)
    let watch = Watch(signals: watched, continuation: continuation)
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
    private var signals: sigset_t
    private let continuation: AsyncStream<Wish>.Continuation

    init(signals: sigset_t, continuation: AsyncStream<Wish>.Continuation) {
      self.signals = signals
      self.continuation = continuation
    }

    func run() {
      var stops = 0
      while true {
        switch sigwaitinfo(&signals, nil) {
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
