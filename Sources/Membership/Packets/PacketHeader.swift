// What stands before a packet's body, for all to see.
import NIOCore

/// The second byte.
struct PacketFlags: OptionSet, Hashable, Sendable {
  let rawValue: UInt8
  static let sealed = PacketFlags(rawValue: 1)
  /// A frame of a stream.
  static let stream = PacketFlags(rawValue: 2)
  /// From the side that accepted the stream.
  static let accepted = PacketFlags(rawValue: 4)
}

enum PacketHeader {
  static let version: UInt8 = 1
  /// Version, flags, cluster id, checksum.
  static let clearBytes = 1 + 1 + 4 + 4

  /// Nil of a packet with the version and the flags that are expected.
  static func fault(_ bytes: ByteBufferView, expecting flags: PacketFlags) -> OpenError? {
    let (first, second) = (bytes.startIndex, bytes.startIndex + 1)
    guard bytes.count >= 2 else { return .tooShort(bytes: bytes.count) }
    guard bytes[first] == version else { return .unknownVersion(bytes[first]) }
    let found = PacketFlags(rawValue: bytes[second])
    if found == flags { return nil }
    switch found.symmetricDifference(flags) {
    case .sealed: return found.contains(.sealed) ? .sealed : .notSealed
    default: return .unexpectedFlags(found.rawValue)
    }
  }
}

/// The header of a sealed packet.
struct SealedHeader {
  static let datagramBytes = 1 + 1 + 4 + 8 + 8
  static let frameBytes = datagramBytes + 8

  let flags: PacketFlags
  let key: KeyID
  let session: UInt64
  /// Of the stream; 0 for a datagram, where it is not written.
  let number: UInt64
  let counter: UInt64

  static func byteCount(_ flags: PacketFlags) -> Int {
    flags.contains(.stream) ? frameBytes : datagramBytes
  }

  func write(into buffer: inout ByteBuffer) {
    buffer.writeMultipleIntegers(PacketHeader.version, flags.rawValue, key.rawValue, session)
    if flags.contains(.stream) { buffer.writeInteger(number) }
    buffer.writeInteger(counter)
  }

  init(flags: PacketFlags, key: KeyID, session: UInt64, number: UInt64, counter: UInt64) {
    self.flags = flags
    self.key = key
    self.session = session
    self.number = number
    self.counter = counter
  }

  init(_ bytes: ByteBufferView, expecting flags: PacketFlags) throws(OpenError) {
    if let fault = PacketHeader.fault(bytes, expecting: flags) { throw fault }
    var buffer = ByteBuffer(bytes)
    buffer.moveReaderIndex(forwardBy: 2)
    guard bytes.count >= Self.byteCount(flags) + Envelope.tagBytes,
      let (key, session) = buffer.readMultipleIntegers(as: (UInt32, UInt64).self),
      let number = flags.contains(.stream) ? buffer.readInteger(as: UInt64.self) : 0,
      let counter = buffer.readInteger(as: UInt64.self)
    else { throw .tooShort(bytes: bytes.count) }
    // No session gets that far; windows hold one more than the last.
    guard number < .max, counter < .max else {
      throw .replayed(session: session, counter: max(number, counter))
    }
    self.init(
      flags: flags, key: KeyID(key), session: session, number: number, counter: counter)
  }
}
