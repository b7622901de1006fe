// A frame without a place: made by a handler, numbered and closed by the shard's owner.
import NIOCore

/// A frame that has everything but its place: shard, offset, epoch and time.
public struct FrameDraft: Sendable {
  let bytes: ByteBuffer
  public let count: Int
  public let flags: FrameFlags
  private let valuesStart: Int
  public var byteCount: Int { bytes.readableBytes }

  /// Takes `buffer` (room for the header, extras, values, meta) and leaves it empty. Being the only holder, it writes
  /// the header in place.
  init(
    taking buffer: inout ByteBuffer, kind: FrameKind, flags: FrameFlags, count: Int,
    valuesStart: Int, valuesBytes: Int
  ) {
    let length = buffer.readableBytes
    precondition(buffer.readerIndex == 0 && length <= UInt32.max, "a frame is below 4 GiB")
    buffer.withUnsafeMutableReadableBytes { raw in
      let payload = UnsafeRawBufferPointer(rebasing: raw[valuesStart...])
      let extrasBytes = valuesStart - FrameLayout.headerBytes
      raw.put(UInt32(length), at: FrameLayout.atLength)
      raw.put(CRC32C.checksum(payload), at: FrameLayout.atPayloadCRC)
      raw.put(UInt32(count), at: FrameLayout.atCount)
      raw.put(UInt32(valuesBytes), at: FrameLayout.atValuesBytes)
      raw.put(UInt16(extrasBytes), at: FrameLayout.atExtrasBytes)
      raw.put(kind.rawValue, at: FrameLayout.atKind)
      raw.put(flags.rawValue, at: FrameLayout.atFlags)
    }
    bytes = buffer
    buffer = ByteBuffer()
    self.count = count
    self.flags = flags
    self.valuesStart = valuesStart
  }

  /// A frame without records that says `kind`.
  public static func control(_ kind: FrameKind) -> FrameDraft {
    precondition(kind != .records, "records need a builder")
    var buffer = ByteBuffer(repeating: 0, count: FrameLayout.headerBytes)
    return FrameDraft(
      taking: &buffer, kind: kind, flags: .plain, count: 0, valuesStart: FrameLayout.headerBytes,
      valuesBytes: 0)
  }

  /// What `Frame.extras` will say.
  public var extras: FrameExtras {
    bytes.withUnsafeReadableBytes { FrameHeader(validated: $0).extras(in: $0) }
  }

  /// Writes the frame's place into it and closes it with the header's checksum. A draft is sealed once, whatever
  /// copies of it exist: the second time traps.
  public consuming func seal(
    shard: ShardID, baseOffset: Offset, epoch: Epoch, timestamp: Timestamp
  ) -> Frame {
    let headerEnd = valuesStart
    let header = bytes.withVeryUnsafeBytes { raw in
      // Written past `ByteBuffer`'s copy-on-write: on its way between threads a draft is held by closures too, and a
      // copy here would double the memory traffic of every append. Nobody reads these bytes before they are sealed.
      let target = UnsafeMutableRawBufferPointer(mutating: raw)
      precondition(raw.little(UInt32.self, at: FrameLayout.atMagic) == 0, "a draft is sealed once")
      target.put(FrameLayout.magic, at: FrameLayout.atMagic)
      target.put(shard.rawValue, at: FrameLayout.atShard)
      target.put(baseOffset.rawValue, at: FrameLayout.atBaseOffset)
      target.put(epoch.rawValue, at: FrameLayout.atEpoch)
      target.put(timestamp.milliseconds, at: FrameLayout.atTimestamp)
      let covered = UnsafeRawBufferPointer(rebasing: raw[FrameLayout.atPayloadCRC..<headerEnd])
      target.put(CRC32C.checksum(covered), at: FrameLayout.atHeaderCRC)
      return FrameHeader(validated: raw)
    }
    return Frame(bytes: bytes, header: header)
  }
}

extension UnsafeMutableRawBufferPointer {
  /// Stores `value` little-endian.
  fileprivate func put(_ value: some FixedWidthInteger, at place: Int) {
    storeBytes(of: value.littleEndian, toByteOffset: place, as: type(of: value))
  }
}
