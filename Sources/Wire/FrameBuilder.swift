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
  /// The entries of records that are not plain, and of all once there is one.
  private var meta = ByteBuffer()
  private let valuesStart: Int
  private var flags: FrameFlags = .plain
  /// Value lengths while all records are plain and more than one: a single one's is known from the buffer.
  private var plainLengths: [UInt32] = []
  public private(set) var count = 0

  public init(
    extras: FrameExtras = .none, valuesBytesHint: Int, allocator: ByteBufferAllocator = .init()
  ) {
    buffer = allocator.buffer(
      capacity: FrameLayout.headerBytes + 64 + valuesBytesHint + valuesBytesHint / 16)
    buffer.writeRepeatingByte(0, count: FrameLayout.headerBytes)
    guard let digest = extras.digest, extras.producer != nil || extras.idempotencyKey != nil else {
      valuesStart = buffer.writerIndex
      return
    }
    buffer.writeInteger(digest.high, endianness: .little)
    buffer.writeInteger(digest.low, endianness: .little)
    if let producer = extras.producer {
      flags.insert(.producer)
      buffer.writeInteger(producer.epoch, endianness: .little)
      buffer.writeInteger(producer.sequence, endianness: .little)
      Self.writeText(producer.id, into: &buffer)
    }
    if let key = extras.idempotencyKey {
      flags.insert(.idempotency)
      Self.writeText(key, into: &buffer)
    }
    valuesStart = buffer.writerIndex
  }

  private static func writeText(_ text: String, into buffer: inout ByteBuffer) {
    precondition(text.utf8.count <= 255, "handlers refuse longer ids")
    buffer.writeInteger(UInt8(text.utf8.count))
    buffer.writeString(text)
  }

  /// Bytes of values so far, separators included.
  public var valuesBytes: Int { buffer.writerIndex - valuesStart }

  /// Adds a JSON value that has neither key nor headers. It must hold no CR or LF.
  public mutating func appendPlain(_ value: UnsafeRawBufferPointer) {
    guard flags.contains(.plain) else { return append(value, RecordAttributes()) }
    if count == 1 { plainLengths.append(UInt32(valuesBytes - 1)) }
    writeValue(value)
    if count > 0 { plainLengths.append(UInt32(value.count)) }
    count += 1
  }

  /// Adds many plain JSON values at once: `region` is values of the given `lengths`, each followed by one LF; the last
  /// LF may be missing.
  public mutating func appendPlainRegion(_ region: UnsafeRawBufferPointer, lengths: [UInt32]) {
    precondition(flags.contains(.plain), "a region follows only plain records")
    if count == 1 { plainLengths.append(UInt32(valuesBytes - 1)) }
    buffer.writeBytes(region)
    if region.last != UInt8(ascii: "\n") { buffer.writeInteger(UInt8(ascii: "\n")) }
    if plainLengths.isEmpty { plainLengths = lengths } else { plainLengths += lengths }
    count += lengths.count
  }

  /// Adds a value with its key, headers and type.
  public mutating func append(_ value: UnsafeRawBufferPointer, _ attributes: RecordAttributes) {
    if flags.contains(.plain) {
      if attributes.key == nil, attributes.headers.isEmpty, attributes.contentType == nil {
        return appendPlain(value)
      }
      spellOutPlainRecords()
    }
    writeValue(value)
    if attributes.contentType != nil { flags.insert(.opaque) }
    MetaEntry.write(valueBytes: value.count, attributes, into: &meta)
    count += 1
  }

  private mutating func writeValue(_ value: UnsafeRawBufferPointer) {
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: value.count + 1) { target in
      target.copyMemory(from: value)
      target[value.count] = UInt8(ascii: "\n")
      return value.count + 1
    }
  }

  private mutating func spellOutPlainRecords() {
    flags.remove(.plain)
    if count == 1 { plainLengths = [UInt32(valuesBytes - 1)] }
    let lengths = plainLengths
    plainLengths = []
    for length in lengths {
      MetaEntry.write(valueBytes: Int(length), RecordAttributes(), into: &meta)
    }
  }

  /// Closes the frame and leaves the builder empty, not to be used again. The draft may be sealed once it has a place.
  public mutating func finish() -> FrameDraft {
    precondition(count > 0, "handlers refuse empty batches")
    let valuesBytes = valuesBytes
    if flags.contains(.plain) {
      if count == 1 {
        Varint.write(UInt64(valuesBytes - 1), into: &buffer)
      } else {
        writePlainMeta()
      }
    } else {
      buffer.writeImmutableBuffer(meta)
    }
    defer {
      buffer = ByteBuffer()
      meta = ByteBuffer()
      plainLengths = []
      count = 0
    }
    return FrameDraft(
      taking: &buffer, kind: .records, flags: flags, count: count, valuesStart: valuesStart,
      valuesBytes: valuesBytes)
  }

  private mutating func writePlainMeta() {
    let lengths = plainLengths
    let bytes = lengths.reduce(0) { $0 &+ Varint.byteCount(UInt64($1)) }
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes) { target in
      var position = 0
      for length in lengths { Varint.write(UInt64(length), to: target, at: &position) }
      return position
    }
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
    var flags: UInt8 = 0
    // Varints of numbers below 2^32 take five bytes at most.
    var room = 5 + 1
    if let bytes = attributes.key {
      flags |= key
      room += 5 + bytes.count
    }
    if !attributes.headers.isEmpty {
      flags |= headers
      room += 5
      for (name, value) in attributes.headers { room += 10 + name.count + value.count }
    }
    if let bytes = attributes.contentType {
      flags |= contentType
      room += 5 + bytes.count
    }
    meta.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
      var position = 0
      func put(_ slice: UnsafeRawBufferPointer) {
        Varint.write(UInt64(slice.count), to: target, at: &position)
        UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: slice)
        position += slice.count
      }
      Varint.write(UInt64(valueBytes), to: target, at: &position)
      target[position] = flags
      position += 1
      if let key = attributes.key { put(key) }
      if !attributes.headers.isEmpty {
        Varint.write(UInt64(attributes.headers.count), to: target, at: &position)
        for (name, value) in attributes.headers {
          put(name)
          put(value)
        }
      }
      if let contentType = attributes.contentType { put(contentType) }
      return position
    }
  }

  /// Passes over what follows the value's length; nil if it is not there or of no known kind. Returns its flags.
  static func skipAttributes(_ frame: UnsafeRawBufferPointer, at position: inout Int) -> UInt8? {
    guard position < frame.count else { return nil }
    let flags = frame[position]
    position += 1
    guard flags <= key | headers | contentType else { return nil }
    if flags & key != 0, frame.slice(at: &position) == nil { return nil }
    if flags & headers != 0 {
      guard let count = Varint.read(frame, at: &position) else { return nil }
      // A name and a value take a byte each at least; a claim of more is refused before it is counted out.
      guard count > 0, count <= UInt64(frame.count - position) / 2 else { return nil }
      for _ in 0..<(2 * count) where frame.slice(at: &position) == nil { return nil }
    }
    if flags & contentType != 0, frame.slice(at: &position) == nil { return nil }
    return flags
  }
}
