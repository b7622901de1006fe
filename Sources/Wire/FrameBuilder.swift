// Lays records down as a frame while a request is being read; offsets, time and epoch are sealed in later.
import NIOCore

/// What a record has beside its value. Slices may point into the request; they are copied by `append`.
public struct RecordAttributes {
  public var key: UnsafeRawBufferPointer?
  /// Name and value of each header, in order.
  public var headers: [(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)] = []
  /// nil: the value is JSON. Otherwise the value is opaque bytes of this media type.
  public var contentType: UnsafeRawBufferPointer?
  @inlinable public init() {}
}

/// Builds one frame. Values are copied once, straight to where they will lie on disk.
///
/// Callers check the limits: a frame is below 4 GiB, a producer id or idempotency key at most 255 bytes.
public struct FrameBuilder {
  private var buffer: ByteBuffer
  private var meta = ByteBuffer()
  private var valuesStart = FrameLayout.headerBytes
  private var flags: FrameFlags = .plain
  /// Value lengths while all records are plain; turned into full meta by the first record that is not.
  private var plainLengths: [UInt32] = []
  public private(set) var count = 0

  public init(
    extras: FrameExtras = .none, valuesBytesHint: Int, allocator: ByteBufferAllocator = .init()
  ) {
    buffer = allocator.buffer(
      capacity: FrameLayout.headerBytes + 64 + valuesBytesHint + valuesBytesHint / 16)
    buffer.writeRepeatingByte(0, count: FrameLayout.headerBytes)
    if let digest = extras.digest, extras.producer != nil || extras.idempotencyKey != nil {
      buffer.writeInteger(digest.high, endianness: .little)
      buffer.writeInteger(digest.low, endianness: .little)
      if let producer = extras.producer {
        flags.insert(.producer)
        buffer.writeInteger(producer.epoch, endianness: .little)
        buffer.writeInteger(producer.sequence, endianness: .little)
        writeText(producer.id)
      }
      if let key = extras.idempotencyKey {
        flags.insert(.idempotency)
        writeText(key)
      }
    }
    valuesStart = buffer.writerIndex
  }

  private mutating func writeText(_ text: String) {
    precondition(text.utf8.count <= 255, "handlers refuse longer ids")
    buffer.writeInteger(UInt8(text.utf8.count))
    buffer.writeString(text)
  }

  /// Bytes of values so far, separators included.
  public var valuesBytes: Int { buffer.writerIndex - valuesStart }

  /// Adds a JSON value that has neither key nor headers. It must hold no CR or LF.
  @inline(__always)
  public mutating func appendPlain(_ value: UnsafeRawBufferPointer) {
    guard flags.contains(.plain) else { return append(value, RecordAttributes()) }
    buffer.writeBytes(value)
    buffer.writeInteger(UInt8(ascii: "\n"))
    plainLengths.append(UInt32(value.count))
    count += 1
  }

  /// Adds many plain JSON values at once: `region` is the values, each followed by one LF, of the given `lengths`.
  public mutating func appendPlainRegion(_ region: UnsafeRawBufferPointer, lengths: [UInt32]) {
    precondition(flags.contains(.plain), "a region follows only plain records")
    buffer.writeBytes(region)
    plainLengths.append(contentsOf: lengths)
    count += lengths.count
  }

  /// Adds a value with its key, headers and type.
  public mutating func append(_ value: UnsafeRawBufferPointer, _ attributes: RecordAttributes) {
    if attributes.key == nil, attributes.headers.isEmpty, attributes.contentType == nil,
      flags.contains(.plain)
    {
      return appendPlain(value)
    }
    if flags.contains(.plain) { spellOutPlainRecords() }
    buffer.writeBytes(value)
    buffer.writeInteger(UInt8(ascii: "\n"))
    if attributes.contentType != nil { flags.insert(.opaque) }
    MetaEntry.write(valueBytes: value.count, attributes, into: &meta)
    count += 1
  }

  private mutating func spellOutPlainRecords() {
    flags.remove(.plain)
    let lengths = plainLengths
    for length in lengths {
      MetaEntry.write(valueBytes: Int(length), RecordAttributes(), into: &meta)
    }
    plainLengths = []
  }

  /// Closes the frame. The draft may be sealed once it has a place.
  public consuming func finish() -> FrameDraft {
    precondition(count > 0, "handlers refuse empty batches")
    let valuesBytes = valuesBytes
    if flags.contains(.plain) {
      let lengths = plainLengths
      for length in lengths { Varint.write(UInt64(length), into: &buffer) }
    } else {
      buffer.writeImmutableBuffer(meta)
    }
    return FrameDraft(
      buffer, kind: .records, flags: flags, count: count, valuesStart: valuesStart,
      valuesBytes: valuesBytes)
  }
}

