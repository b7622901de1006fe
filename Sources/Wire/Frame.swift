// The batch frame: the one encoding of records in memory, in the write-ahead log, in segments and in the cluster's log.
//
//   ┌──────────────┬──────────────┬─────────────────────────────┬──────────────────┐
//   │ header, 72 B │ extras       │ values, each followed by LF │ meta, a record … │
//   └──────────────┴──────────────┴─────────────────────────────┴──────────────────┘
//
// Values stand together so that a batch of NDJSON is laid down by one copy and read back by another. Meta comes last
// because lengths are known last. All integers are little-endian. docs/formats.md describes every byte.
import NIOCore

/// Byte positions within a frame. `docs/formats.md` and the golden files in `Tests/WireTests/Golden` hold them still.
public enum FrameLayout {
  /// "MRF1" read as a little-endian integer.
  public static let magic: UInt32 = 0x3146_524d
  public static let headerBytes = 72

  @usableFromInline static let atMagic = 0
  @usableFromInline static let atLength = 4
  /// Covers everything from 12 to the end of the extras.
  @usableFromInline static let atHeaderCRC = 8
  @usableFromInline static let atPayloadCRC = 12  // covers values and meta
  @usableFromInline static let atShard = 16
  @usableFromInline static let atBaseOffset = 24
  @usableFromInline static let atEpoch = 32
  @usableFromInline static let atTimestamp = 40
  @usableFromInline static let atCount = 48
  @usableFromInline static let atValuesBytes = 52
  @usableFromInline static let atExtrasBytes = 56  // UInt16
  @usableFromInline static let atKind = 58  // UInt8
  @usableFromInline static let atFlags = 59  // UInt8
  @usableFromInline static let atCompression = 60  // UInt8; 0 = none, the only one so far
  // 61..<72 are zero.
}

/// What a frame says.
public enum FrameKind: UInt8, Sendable {
  /// Records with dense offsets.
  case records = 0
  /// `baseOffset` is the shard's new earliest offset; no records.
  case trim = 1
  /// A new owner's first frame: later frames of lower epochs are void; no records.
  case epoch = 2
}

public struct FrameFlags: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Every record is a JSON value without key, headers or content type; meta holds only value lengths.
  public static let plain = FrameFlags(rawValue: 1)
  /// Extras hold a producer's id, epoch and sequence.
  public static let producer = FrameFlags(rawValue: 2)
  /// Extras hold an idempotency key.
  public static let idempotency = FrameFlags(rawValue: 4)
  /// At least one value is opaque bytes: newline framing cannot carry it.
  public static let opaque = FrameFlags(rawValue: 8)
}

/// Who sent a batch, for exactly-once appends.
public struct ProducerStamp: Hashable, Sendable {
  public var id: String
  public var epoch: UInt64
  public var sequence: UInt64
  public init(id: String, epoch: UInt64, sequence: UInt64) {
    self.id = id
    self.epoch = epoch
    self.sequence = sequence
  }
}

/// The first 16 bytes of a request body's SHA-256.
public struct BodyDigest: Hashable, Sendable {
  public var high: UInt64
  public var low: UInt64
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
}

/// What a frame carries beside its records so that a repeated request can be told.
public struct FrameExtras: Hashable, Sendable {
  public var producer: ProducerStamp?
  public var idempotencyKey: String?
  /// Set whenever one of the others is.
  public var digest: BodyDigest?
  public init(
    producer: ProducerStamp? = nil, idempotencyKey: String? = nil, digest: BodyDigest? = nil
  ) {
    precondition(
      digest != nil || (producer == nil && idempotencyKey == nil),
      "a stamp without a digest proves nothing")
    self.producer = producer
    self.idempotencyKey = idempotencyKey
    self.digest = digest
  }
  public static let none = FrameExtras()
}

/// A sealed frame: numbered, stamped and checksummed. Cheap to copy; the bytes are shared.
public struct Frame: Sendable {
  /// The whole frame, from reader index to writer index.
  public let bytes: ByteBuffer
  public let shard: ShardID
  public let epoch: Epoch
  public let baseOffset: Offset
  public let count: Int
  public let timestamp: Timestamp
  public let kind: FrameKind
  public let flags: FrameFlags

  /// One past the last record.
  public var endOffset: Offset { baseOffset + count }
  public var byteCount: Int { bytes.readableBytes }

  /// The producer, key and digest it carries; parsed on each call.
  public var extras: FrameExtras {
    bytes.withUnsafeReadableBytes { raw in FrameHeader(validated: raw).extras(in: raw) }
  }

  init(bytes: ByteBuffer, header: FrameHeader) {
    self.bytes = bytes
    self.shard = header.shard
    self.epoch = header.epoch
    self.baseOffset = header.baseOffset
    self.count = header.count
    self.timestamp = header.timestamp
    self.kind = header.kind
    self.flags = header.flags
  }

  /// Checks `bytes`, which must be exactly one frame.
  public init(checking bytes: ByteBuffer) throws(FrameDamage) {
    let header = try bytes.withUnsafeReadableBytes { raw throws(FrameDamage) in
      let header = try FrameHeader(checking: raw)
      guard header.frameBytes == raw.count else { throw .length(header.frameBytes) }
      try header.checkPayload(raw)
      return header
    }
    self.init(bytes: bytes, header: header)
  }
}

/// Why bytes are not a frame.
public enum FrameDamage: Error, Equatable, Sendable {
  /// Fewer bytes than the header, or than the length it names.
  case cutOff(have: Int, need: Int)
  case magic(UInt32)
  case length(Int)
  case headerChecksum
  case payloadChecksum
  /// A field that no writer of this version writes.
  case field(String)
}

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

  /// Reads the header at the start of `bytes` and checks its own checksum; the payload need not be there yet.
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
    guard FrameKind(rawValue: bytes[FrameLayout.atKind]) != nil else { throw .field("kind") }
    guard bytes[FrameLayout.atCompression] == 0 else { throw .field("compression") }
    self.init(validated: bytes)
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

  /// Checks values and meta of the frame that starts at `frame`'s first byte.
  public func checkPayload(_ frame: UnsafeRawBufferPointer) throws(FrameDamage) {
    guard frame.count >= frameBytes else { throw .cutOff(have: frame.count, need: frameBytes) }
    let payload = UnsafeRawBufferPointer(rebasing: frame[valuesStart..<frameBytes])
    guard CRC32C.checksum(payload) == payloadCRC else { throw .payloadChecksum }
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
  /// The little-endian integer that starts at byte `position`; traps outside the buffer.
  @inlinable
  func little<T: FixedWidthInteger>(_ type: T.Type, at position: Int) -> T {
    T(littleEndian: loadUnaligned(fromByteOffset: position, as: T.self))
  }
}
