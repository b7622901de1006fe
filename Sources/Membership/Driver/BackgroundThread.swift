// What may block (a name that is looked up, a file that is synced) on a thread that is gone afterwards.
import Glibc

/// A thread for each piece of work: they are rare, and an idle member keeps no second stack.
enum BackgroundThread {
  /// getaddrinfo's needs (NSS modules have buffers of several KiB on the stack), with room to spare.
  private static let stackBytes = 512 << 10

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  /// Runs `body` elsewhere, or at once when there can be no thread.
  static func run(_ body: @escaping @Sendable () -> Void) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, stackBytes)
    let argument = Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    let failure = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { preconditionFailure("the thread got its argument") }
        Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, argument.toOpaque())
    if failure != 0 { argument.takeRetainedValue().body() }
  }
}
