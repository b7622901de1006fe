// The head of a frame: its numbers, and the checks that make a frame safe to walk.
import NIOCore

/// The numbers at the head of a frame.
public struct FrameHeader: Sendable {
  public let frameBytes: Int
  public let shard: ShardID
  public let baseOffset: Offset
  public let epoch: Epoch
  public let timestamp: Timestamp
  public let count: Int
  public let valuesBytes: Int
  public let extrasBytes: Int
  public let kind: FrameKind
  public let flags: FrameFlags
  @usableFromInline let payloadCRC: UInt32

  /// Header and extras: where the values begin.
  @inlinable public var valuesStart: Int { FrameLayout.headerBytes + extrasBytes }
  @inlinable public var metaStart: Int { valuesStart + valuesBytes }
  @inlinable public var endOffset: Offset { baseOffset + count }

  /// Reads the header and the extras at the start of `bytes` and checks them; the payload need not be there yet. What
  /// follows from a header that passed: sizes add up, `extras(in:)` finds what it looks for.
  public init(checking bytes: UnsafeRawBufferPointer) throws(FrameDamage) {
    guard bytes.count >= FrameLayout.headerBytes else {
      throw .cutOff(have: bytes.count, need: FrameLayout.headerBytes)
    }
    let magic = bytes.little(UInt32.self, at: FrameLayout.atMagic)
    guard magic == FrameLayout.magic else { throw .magic(magic) }
    let length = Int(bytes.little(UInt32.self, at: FrameLayout.atLength))
    let extras = Int(bytes.little(UInt16.self, at: FrameLayout.atExtrasBytes))
    let values = Int(bytes.little(UInt32.self, at: FrameLayout.atValuesBytes))
    guard length >= FrameLayout.headerBytes + extras + values else { throw .length(length) }
    let headerEnd = FrameLayout.headerBytes + extras
    guard bytes.count >= headerEnd else { throw .cutOff(have: bytes.count, need: headerEnd) }
    let covered = UnsafeRawBufferPointer(rebasing: bytes[FrameLayout.atPayloadCRC..<headerEnd])
    guard CRC32C.checksum(covered) == bytes.little(UInt32.self, at: FrameLayout.atHeaderCRC) else {
      throw .headerChecksum
    }
    try Self.checkFields(bytes)
    self.init(validated: bytes)
    try checkExtras(bytes)
  }

  /// A good checksum proves that a header is as it was written, not who wrote it: every field must be one that this
  /// version could have written, so that nothing that reads the frame later can be led astray.
  private static func checkFields(_ bytes: UnsafeRawBufferPointer) throws(FrameDamage) {
    guard let kind = FrameKind(rawValue: bytes[FrameLayout.atKind]) else { throw .field("kind") }
    let flags = FrameFlags(rawValue: bytes[FrameLayout.atFlags])
    guard flags.isSubset(of: .known), !flags.isSuperset(of: [.plain, .opaque]) else {
      throw .field("flags")
    }
    guard bytes[FrameLayout.atCompression] == 0 else { throw .field("compression") }
    for place in FrameLayout.atReserved..<FrameLayout.headerBytes where bytes[place] != 0 {
      throw .field("reserved")
    }
    let length = Int(bytes.little(UInt32.self, at: FrameLayout.atLength))
    let extras = Int(bytes.little(UInt16.self, at: FrameLayout.atExtrasBytes))
    let values = Int(bytes.little(UInt32.self, at: FrameLayout.atValuesBytes))
    let count = Int(bytes.little(UInt32.self, at: FrameLayout.atCount))
    let base = bytes.little(UInt64.self, at: FrameLayout.atBaseOffset)
    switch kind {
    case .records:
      // A record takes a byte of values (its LF) and one of meta at least.
      let meta = length - FrameLayout.headerBytes - extras - values
      guard count > 0, count <= values, count <= meta else { throw .field("count") }
      guard !base.addingReportingOverflow(UInt64(count)).overflow else {
        throw .field("base offset")
      }
    case .trim, .epoch:
      guard count == 0, flags == .plain, length == FrameLayout.headerBytes else {
        throw .field("control frame")
      }
    }
  }

  /// Extras must hold what the flags say and not a byte more.
  private func checkExtras(_ bytes: UnsafeRawBufferPointer) throws(FrameDamage) {
    var position = FrameLayout.headerBytes
    func skip(_ count: Int) throws(FrameDamage) {
      guard count <= valuesStart - position else { throw .field("extras") }
      position += count
    }
    func skipText() throws(FrameDamage) {
      let start = position
      try skip(1)
      try skip(Int(bytes[start]))
    }
    if !flags.isDisjoint(with: [.producer, .idempotency]) { try skip(16) }
    if flags.contains(.producer) {
      try skip(16)
      try skipText()
    }
    if flags.contains(.idempotency) { try skipText() }
    guard position == valuesStart else { throw .field("extras") }
  }

