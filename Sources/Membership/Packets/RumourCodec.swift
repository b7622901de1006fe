// Rumours to bytes and back: about 25 bytes each for a short name without metadata.
import NIOCore
import Wire

extension Codec {
  /// No rumour is larger: it always fits into a datagram beside any message.
  public static let rumourBytesMax =
    1 + (1 + MemberID.bytesMax) + 8 + 5 + 18 + 2 + Metadata.bytesMax + 1 + 4 * Profile.keysMax
    + (1 + MemberID.bytesMax)

  /// An accuser and refusals are told of a suspicion only, an age only of the dead and the left.
  public static func encode(_ rumour: Rumour) -> [UInt8] {
    let status = rumour.claim.status
    let accuser = status == .suspect ? rumour.accuser : nil
    var head = status.rawValue
    if rumour.profile.endpoint.ipv4 == nil { head |= RumourHead.ipv6 }
    if accuser != nil { head |= RumourHead.accuser }
    if status == .suspect, rumour.isRefused { head |= RumourHead.refused }
    var buffer = ByteBuffer()
    buffer.writeInteger(head)
    buffer.write(rumour.id)
    Varint.write(rumour.claim.generation, into: &buffer)
    Varint.write(UInt64(rumour.claim.incarnation), into: &buffer)
    buffer.write(rumour.profile.endpoint)
    Varint.write(UInt64(rumour.profile.metadata.encoded.count), into: &buffer)
    buffer.writeBytes(rumour.profile.metadata.encoded)
    buffer.writeInteger(UInt8(rumour.profile.keys.count))
    for key in rumour.profile.keys { buffer.writeInteger(key.rawValue) }
    if let accuser { buffer.write(accuser) }
    if !status.isPresent { Varint.write(UInt64(rumour.ageSeconds), into: &buffer) }
    return Array(buffer.readableBytesView)
  }

  static func rumour(_ reader: inout PacketReader) throws(PacketError) -> Rumour {
    let start = reader.position
    let head = try reader.byte(.status)
    guard head & ~RumourHead.all == 0, let status = Status(rawValue: head & RumourHead.status),
      status == .suspect || head & (RumourHead.accuser | RumourHead.refused) == 0
    else { throw .invalid(.status, at: start) }
    let id = try reader.member()
    let generation = try reader.generation()
    let incarnation = UInt32(try reader.varint(.incarnation, max: UInt64(UInt32.max)))
    let endpoint = try reader.endpoint(isIPv6: head & RumourHead.ipv6 != 0)
    let metadata = try metadata(&reader)
    let keys = try keys(&reader)
    return Rumour(
      id: id, claim: Claim(generation: generation, incarnation: incarnation, status: status),
      profile: Profile(endpoint: endpoint, metadata: metadata, keys: keys),
      accuser: head & RumourHead.accuser != 0 ? try reader.member(.accuser) : nil,
      isRefused: head & RumourHead.refused != 0,
      ageSeconds: status.isPresent ? 0 : UInt32(try reader.varint(.age, max: UInt64(UInt32.max))))
  }

  private static func metadata(_ reader: inout PacketReader) throws(PacketError) -> Metadata {
    let start = reader.position
    let count = try reader.varint(.metadata, max: UInt64(Metadata.bytesMax))
    guard let metadata = Metadata(encoded: try reader.take(Int(count), .metadata)) else {
      throw .invalid(.metadata, at: start)
    }
    return metadata
  }

  private static func keys(_ reader: inout PacketReader) throws(PacketError) -> [KeyID] {
    let count = Int(try reader.byte(.keys))
    guard count <= Profile.keysMax else { throw .invalid(.keys, at: reader.position - 1) }
    var keys: [KeyID] = []
    for _ in 0..<count { keys.append(KeyID(try reader.integer(.keys))) }
    return keys
  }
}

/// Bits of a rumour's first byte.
private enum RumourHead {
  static let status: UInt8 = 0b11
  static let ipv6: UInt8 = 0b100
  static let accuser: UInt8 = 0b1000
  static let refused: UInt8 = 0b1_0000
  static let all: UInt8 = 0b1_1111
}
