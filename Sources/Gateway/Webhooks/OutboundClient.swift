// Sends requests to other servers by libcurl, on a thread of its own. Requests and answers cross in batches.
import CPlatform
import Engine
import Glibc
import Synchronization

/// Any thread may call it. What it dials is decided by the settings' policy, on each address that is dialled.
/// - SeeAlso: docs/decisions/009-libcurl.md
public final class OutboundClient: Sendable {
  public typealias Reply = @Sendable (Result<OutboundAnswer, OutboundFailure>) -> Void

  private let inbox: OutboundInbox
  private let thread: Mutex<pthread_t?>

  /// Starts the thread, which runs until `stop`.
  public init(_ settings: OutboundSettings, trust: TrustStore) {
    let inbox = OutboundInbox()
    self.inbox = inbox
    var thread = pthread_t()
    let start = ThreadStart(inbox: inbox, settings: settings, trust: trust)
    let failure = pthread_create(
      &thread, nil,
      { context in
        let start = Unmanaged<ThreadStart>.fromOpaque(context!).takeRetainedValue()
        ThreadStart.prepare()
        let loop = OutboundLoop(start.settings, trust: start.trust, inbox: start.inbox)
        loop.run()
        return nil
      }, Unmanaged.passRetained(start).toOpaque())
    precondition(failure == 0, "no thread for requests to others: errno \(failure)")
    self.thread = Mutex(thread)
  }

  /// Sends `request`; `reply` runs once, on `executor`, whatever happens.
  @discardableResult
  public func send(
    _ request: OutboundRequest, on executor: any Executor, reply: @escaping Reply
  ) -> OutboundTicket {
    let call = OutboundCall(request, executor, reply)
    if !inbox.post(.send(call)) { call.fail(.stopped) }
    return OutboundTicket(call: call, inbox: inbox)
  }

  /// What it is doing.
  public var figures: OutboundFigures { inbox.figures.withLock { $0 } }

  /// Answers `.stopped` to all that is in flight or waits, closes every connection, and ends the thread; later requests
  /// get `.stopped` too. Waits for that: a few milliseconds. Not to be called by a reply that runs on that thread.
  public func stop() {
    guard
      let thread = thread.withLock({ thread in
        defer { thread = nil }
        return thread
      })
    else { return }
    inbox.close()
    pthread_join(thread, nil)
  }
}

/// A request that was sent.
public struct OutboundTicket: Sendable {
  fileprivate let call: OutboundCall
  fileprivate let inbox: OutboundInbox

  /// Ends the request: the reply is `.cancelled`, unless another one is already on its way.
  public func cancel() { _ = inbox.post(.cancel(call)) }
}

/// Gauges and counts since the start.
public struct OutboundFigures: Sendable, Equatable {
  public var inFlight = 0
  public var waiting = 0
  public var requests: UInt64 = 0
  public var connections: UInt64 = 0
  public var refusedAddresses: UInt64 = 0
}

private final class ThreadStart: Sendable {
  let inbox: OutboundInbox
  let settings: OutboundSettings
  let trust: TrustStore

  init(inbox: OutboundInbox, settings: OutboundSettings, trust: TrustStore) {
    self.inbox = inbox
    self.settings = settings
    self.trust = trust
  }

  /// A peer that closes must be an error of the call, not a signal to the process.
  static func prepare() {
    millrace_name_thread("outbound")
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
  }
}

/// A request on its way, the same object for whoever sent it and for the thread.
final class OutboundCall: Sendable {
  let request: OutboundRequest
  let executor: any Executor
  let reply: OutboundClient.Reply

  init(
    _ request: OutboundRequest, _ executor: any Executor, _ reply: @escaping OutboundClient.Reply
  ) {
    self.request = request
    self.executor = executor
    self.reply = reply
  }

  /// Answers a request that never got to the thread.
  func fail(_ reason: OutboundFailure.Reason) {
    let reply = reply
    executor.execute { reply(.failure(OutboundFailure(reason))) }
  }
}

/// What others want of the thread, and how it is woken.
final class OutboundInbox: Sendable {
  enum Command: Sendable {
    case send(OutboundCall)
    case cancel(OutboundCall)
  }

  private struct State {
    var commands: [Command] = []
    var isAsleep = false
    var isClosed = false
  }

  private let state = Mutex(State())
  let figures = Mutex(OutboundFigures())
  /// Readable when the thread is to look here.
  let wakeUp: CInt

  init() {
    wakeUp = eventfd(0, CInt(EFD_NONBLOCK) | CInt(EFD_CLOEXEC))
    precondition(wakeUp >= 0, "no eventfd: errno \(errno)")
  }

  deinit { Glibc.close(wakeUp) }

  /// False once closed.
  func post(_ command: Command) -> Bool {
    let (isTaken, wakes) = state.withLock { state in
      if state.isClosed { return (false, false) }
      state.commands.append(command)
      defer { state.isAsleep = false }
      return (true, state.isAsleep)
    }
    if wakes { wake() }
    return isTaken
  }

  func close() {
    state.withLock { $0.isClosed = true }
    wake()
  }

  /// Takes all; `batch` comes empty. False once closed, with the last of them.
  func take(into batch: inout [Command]) -> Bool {
    state.withLock { state in
      swap(&state.commands, &batch)
      return !state.isClosed
    }
  }

  /// Whether the thread may sleep: nothing is here, and whatever comes will wake it.
  func maySleep() -> Bool {
    state.withLock { state in
      state.isAsleep = state.commands.isEmpty && !state.isClosed
      return state.isAsleep
    }
  }

  func clearWakeUp() {
    var count: UInt64 = 0
    _ = read(wakeUp, &count, MemoryLayout<UInt64>.size)
  }

  private func wake() {
    var one: UInt64 = 1
    _ = write(wakeUp, &one, MemoryLayout<UInt64>.size)
  }
}
