// The two parsers behind one interface: bytes of a read go in, requests and refusals are counted.
import Gateway
import NIOCore
import NIOEmbedded
import NIOHTTP1

/// What came of some bytes.
struct Outcome {
  /// Requests whose end was seen.
  var whole = 0
  /// Targets of all heads, in order; kept only when asked for.
  var targets: [String] = []
  var fields = 0
  var bodyBytes = 0
  var isRefused = false
}

/// One connection's parser.
protocol Parsing: AnyObject {
  var outcome: Outcome { get }
  func receive(_ bytes: ByteBuffer)
}

/// Ours, as `HTTP1Session` drives it.
final class Strict: Parsing {
  private(set) var outcome = Outcome()
  private let keepsTargets: Bool
  private var parser = HTTP1Parser(limits: TransportLimits(), isTLS: false)
  private var held = ByteBuffer()

  init(keepsTargets: Bool = false) { self.keepsTargets = keepsTargets }

  func receive(_ bytes: ByteBuffer) {
    if held.readableBytes == 0 { held = bytes } else { held.writeImmutableBuffer(bytes) }
    while !outcome.isRefused {
      var position = 0
      let event = held.withUnsafeReadableBytes { parser.next(in: $0, at: &position) }
      switch event {
      case .needsMore:
        held.moveReaderIndex(forwardBy: position)
        if held.readableBytes == 0 { held = ByteBuffer() }
        return
      case .head(let head):
        outcome.fields += head.request.headers.fields.count
        if keepsTargets { outcome.targets.append(head.request.path) }
      case .body(let range):
        let body = held.getSlice(at: held.readerIndex + range.lowerBound, length: range.count)
        outcome.bodyBytes += body?.readableBytes ?? 0
      case .end: outcome.whole += 1
      case .failed: outcome.isRefused = true
      }
      held.moveReaderIndex(forwardBy: position)
    }
  }
}

/// SwiftNIO's `HTTPRequestDecoder` (llhttp), as every server on NIO uses it: a handler, and one behind it that counts.
final class Decoder: Parsing {
  private final class Counter: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    var outcome = Outcome()
    let keepsTargets: Bool

    init(keepsTargets: Bool) { self.keepsTargets = keepsTargets }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        outcome.fields += head.headers.count
        if keepsTargets { outcome.targets.append(head.uri) }
      case .body(let body): outcome.bodyBytes += body.readableBytes
      case .end: outcome.whole += 1
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { outcome.isRefused = true }
  }

  private let counter: Counter
  private let channel = EmbeddedChannel()
  var outcome: Outcome { counter.outcome }

  init(keepsTargets: Bool = false) {
    counter = Counter(keepsTargets: keepsTargets)
    try? channel.pipeline.syncOperations.addHandlers([
      ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)), counter,
    ])
    channel.pipeline.fireChannelActive()
  }

  func receive(_ bytes: ByteBuffer) {
    channel.pipeline.fireChannelRead(bytes)
    channel.pipeline.fireChannelReadComplete()
  }
}
