// Reads and rewrites packets in clear, as one who has the cluster's label can.
import Membership
import NIOCore
import Wire

struct Rewriter {
  static let label = "simulated"

  /// What bytes are: frames of either side of a stream are marked otherwise than datagrams.
  private enum Carrier: CaseIterable { case datagram, opener, acceptor }

  private var envelope: Envelope

  init(session: UInt64) {
    envelope = Envelope(keyring: nil, label: Self.label, session: session)
  }

  mutating func packet(_ bytes: ByteBuffer) -> Packet? { opened(bytes)?.packet }

  private mutating func opened(_ bytes: ByteBuffer) -> (packet: Packet, carrier: Carrier)? {
    for carrier in Carrier.allCases {
      let body: ByteBufferView?
      switch carrier {
      case .datagram: body = try? envelope.open(bytes.readableBytesView)
      case .opener:
        var acceptor = StreamEnvelope(number: 1, isOpener: false)
        body = try? envelope.open(bytes.readableBytesView, on: &acceptor)
      case .acceptor:
        var opener = StreamEnvelope(number: 1, isOpener: true)
        body = try? envelope.open(bytes.readableBytesView, on: &opener)
      }
      if let body, let packet = try? Codec.decode(body) { return (packet, carrier) }
    }
    return nil
  }

  /// The same packet with other rumours; what is no packet in clear stays as it is.
  mutating func rewritten(_ bytes: ByteBuffer, _ change: (Rumour) -> Rumour?) -> ByteBuffer {
    guard let (packet, carrier) = opened(bytes), !packet.rumours.isEmpty else { return bytes }
    let rumours = packet.rumours.compactMap(change)
    guard rumours != packet.rumours else { return bytes }
    return sealed(packet.message, rumours, carrier)
  }

  private mutating func sealed(
    _ message: Message, _ rumours: [Rumour], _ carrier: Carrier
  ) -> ByteBuffer {
    var body = ByteBuffer()
    Codec.encode(message, rumours: rumours.map { Codec.encode($0) }, into: &body)
    switch carrier {
    case .datagram: return envelope.seal(body)
    case .opener:
      var opener = StreamEnvelope(number: 1, isOpener: true)
      return envelope.seal(body, on: &opener)
    case .acceptor:
      var acceptor = StreamEnvelope(number: 1, isOpener: false)
      return envelope.seal(body, on: &acceptor)
    }
  }

  // MARK: Forgeries

  /// The answer of one who is not there; nil to all but its pings.
  mutating func acknowledgement(of bytes: ByteBuffer, generation: UInt64) -> ByteBuffer? {
    guard case .ping(let ping) = packet(bytes)?.message else { return nil }
    let ack = Ack(
      sequence: ping.sequence, from: ping.target, generation: generation, view: ping.view)
    return sealed(.ack(ack), [], .datagram)
  }

  /// A damaged packet whose checksum, or with `keys` a repeated one whose seal, is right all the same.
  static func forged(_ real: ByteBuffer, _ keys: Keyring?, _ random: inout Random) -> ByteBuffer {
    var reader = Envelope(keyring: keys, label: label, session: random.next())
    guard let opened = try? reader.open(real.readableBytesView) else { return real }
    var body = ByteBuffer(opened)
    if keys == nil, body.readableBytes > 0 {
      let index = body.readerIndex + random.below(body.readableBytes)
      let byte: UInt8 = body.getInteger(at: index) ?? 0
      body.setInteger(byte ^ (1 << UInt8(random.below(8))), at: index)
    }
    var writer = Envelope(keyring: keys, label: label, session: random.next())
    return writer.seal(body)
  }
}
