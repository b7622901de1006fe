// Unix signals, taken one at a time by the main thread while the event loops work.
import Glibc

enum Signals {
  enum Taken { case stop, reload, none }

  /// Keeps these signals from interrupting any thread; call it before the first thread is made.
  static func block() {
    var set = watched
    let code = pthread_sigmask(SIG_BLOCK, &set, nil)
    precondition(code == 0, "signals cannot be blocked: \(code)")
    signal(SIGPIPE, SIG_IGN)
  }

  /// Waits for the next of the blocked signals, at most until `timeout` is over.
  static func wait(atMost timeout: Duration? = nil) -> Taken {
    var set = watched
    let taken: CInt
    if let timeout {
      var rest = timespec(
        tv_sec: Int(timeout.components.seconds),
        tv_nsec: Int(timeout.components.attoseconds / 1_000_000_000))
      taken = sigtimedwait(&set, nil, &rest)
    } else {
      taken = sigwaitinfo(&set, nil)
    }
    switch taken {
    case SIGTERM, SIGINT: return .stop
    case SIGHUP: return .reload
    default: return .none
    }
  }

  private static var watched: sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, signal) }
    return set
  }
}
