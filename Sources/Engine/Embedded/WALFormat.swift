// The bytes of a lane's write-ahead log: files of commit groups, each a header, frames, padding and a trailer.
//
//   ┌──────────────┬─────────┬───┬─────────┬─────────┬───────────────┐
//   │ header, 64 B │ frame … │ 0 │ trailer │ padded to a whole block │  next group …
//   └──────────────┴─────────┴───┴─────────┴─────────┴───────────────┘
//
// The trailer is the group's last 16 bytes: a write that was cut short anywhere never left a whole group behind.
import NIOCore
import Wire

/// The numbers at the head of a commit group. Integers are little-endian.
///
/// `package`, because the simulator plants a bug with it: groups of a file's former use that pass for new ones.
package struct GroupHeader: Equatable {
  /// "MRWALG1\0" read as a little-endian integer.
  static let magic: UInt64 = 0x0031_474c_4157_524d
  package static let bytes = 64
  static let trailerBytes = 16

  private static let atChecksum = 8
  /// The checksum covers the salt and everything from here on.
  private static let atPayloadChecksum = 12
  private static let atGeneration = 16
  private static let atSequence = 24
  private static let atDurable = 32
  private static let atPayloadBytes = 40
  private static let atFrameCount = 48
  private static let atLane = 52
  // 56..<64 are zero.

  /// Counts the uses of a lane's files: a recycled file's old groups have a lower one.
  package var generation: UInt64
  /// Counts the lane's groups from 1. A group written anew after a failure has the number of the one that failed.
  package var sequence: UInt64
  /// The last group that was known to be durable when this one was written.
  var durable: UInt64
  package var payloadBytes: Int
  package var frameCount: Int
  var lane: Int
  var payloadChecksum: UInt32 = 0

  /// Bytes that a group takes in its file.
  package static func groupBytes(payloadBytes: Int, block: Int) -> Int {
    (bytes + payloadBytes + trailerBytes + block - 1) / block * block
  }

  /// Reads the header at `position`; nil unless it is one of this store and lane, and whole.
  package init?(in file: ByteBuffer, at position: Int, lane: Int, salt: UInt64) {
    func integer<T: FixedWidthInteger>(_ place: Int, _: T.Type) -> T? {
      file.getInteger(at: position + place, endianness: .little)
    }
    guard integer(0, UInt64.self) == Self.magic,
      let checksum = integer(Self.atChecksum, UInt32.self),
      checksum == Self.checksum(in: file, at: position, salt: salt),
      let payloadChecksum = integer(Self.atPayloadChecksum, UInt32.self),
      let generation = integer(Self.atGeneration, UInt64.self),
      let sequence = integer(Self.atSequence, UInt64.self),
      let durable = integer(Self.atDurable, UInt64.self),
      let payloadBytes = integer(Self.atPayloadBytes, UInt64.self),
      let frameCount = integer(Self.atFrameCount, UInt32.self),
      integer(Self.atLane, UInt32.self) == UInt32(lane),
      payloadBytes <= UInt32.max
    else { return nil }
    self.generation = generation
    self.sequence = sequence
    self.durable = durable
    self.payloadBytes = Int(payloadBytes)
    self.frameCount = Int(frameCount)
    self.lane = lane
    self.payloadChecksum = payloadChecksum
  }

  package init(generation: UInt64, sequence: UInt64, payloadBytes: Int, frameCount: Int, lane: Int)
  {
    self.generation = generation
    self.sequence = sequence
    // Groups are written one after another, each when the one before is durable.
    self.durable = sequence - 1
    self.payloadBytes = payloadBytes
    self.frameCount = frameCount
    self.lane = lane
  }

  /// A whole group, ready to be written; its frames begin at `bytes`.
  package func group(of frames: some Sequence<ByteBuffer>, block: Int, salt: UInt64) -> ByteBuffer {
    let size = Self.groupBytes(payloadBytes: payloadBytes, block: block)
    var group = ByteBufferAllocator().buffer(capacity: size)
    group.writeInteger(Self.magic, endianness: .little)
    group.writeRepeatingByte(0, count: Self.bytes - 8)
    for frame in frames { group.writeImmutableBuffer(frame) }
    precondition(group.writerIndex == Self.bytes + payloadBytes, "a header counts its payload")
    let payloadChecksum = group.withUnsafeReadableBytes {
      CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[Self.bytes...]))
    }
    group.setInteger(payloadChecksum, at: Self.atPayloadChecksum, endianness: .little)
    group.setInteger(generation, at: Self.atGeneration, endianness: .little)
    group.setInteger(sequence, at: Self.atSequence, endianness: .little)
    group.setInteger(durable, at: Self.atDurable, endianness: .little)
    group.setInteger(UInt64(payloadBytes), at: Self.atPayloadBytes, endianness: .little)
    group.setInteger(UInt32(frameCount), at: Self.atFrameCount, endianness: .little)
    group.setInteger(UInt32(lane), at: Self.atLane, endianness: .little)
    let checksum = Self.checksum(in: group, at: 0, salt: salt)!
    group.setInteger(checksum, at: Self.atChecksum, endianness: .little)
    group.writeRepeatingByte(0, count: size - Self.trailerBytes - group.writerIndex)
    group.writeInteger(generation, endianness: .little)
    group.writeInteger(sequence, endianness: .little)
    return group
  }

  /// Why the group that this header begins is not whole, or nil if it is.
  package func flaw(in file: ByteBuffer, at position: Int, block: Int) -> String? {
    let size = Self.groupBytes(payloadBytes: payloadBytes, block: block)
    guard position + size <= file.writerIndex else { return "the group is cut off" }
    let trailer = position + size - Self.trailerBytes
    guard file.getInteger(at: trailer, endianness: .little) == generation,
      file.getInteger(at: trailer + 8, endianness: .little) == sequence
    else { return "the group has no end" }
    let payload = file.viewBytes(at: position + Self.bytes, length: payloadBytes)
    guard payload?.withUnsafeBytes({ CRC32C.checksum($0) }) == payloadChecksum else {
      return "the group's checksum is wrong"
    }
    return nil
  }

  private static func checksum(in file: ByteBuffer, at position: Int, salt: UInt64) -> UInt32? {
    let salted = withUnsafeBytes(of: salt.littleEndian) { CRC32C.checksum($0) }
    return file.viewBytes(
      at: position + atPayloadChecksum, length: bytes - atPayloadChecksum
    )?.withUnsafeBytes { CRC32C.checksum($0, continuing: salted) }
  }
}

/// Where a frame lies in a lane's log: places grow in the order of commits.
struct WALAddress: Comparable {
  private var value: UInt64
  init(generation: UInt64, position: Int) {
    precondition(generation <= UInt32.max && position <= UInt32.max, "a lane's log has its end")
    value = generation << 32 | UInt64(position)
  }
  var generation: UInt64 { value >> 32 }
  var position: Int { Int(value & 0xffff_ffff) }
  static func < (left: Self, right: Self) -> Bool { left.value < right.value }
  static func + (left: Self, bytes: Int) -> Self {
    Self(generation: left.generation, position: left.position + bytes)
  }
}

/// The files of a lane.
enum LaneFiles {
  static let root = "lanes"
  static func directory(_ lane: Int) -> String { "\(root)/\(lane)" }
  static func log(_ lane: Int, slot: Int) -> String { "\(directory(lane))/wal-\(slot).log" }
  /// The slot in a log file's name, or nil if it is another file.
  static func slot(_ name: String) -> Int? {
    guard name.hasPrefix("wal-"), name.hasSuffix(".log") else { return nil }
    return Int(name.dropFirst(4).dropLast(4))
  }
}
