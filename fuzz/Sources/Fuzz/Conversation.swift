// A connection of the transport without a socket, and a handler that answers in every way there is.
import Logging
import NIOCore
import NIOEmbedded

@testable import Gateway

/// One connection, from its first byte until the peer is gone; afterwards nothing of it may be left.
final class Conversation {
  /// What the handler was asked: method, path and body.
  private(set) var seen: [String] = []
  private let loop = EmbeddedEventLoop()
  private var state: LoopState!
  /// Answers that come when all input has been read.
  private var later: [() -> Void] = []
  private weak var connection: Connection?

  init(limits: TransportLimits) {
    let hooks = TransportHooks(
      admit: { head, _, _ in head.path == "/no" ? Answer(415) : nil },
      isBulk: { _ in false }, render: { Problem($0).answer(requestID: $1) }, accessLog: nil)
    state = LoopState(
      eventLoop: loop, index: 0, totals: TransportTotals(loops: 1), limits: limits, hooks: hooks,
      certificates: nil, logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() },
      heldBodyBytesMax: 4096, heldAnswerBytesMax: 1 << 20, requestIDSeed: 1,
      handle: { [unowned self] in handle($0) })
  }

  /// The date that its answers carry.
  var date: String { state.dateText }

  /// Gives the pieces, ends the peer's side, then closes. Returns what the peer heard, but for 100 Continue: whether a
  /// body must be asked for depends on whether it is there.
  func run(_ pieces: [[UInt8]]) -> [UInt8] {
    var output = converse(pieces)
    // The connection may go only when its channel has.
    loop.run()
    check(connection == nil, "a connection is left over")
    check(state.connections.isEmpty, "a connection is still listed")
    check(state.counters.heldBodyBytes == 0, "body bytes are still counted")
    check(state.counters.heldAnswerBytes == 0, "answer bytes are still counted")
    check(state.counters.connectionsOpen == 0, "a connection is still counted")
    while let found = output.firstRange(of: Self.interim) { output.removeSubrange(found) }
    return output
  }

  private static let interim = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

  private func converse(_ pieces: [[UInt8]]) -> [UInt8] {
    let channel = EmbeddedChannel(loop: loop)
    let connection = Connection(loop: state)
    self.connection = connection
    do {
      try channel.pipeline.syncOperations.addHandler(connection)
    } catch {
      fatalError("no handler: \(error)")
    }
    channel.pipeline.fireChannelActive()
    for piece in pieces {
      channel.pipeline.fireChannelRead(ByteBuffer(bytes: piece))
      loop.run()
    }
    channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    loop.run()
    while !later.isEmpty {
      let answers = later
      later = []
      for answer in answers { answer() }
      loop.run()
    }
    var output: [UInt8] = []
    while let piece = try? channel.readOutbound(as: ByteBuffer.self) {
      output += piece.readableBytesView
    }
    channel.close(promise: nil)
    loop.run()
    return output
  }

  private func handle(_ exchange: any Exchange) {
    let request = exchange.request
    seen.append("\(request.method) \(request.path) \(String(buffer: exchange.body))")
    switch request.path {
    case "/l": later.append { exchange.respond(200, Headers(), exchange.body) }
    case "/s": stream(exchange) { $0.finish() }
    case "/b": stream(exchange) { $0.abort() }
    case "/d":
      exchange.start(200, Headers())
      later.append { [self] in write(exchange) { $0.finish() } }
    case "/e": exchange.start(200, Headers([("content-type", "text/event-stream")]))
    default: exchange.respond(200, Headers(), exchange.body)
    }
  }

  private func stream(_ exchange: any Exchange, _ end: (any Exchange) -> Void) {
    exchange.start(200, Headers())
    write(exchange, end)
  }

  private func write(_ exchange: any Exchange, _ end: (any Exchange) -> Void) {
    for _ in 0..<3 { exchange.write(BodyChunk { $0.writeRepeatingByte(120, count: 700) }) }
    end(exchange)
  }
}