  /// Reads a header that was checked before.
  @usableFromInline
  init(validated bytes: UnsafeRawBufferPointer) {
    frameBytes = Int(bytes.little(UInt32.self, at: FrameLayout.atLength))
    shard = ShardID(bytes.little(UInt64.self, at: FrameLayout.atShard))
    baseOffset = Offset(bytes.little(UInt64.self, at: FrameLayout.atBaseOffset))
    epoch = Epoch(bytes.little(UInt64.self, at: FrameLayout.atEpoch))
    timestamp = Timestamp(milliseconds: bytes.little(Int64.self, at: FrameLayout.atTimestamp))
    count = Int(bytes.little(UInt32.self, at: FrameLayout.atCount))
    valuesBytes = Int(bytes.little(UInt32.self, at: FrameLayout.atValuesBytes))
    extrasBytes = Int(bytes.little(UInt16.self, at: FrameLayout.atExtrasBytes))
    kind = FrameKind(rawValue: bytes[FrameLayout.atKind])!
    flags = FrameFlags(rawValue: bytes[FrameLayout.atFlags])
    payloadCRC = bytes.little(UInt32.self, at: FrameLayout.atPayloadCRC)
  }

  /// Checks values and meta of the frame that starts at `frame`'s first byte: their checksum, and that meta says
  /// exactly `count` records that fill the values, so that `forEachRecord` need not look again.
  public func checkPayload(_ frame: UnsafeRawBufferPointer) throws(FrameDamage) {
    guard frame.count >= frameBytes else { throw .cutOff(have: frame.count, need: frameBytes) }
    let payload = UnsafeRawBufferPointer(rebasing: frame[valuesStart..<frameBytes])
    guard CRC32C.checksum(payload) == payloadCRC else { throw .payloadChecksum }
    guard kind == .records else { return }
    try checkMeta(UnsafeRawBufferPointer(rebasing: frame[..<frameBytes]))
  }

  private func checkMeta(_ frame: UnsafeRawBufferPointer) throws(FrameDamage) {
    var valueEnd = valuesStart - 1
    var position = metaStart
    let isPlain = flags.contains(.plain)
    var hasOpaque = false
    for _ in 0..<count {
      guard let length = Varint.read(frame, at: &position),
        length < UInt64(metaStart - valueEnd - 1)
      else { throw .field("value length") }
      valueEnd += 1 + Int(length)
      guard frame[valueEnd] == UInt8(ascii: "\n") else { throw .field("value separator") }
      if isPlain { continue }
      guard let entry = MetaEntry.skipAttributes(frame, at: &position) else {
        throw .field("attributes")
      }
      hasOpaque = hasOpaque || entry & MetaEntry.contentType != 0
    }
    guard valueEnd + 1 == metaStart else { throw .field("values") }
    guard position == frameBytes else { throw .field("meta") }
    guard flags.contains(.opaque) == hasOpaque else { throw .field("flags") }
  }

  /// Producer, idempotency key and digest of the frame that starts at `frame`'s first byte.
  public func extras(in frame: UnsafeRawBufferPointer) -> FrameExtras {
    guard !flags.isDisjoint(with: [.producer, .idempotency]) else { return .none }
    var position = FrameLayout.headerBytes
    func text() -> String {
      let count = Int(frame[position])
      defer { position += 1 + count }
      return String(decoding: frame[(position + 1)..<(position + 1 + count)], as: UTF8.self)
    }
    func integer() -> UInt64 {
      defer { position += 8 }
      return frame.little(UInt64.self, at: position)
    }
    var extras = FrameExtras.none
    extras.digest = BodyDigest(high: integer(), low: integer())
    if flags.contains(.producer) {
      let epoch = integer()
      let sequence = integer()
      extras.producer = ProducerStamp(id: text(), epoch: epoch, sequence: sequence)
    }
    if flags.contains(.idempotency) { extras.idempotencyKey = text() }
    return extras
  }
}

extension UnsafeRawBufferPointer {
  /// The little-endian integer that starts at byte `position`, all of it in the buffer: release builds do not check.
  @inlinable
  func little<T: FixedWidthInteger>(_ type: T.Type, at position: Int) -> T {
    T(littleEndian: loadUnaligned(fromByteOffset: position, as: T.self))
  }
}
