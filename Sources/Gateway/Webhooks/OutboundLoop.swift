// The thread that drives libcurl: takes requests, tells libcurl which sockets are ready, hands out answers.
import CCurl
import Engine
import Glibc

/// Everything here belongs to one thread. libcurl's multi handle with sockets and timer of our own: a transfer that
/// only waits costs nothing, where curl_multi_poll would visit each one on every turn.
final class OutboundLoop {
  let settings: OutboundSettings
  let trust: TrustStore
  let sockets: OutboundSockets
  private let multi: UnsafeMutableRawPointer
  private let inbox: OutboundInbox
  private var desk: OutboundDesk
  private var running: [ObjectIdentifier: OutboundTransfer] = [:]
  private var idle: [OutboundTransfer] = []
  private var commands: [OutboundInbox.Command] = []
  private var outbox: [ObjectIdentifier: Replies] = [:]
  private var figures = OutboundFigures()
  private var shownFigures = OutboundFigures()
  /// When libcurl wants to be called though no socket is ready.
  private var timer: Duration?

  private struct Replies {
    var executor: any Executor
    var all: [(reply: OutboundClient.Reply, result: Result<OutboundAnswer, OutboundFailure>)] = []
  }

  init(_ settings: OutboundSettings, trust: TrustStore, inbox: OutboundInbox) {
    self.settings = settings
    self.trust = trust
    self.inbox = inbox
    Self.startLibrary
    guard let multi = curl_multi_init() else { preconditionFailure("no memory for libcurl") }
    self.multi = multi
    sockets = OutboundSockets(wakeUp: inbox.wakeUp)
    desk = OutboundDesk(
      callsMax: settings.requestsMax, callsPerOriginMax: settings.requestsPerOriginMax,
      waitingMax: settings.waitingMax)
    configure()
  }

  /// Closes what is left. All transfers must have ended.
  deinit {
    precondition(running.isEmpty, "transfers end before their loop")
    for transfer in idle { transfer.close() }
    curl_multi_cleanup(multi)
  }

  private static let startLibrary: Void = {
    precondition(curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK, "libcurl does not start")
  }()

  private func configure() {
    let socketCallback: curl_socket_callback = { _, socket, wish, context, _ in
      let sockets = Unmanaged<OutboundSockets>.fromOpaque(context!).takeUnretainedValue()
      sockets.wish(wish, for: socket)
      return 0
    }
    let timerCallback: curl_multi_timer_callback = { _, milliseconds, context in
      let loop = Unmanaged<OutboundLoop>.fromOpaque(context!).takeUnretainedValue()
      loop.timer =
        milliseconds < 0 ? nil : SystemTime().monotonic + .milliseconds(milliseconds)
      return 0
    }
    millrace_curlm_set_socket(multi, socketCallback)
    millrace_curlm_set_pointer(
      multi, CURLMOPT_SOCKETDATA, Unmanaged.passUnretained(sockets).toOpaque())
    millrace_curlm_set_timer(multi, timerCallback)
    millrace_curlm_set_pointer(multi, CURLMOPT_TIMERDATA, Unmanaged.passUnretained(self).toOpaque())
    // Those in use are bounded by the desk; this bounds what is kept for later.
    millrace_curlm_set_long(multi, CURLMOPT_MAXCONNECTS, settings.requestsMax)
    millrace_curlm_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
  }

  // MARK: - Turns

  /// Until the inbox is closed.
  func run() {
    while true {
      let isOpen = inbox.take(into: &commands)
      for command in commands { obey(command) }
      commands.removeAll(keepingCapacity: true)
      if !isOpen { break }
      turn()
      // What the answers have made room for.
      if startWaiting() { turn() }
      deliver()
      sockets.apply()
      let events = sockets.wait(until: inbox.maySleep() ? timer : .zero)
      for event in events {
        if event.socket == inbox.wakeUp {
          inbox.clearWakeUp()
        } else if sockets.isWanted(event.socket) {
          act(event.socket, event.mask)
        }
      }
    }
    end()
  }

