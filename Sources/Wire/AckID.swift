// One delivery of one record, as the opaque text that consumers send back to settle it.
import NIOCore

/// Names one delivery of one record of a subscription.
///
/// As text: `a`, then base64url without padding of
///
///     varints   track, offset, lease, epoch
///     2 bytes   the lower half of the CRC32C of the salt (8 bytes, little-endian) and all before, little-endian
///
/// The salt is the subscription's incarnation and not part of the text: an id of another subscription is damaged, never
/// a right to settle somebody else's record. A delivery has exactly one text.
public struct AckID: Hashable, Sendable {
  /// Which of the subscription's tracks: a shard's own, or a replay's.
  public var track: UInt32
  public var offset: Offset
  /// The serial of the lease that it was delivered under; grows as long as its owner lives.
  public var lease: UInt64
  /// The low bits of the owner's epoch: after a restart the ids of before mean nothing.
  public var epoch: UInt32

  public init(track: UInt32, offset: Offset, lease: UInt64, epoch: UInt32) {
    self.track = track
    self.offset = offset
    self.lease = lease
    self.epoch = epoch
  }

  /// `a` and what two varints of 32 bits, two of 64 and the checksum take at most.
  public static let textBytesMax = 1 + (bytesMax * 4 + 2) / 3
  private static let bytesMax = 5 + 10 + 10 + 5 + 2
  private static let mark = UInt8(ascii: "a")
}

/// The text is not one that `AckID.write` wrote for this subscription: cut off, changed, or another one's.
public struct AckIDDamaged: Error, Equatable, Sendable {
  public init() {}
}

extension AckID {
  /// Appends the text.
  public func write(into buffer: inout ByteBuffer, salt: UInt64) {
    withUnsafeTemporaryAllocation(byteCount: Self.bytesMax, alignment: 8) { body in
      var count = 0
      Varint.write(UInt64(track), to: body, at: &count)
      Varint.write(offset.rawValue, to: body, at: &count)
      Varint.write(lease, to: body, at: &count)
      Varint.write(UInt64(epoch), to: body, at: &count)
      let checksum = Self.checksum(UnsafeRawBufferPointer(rebasing: body[..<count]), salt: salt)
      body[count] = UInt8(truncatingIfNeeded: checksum)
      body[count + 1] = UInt8(truncatingIfNeeded: checksum >> 8)
      buffer.writeInteger(Self.mark)
      Base64.encode(UnsafeRawBufferPointer(rebasing: body[..<(count + 2)]), .url, into: &buffer)
    }
  }

  public func encoded(salt: UInt64) -> String {
    var buffer = ByteBuffer()
    write(into: &buffer, salt: salt)
    return String(buffer: buffer)
  }

  /// Reads what `write` wrote under the same salt; nothing else is taken.
  public init(text: UnsafeRawBufferPointer, salt: UInt64) throws(AckIDDamaged) {
    guard text.count > 1, text.count <= Self.textBytesMax, text[0] == Self.mark else {
      throw AckIDDamaged()
    }
    let letters = UnsafeRawBufferPointer(rebasing: text.dropFirst())
    let read: AckID? = withUnsafeTemporaryAllocation(
      byteCount: Self.bytesMax + 3, alignment: 8
    ) { body in
      guard let count = Base64.decode(letters, .url, into: body) else { return nil }
      return AckID(bytes: UnsafeRawBufferPointer(rebasing: body[..<count]), salt: salt)
    }
    guard let read else { throw AckIDDamaged() }
    self = read
  }

  public init(decoding text: String, salt: UInt64) throws(AckIDDamaged) {
    var text = text
    let read: AckID? = text.withUTF8 { letters in
      try? AckID(text: UnsafeRawBufferPointer(letters), salt: salt)
    }
    guard let read else { throw AckIDDamaged() }
    self = read
  }

  private init?(bytes: UnsafeRawBufferPointer, salt: UInt64) {
    guard bytes.count >= 4 + 2 else { return nil }
    let body = UnsafeRawBufferPointer(rebasing: bytes.dropLast(2))
    guard Self.checksum(body, salt: salt) == bytes.little(UInt16.self, at: body.count) else {
      return nil
    }
    var position = 0
    guard let track = Varint.read(body, at: &position), let track = UInt32(exactly: track),
      let offset = Varint.read(body, at: &position),
      let lease = Varint.read(body, at: &position),
      let epoch = Varint.read(body, at: &position), let epoch = UInt32(exactly: epoch),
      position == body.count
    else { return nil }
    self.init(track: track, offset: Offset(offset), lease: lease, epoch: epoch)
  }

  private static func checksum(_ body: UnsafeRawBufferPointer, salt: UInt64) -> UInt16 {
    let salted = withUnsafeBytes(of: salt.littleEndian) { CRC32C.checksum($0) }
    return UInt16(truncatingIfNeeded: CRC32C.checksum(body, continuing: salted))
  }
}
