// Messages to bytes and back. Every message has one form, and everything else is refused: docs/membership.md.
import NIOCore
import Wire

public enum Codec {
  /// Through any path of IPv6 without fragments (its least MTU is 1280, RFC 8200 §5): a lost fragment is a lost packet.
  public static let datagramBytesMax = 1200
  public static let frameBytesMax = 65_536
  /// The largest that JSON's numbers hold exactly (RFC 8259 §6); milliseconds until the year 287,396. One more is never
  /// an overflow.
  public static let generationMax: UInt64 = 1 << 53 - 1

  // MARK: - Writing

  /// Writes the message; rumours, as `encode` makes them, may follow right behind it.
  public static func encode(_ message: Message, into buffer: inout ByteBuffer) {
    // Enough for a ping of names as most are, so that the buffer grows once and not four times.
    buffer.reserveCapacity(minimumWritableBytes: 64)
    buffer.writeInteger(message.kind.rawValue)
    switch message {
    case .ping(let ping):
      buffer.writeInteger(ping.sequence)
      buffer.write(ping.from)
      Varint.write(ping.generation, into: &buffer)
      buffer.write(ping.target)
      Varint.write(ping.targetGeneration, into: &buffer)
      buffer.write(ping.view)
    case .ack(let ack):
      buffer.writeInteger(ack.sequence)
      buffer.write(ack.from)
      Varint.write(ack.generation, into: &buffer)
      buffer.write(ack.view)
    case .pingRequest(let request):
      buffer.writeInteger(request.sequence)
      buffer.write(request.from)
      buffer.write(request.target)
      buffer.writeInteger(request.endpoint.ipv4 == nil ? 6 : 4 as UInt8)
      buffer.write(request.endpoint)
      buffer.writeInteger(request.remainingMilliseconds)
    case .nack(let nack):
      buffer.writeInteger(nack.sequence)
      buffer.write(nack.from)
    case .gossip(let gossip): buffer.write(gossip.from)
    case .hello(let hello):
      buffer.write(hello.from)
      Varint.write(hello.generation, into: &buffer)
    case .bye: break
    case .offer(let offer):
      buffer.write(offer.from)
      Varint.write(offer.generation, into: &buffer)
      buffer.writeInteger(offer.isJoin ? 1 : 0 as UInt8)
      for bucket in offer.buckets { buffer.writeInteger(bucket) }
    case .answer(let answer):
      buffer.write(answer.from)
      Varint.write(answer.generation, into: &buffer)
      buffer.writeBytes(answer.differing.bytes)
      buffer.writeInteger(answer.isLast ? 1 : 0 as UInt8)
    case .rest(let rest):
      buffer.write(rest.from)
      buffer.writeInteger(rest.isLast ? 1 : 0 as UInt8)
    }
  }

  public static func encode(
    _ message: Message, rumours: some Sequence<[UInt8]>, into buffer: inout ByteBuffer
  ) {
    encode(message, into: &buffer)
    for rumour in rumours { buffer.writeBytes(rumour) }
  }

  /// The bytes that `encode` writes.
  public static func byteCount(_ message: Message) -> Int {
    var buffer = ByteBuffer()
    encode(message, into: &buffer)
    return buffer.readableBytes
  }

  // MARK: - Reading

  /// What was encoded, and nothing else: no bytes are left over, and encoding the packet again gives the same bytes.
  public static func decode(_ bytes: ByteBufferView) throws(PacketError) -> Packet {
    // A closure cannot throw a typed error through NIO's lending.
    let result = bytes.withUnsafeBytes { bytes in
      Result { () throws(PacketError) -> Packet in
        var reader = PacketReader(bytes)
        return try packet(&reader)
      }
    }
    return try result.get()
  }

  private static func packet(_ reader: inout PacketReader) throws(PacketError) -> Packet {
    let kindByte = try reader.byte(.kind)
    guard let kind = PacketKind(rawValue: kindByte) else { throw .unknownKind(kindByte) }
    var packet = Packet(message: try message(kind, &reader))
    if !kind.carriesRumours, !reader.isAtEnd { throw .trailing(bytes: reader.remaining) }
    while !reader.isAtEnd { packet.rumours.append(try rumour(&reader)) }
    return packet
  }

  private static func message(
    _ kind: PacketKind, _ reader: inout PacketReader
  ) throws(PacketError) -> Message {
    switch kind {
    case .ping:
      .ping(
        Ping(
          sequence: try reader.integer(.sequence), from: try reader.member(),
          generation: try reader.generation(), target: try reader.member(),
          targetGeneration: try reader.generation(), view: try reader.view()))
    case .ack:
      .ack(
        Ack(
          sequence: try reader.integer(.sequence), from: try reader.member(),
          generation: try reader.generation(), view: try reader.view()))
    case .pingRequest: .pingRequest(try pingRequest(&reader))
    case .nack:
      .nack(Nack(sequence: try reader.integer(.sequence), from: try reader.member()))
    case .gossip: .gossip(Gossip(from: try reader.member()))
    case .hello: .hello(Hello(from: try reader.member(), generation: try reader.generation()))
    case .bye: .bye
    case .offer: .offer(try offer(&reader))
    case .answer:
      .answer(
        Answer(
          from: try reader.member(), generation: try reader.generation(),
          differing: BucketSet(bytes: Array(try reader.take(BucketSet.byteCount, .buckets))),
          isLast: try reader.flag(.mark)))
    case .rest: .rest(Rest(from: try reader.member(), isLast: try reader.flag(.mark)))
    }
  }

  private static func pingRequest(
    _ reader: inout PacketReader
  ) throws(PacketError) -> PingRequest {
    let (sequence, from) = (try reader.integer(.sequence, as: UInt32.self), try reader.member())
    let (target, family) = (try reader.member(), try reader.byte(.endpoint))
    guard family == 4 || family == 6 else { throw .invalid(.endpoint, at: reader.position - 1) }
    return PingRequest(
      sequence: sequence, from: from, target: target,
      endpoint: try reader.endpoint(isIPv6: family == 6),
      remainingMilliseconds: try reader.integer(.time))
  }

  private static func offer(_ reader: inout PacketReader) throws(PacketError) -> Offer {
    let (from, generation) = (try reader.member(), try reader.generation())
    let isJoin = try reader.flag(.mark)
    var buckets: [UInt64] = []
    buckets.reserveCapacity(ViewDigest.bucketCount)
    for _ in 0..<ViewDigest.bucketCount { buckets.append(try reader.integer(.buckets)) }
    return Offer(from: from, generation: generation, isJoin: isJoin, buckets: buckets)
  }
}

extension ByteBuffer {
  mutating func write(_ id: MemberID) {
    writeInteger(UInt8(id.text.utf8.count))
    writeString(id.text)
  }

  mutating func write(_ view: ViewMark) {
    writeInteger(view.hash)
    writeInteger(view.settled)
  }

  /// Which of the two it is stands before it.
  mutating func write(_ endpoint: Endpoint) {
    if let ipv4 = endpoint.ipv4 {
      writeInteger(ipv4)
    } else {
      writeInteger(endpoint.high)
      writeInteger(endpoint.low)
    }
    writeInteger(endpoint.port)
  }
}