  private func turn() {
    if let due = timer, due <= SystemTime().monotonic {
      timer = nil
      act(CURL_SOCKET_TIMEOUT, 0)
      if timer == nil {
        // Called a moment too early, libcurl does not repeat the time that it has told once.
        var milliseconds = 0
        curl_multi_timeout(multi, &milliseconds)
        if milliseconds >= 0 {
          timer = SystemTime().monotonic + .milliseconds(max(milliseconds, 1))
        }
      }
    }
    finishDone()
  }

  private func act(_ socket: CInt, _ mask: CInt) {
    var running: CInt = 0
    let result = curl_multi_socket_action(multi, socket, mask, &running)
    precondition(result == CURLM_OK, "libcurl: \(String(cString: curl_multi_strerror(result)))")
  }

  private func finishDone() {
    var left: CInt = 0
    while let message = curl_multi_info_read(multi, &left) {
      guard message.pointee.msg == CURLMSG_DONE else { continue }
      let transfer = OutboundTransfer.of(message.pointee.easy_handle)
      finish(transfer, transfer.outcome(millrace_curl_message_result(message)))
    }
  }

  // MARK: - Requests

  private func obey(_ command: OutboundInbox.Command) {
    switch command {
    case .send(let call):
      switch desk.arrive(call) {
      case .start: start(call)
      case .wait: break
      case .busy: answer(call, .failure(OutboundFailure(.busy)))
      }
    case .cancel(let call):
      if let transfer = running[ObjectIdentifier(call)] {
        finish(transfer, .failure(OutboundFailure(.cancelled)))
      } else if desk.withdraw(call) {
        answer(call, .failure(OutboundFailure(.cancelled)))
      }
    }
  }

  /// True if any could be started.
  private func startWaiting() -> Bool {
    var isAny = false
    while let call = desk.next() {
      start(call)
      isAny = true
    }
    return isAny
  }

  private func start(_ call: OutboundCall) {
    let transfer = idle.popLast() ?? OutboundTransfer(self)
    transfer.prepare(call)
    running[ObjectIdentifier(call)] = transfer
    figures.requests += 1
    let result = curl_multi_add_handle(multi, transfer.easy)
    if result != CURLM_OK {
      finish(transfer, .failure(OutboundFailure(.internalTrouble)))
    }
  }

  private func finish(
    _ transfer: OutboundTransfer, _ result: Result<OutboundAnswer, OutboundFailure>
  ) {
    curl_multi_remove_handle(multi, transfer.easy)
    let call = transfer.release()
    running[ObjectIdentifier(call)] = nil
    idle.append(transfer)
    desk.ended(call)
    if case .failure(let failure) = result, case .refusedAddress = failure.reason {
      figures.refusedAddresses += 1
    }
    answer(call, result)
  }

  private func answer(
    _ call: OutboundCall, _ result: Result<OutboundAnswer, OutboundFailure>
  ) {
    outbox[ObjectIdentifier(call.executor), default: Replies(executor: call.executor)]
      .all.append((call.reply, result))
  }

  /// One wake-up for each executor that has answers coming.
  private func deliver() {
    figures.inFlight = running.count
    figures.waiting = desk.waiting
    figures.connections = sockets.opened
    if figures != shownFigures {
      shownFigures = figures
      inbox.figures.withLock { $0 = figures }
    }
    for replies in outbox.values {
      let all = replies.all
      replies.executor.execute {
        for (reply, result) in all { reply(result) }
      }
    }
    outbox.removeAll(keepingCapacity: true)
  }

  private func end() {
    for call in desk.withdrawAll() { answer(call, .failure(OutboundFailure(.stopped))) }
    for transfer in Array(running.values) { finish(transfer, .failure(OutboundFailure(.stopped))) }
    deliver()
  }
}
