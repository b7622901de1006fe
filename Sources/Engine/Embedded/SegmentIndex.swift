// Where segment files are, and the sparse index beside each: a place to start looking for an offset or a time.
//
// Entry k of an index file describes the frame that holds byte (k + 1) · indexEveryBytes of the segment, so whoever
// appends to a segment knows where the entry belongs without reading anything. The files are never synced and never
// believed: each entry has a checksum, and the frame that it points to is checked again.
import NIOCore
import Wire

enum SegmentFiles {
  static let root = "shards"
  static func group(_ shard: ShardID) -> String { "\(root)/\(shard.rawValue / 1000)" }
  static func directory(_ shard: ShardID) -> String { "\(group(shard))/\(shard)" }
  static func records(_ shard: ShardID, _ base: Offset) -> String {
    "\(directory(shard))/\(name(of: base))"
  }
  static func index(_ shard: ShardID, _ base: Offset) -> String {
    "\(directory(shard))/\(indexName(of: base))"
  }
  static func name(of base: Offset) -> String { padded(base) + ".seg" }
  static func indexName(of base: Offset) -> String { padded(base) + ".idx" }
  /// Names sort like the offsets.
  private static func padded(_ base: Offset) -> String {
    let digits = base.description
    return String(repeating: "0", count: 20 - digits.utf8.count) + digits
  }
}

struct SegmentIndexEntry: Equatable {
  /// In its file.
  static let bytes = 32

  var offset: Offset
  /// Where the frame begins in the segment.
  var position: Int
  var timestamp: Timestamp

  func write(into buffer: inout ByteBuffer) {
    let start = buffer.writerIndex
    buffer.writeInteger(offset.rawValue, endianness: .little)
    buffer.writeInteger(UInt64(position), endianness: .little)
    buffer.writeInteger(timestamp.milliseconds, endianness: .little)
    buffer.writeInteger(Self.checksum(in: buffer, at: start)!, endianness: .little)
    buffer.writeInteger(UInt32(0))
  }

  /// The entry that begins at `index` of `buffer`, or nil if it is not one.
  init?(in buffer: ByteBuffer, at index: Int) {
    guard let offset = buffer.getInteger(at: index, endianness: .little, as: UInt64.self),
      let position = buffer.getInteger(at: index + 8, endianness: .little, as: UInt64.self),
      let time = buffer.getInteger(at: index + 16, endianness: .little, as: Int64.self),
      let checksum = buffer.getInteger(at: index + 24, endianness: .little, as: UInt32.self),
      checksum == Self.checksum(in: buffer, at: index), let position = Int(exactly: position)
    else { return nil }
    self.init(
      offset: Offset(offset), position: position, timestamp: Timestamp(milliseconds: time))
  }

  init(offset: Offset, position: Int, timestamp: Timestamp) {
    self.offset = offset
    self.position = position
    self.timestamp = timestamp
  }

  /// Of zeros it is not zero: a hole in the file is not an entry.
  private static func checksum(in buffer: ByteBuffer, at index: Int) -> UInt32? {
    buffer.viewBytes(at: index, length: 24)?.withUnsafeBytes {
      CRC32C.checksum($0, continuing: 0x4d52_4958)
    }
  }
}

/// Says which index entries a frame gives rise to.
struct SegmentIndexer {
  let every: Int

  /// How many entries a segment of this size has.
  func count(bytes: Int) -> Int { max(0, (bytes - 1) / every) }

  /// The indices of the entries that describe the frame at this place.
  func entries(position: Int, frameBytes: Int) -> Range<Int> {
    count(bytes: position)..<count(bytes: position + frameBytes)
  }
}
