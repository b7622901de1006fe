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
  /// Zero, up to the end of the header.
  @usableFromInline static let atReserved = 61
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
  static let known: FrameFlags = [.plain, .producer, .idempotency, .opaque]
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