/// How one record's entry in a frame's meta is laid out, when the frame is not plain:
/// varint value length; a byte of flags (1 key, 2 headers, 4 content type); then each that is present:
/// varint length and bytes of the key; varint count of headers and of each name and value varint length and bytes;
/// varint length and bytes of the content type.
@usableFromInline
enum MetaEntry {
  @usableFromInline static let key: UInt8 = 1
  @usableFromInline static let headers: UInt8 = 2
  @usableFromInline static let contentType: UInt8 = 4

  static func write(valueBytes: Int, _ attributes: RecordAttributes, into meta: inout ByteBuffer) {
    Varint.write(UInt64(valueBytes), into: &meta)
    var flags: UInt8 = 0
    if attributes.key != nil { flags |= key }
    if !attributes.headers.isEmpty { flags |= headers }
    if attributes.contentType != nil { flags |= contentType }
    meta.writeInteger(flags)
    func bytes(_ slice: UnsafeRawBufferPointer) {
      Varint.write(UInt64(slice.count), into: &meta)
      meta.writeBytes(slice)
    }
    if let key = attributes.key { bytes(key) }
    if !attributes.headers.isEmpty {
      Varint.write(UInt64(attributes.headers.count), into: &meta)
      for (name, value) in attributes.headers {
        bytes(name)
        bytes(value)
      }
    }
    if let contentType = attributes.contentType { bytes(contentType) }
  }
}

/// A frame that has everything but its place: shard, offset, epoch and time.
public struct FrameDraft: Sendable {
  private var bytes: ByteBuffer
  public let count: Int
  public let flags: FrameFlags
  private let extrasEnd: Int
  public var byteCount: Int { bytes.readableBytes }

  init(
    _ bytes: ByteBuffer, kind: FrameKind, flags: FrameFlags, count: Int, valuesStart: Int,
    valuesBytes: Int
  ) {
    var bytes = bytes
    precondition(
      bytes.readerIndex == 0 && bytes.writerIndex <= UInt32.max, "a frame is below 4 GiB")
    let payloadCRC = bytes.withUnsafeReadableBytes {
      CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[valuesStart...]))
    }
    let length = bytes.writerIndex
    bytes.setInteger(FrameLayout.magic, at: FrameLayout.atMagic, endianness: .little)
    bytes.setInteger(UInt32(length), at: FrameLayout.atLength, endianness: .little)
    bytes.setInteger(payloadCRC, at: FrameLayout.atPayloadCRC, endianness: .little)
    bytes.setInteger(UInt32(count), at: FrameLayout.atCount, endianness: .little)
    bytes.setInteger(UInt32(valuesBytes), at: FrameLayout.atValuesBytes, endianness: .little)
    bytes.setInteger(
      UInt16(valuesStart - FrameLayout.headerBytes), at: FrameLayout.atExtrasBytes,
      endianness: .little)
    bytes.setInteger(kind.rawValue, at: FrameLayout.atKind)
    bytes.setInteger(flags.rawValue, at: FrameLayout.atFlags)
    self.bytes = bytes
    self.count = count
    self.flags = flags
    self.extrasEnd = valuesStart
  }

  /// A frame without records that says `kind`.
  public static func control(_ kind: FrameKind) -> FrameDraft {
    var buffer = ByteBuffer()
    buffer.writeRepeatingByte(0, count: FrameLayout.headerBytes)
    return FrameDraft(
      buffer, kind: kind, flags: .plain, count: 0, valuesStart: FrameLayout.headerBytes,
      valuesBytes: 0)
  }

  /// What `Frame.extras` will say.
  public var extras: FrameExtras {
    bytes.withUnsafeReadableBytes { FrameHeader(validated: $0).extras(in: $0) }
  }

  /// Writes the frame's place into it and closes it with the header's checksum. Values are not copied
  /// while this draft is the only holder of its bytes.
  public consuming func seal(
    shard: ShardID, baseOffset: Offset, epoch: Epoch, timestamp: Timestamp
  ) -> Frame {
    bytes.setInteger(shard.rawValue, at: FrameLayout.atShard, endianness: .little)
    bytes.setInteger(baseOffset.rawValue, at: FrameLayout.atBaseOffset, endianness: .little)
    bytes.setInteger(epoch.rawValue, at: FrameLayout.atEpoch, endianness: .little)
    bytes.setInteger(timestamp.milliseconds, at: FrameLayout.atTimestamp, endianness: .little)
    let extrasEnd = extrasEnd
    let headerCRC = bytes.withUnsafeReadableBytes {
      CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[FrameLayout.atPayloadCRC..<extrasEnd]))
    }
    bytes.setInteger(headerCRC, at: FrameLayout.atHeaderCRC, endianness: .little)
    let header = bytes.withUnsafeReadableBytes { FrameHeader(validated: $0) }
    return Frame(bytes: bytes, header: header)
  }
}
