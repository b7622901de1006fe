// A reader's place, as the opaque text that clients keep and send back.
import NIOCore

/// Where a reader of one shard, or of all shards of a stream, goes on.
///
/// As text: base64url without padding of
///
///     2 bytes   0x73, 0x5F: the text starts with "c1", "c" for cursor, 1 for the version; F, 4 bits, are flags
///     varint    incarnation
///     varint    one shard: its index; all shards: how many there are
///     varints   the positions: each its zigzag difference to the one before, the first to 0
///     4 bytes   CRC32C of all before, little-endian
///
/// Differences keep it short when shards fill evenly: 64 shards stay below 512 characters while neighbours are less
/// than 2^34 records apart. A place has exactly one text. docs/formats.md describes every byte.
public struct Cursor: Hashable, Sendable {
  public enum Place: Hashable, Sendable {
    case shard(Int, Offset)
    /// The next offset in each shard, by index; at least one.
    case allShards([Offset])
  }

  /// Of the stream: a cursor says nothing about another one of the same name.
  public var incarnation: UInt64
  public var place: Place
  /// The reader was told that there is no more for it.
  public var isEnded: Bool

  public init(incarnation: UInt64, place: Place, isEnded: Bool = false) {
    self.incarnation = incarnation
    self.place = place
    self.isEnded = isEnded
  }

  /// The index of the one shard it reads; nil for all shards.
  public var shardIndex: Int? { if case .shard(let index, _) = place { index } else { nil } }

  /// The next offset of its one shard, or of each shard by index.
  public var positions: [Offset] {
    switch place {
    case .shard(_, let offset): [offset]
    case .allShards(let offsets): offsets
    }
  }

  private static let mark: UInt8 = 0x73
  private static let version: UInt8 = 0x50
  private static let endedFlag: UInt8 = 1
  private static let allShardsFlag: UInt8 = 2
  /// Longer texts are not cursors of ours; 64 shards at the far ends of 64 bits take 900.
  static let textBytesMax = 1024
}

/// Why a text is no cursor.
public enum CursorFault: Error, Equatable, Sendable {
  /// Not base64url, cut off, changed, or with something after its end.
  case damaged
  /// Whole, but of a version or with flags that this program does not know.
  case unknownVersion
}

extension Cursor {
  /// Reads what `encoded` wrote.
  public init(decoding text: String) throws(CursorFault) {
    guard text.utf8.count <= Self.textBytesMax, let bytes = Base64.decode(text, .url) else {
      throw .damaged
    }
    let read: Result<Cursor, CursorFault> = bytes.withUnsafeBytes { raw in
      do throws(CursorFault) { return .success(try Cursor(bytes: raw)) } catch {
        return .failure(error)
      }
    }
    self = try read.get()
  }

  private init(bytes: UnsafeRawBufferPointer) throws(CursorFault) {
    guard bytes.count >= 2 + 4 else { throw .damaged }
    let body = UnsafeRawBufferPointer(rebasing: bytes.dropLast(4))
    guard CRC32C.checksum(body) == bytes.little(UInt32.self, at: body.count) else {
      throw .damaged
    }
    guard body[0] == Self.mark else { throw .damaged }
    let flags = body[1] & 0x0f
    guard body[1] & 0xf0 == Self.version, flags <= Self.endedFlag | Self.allShardsFlag else {
      throw .unknownVersion
    }
    var position = 2
    guard let incarnation = Varint.read(body, at: &position),
      let number = Varint.read(body, at: &position), number <= UInt64(UInt32.max)
    else { throw .damaged }
    let isAll = flags & Self.allShardsFlag != 0
    // A position takes a byte at least, so a claim of more is refused before room is made for it.
    let count = isAll ? Int(number) : 1
    guard count > 0, count <= body.count - position else { throw .damaged }
    var offsets: [Offset] = []
    offsets.reserveCapacity(count)
    var previous: UInt64 = 0
    for _ in 0..<count {
      guard let zigzag = Varint.read(body, at: &position) else { throw .damaged }
      previous &+= (zigzag >> 1) ^ (0 &- (zigzag & 1))
      offsets.append(Offset(previous))
    }
    guard position == body.count else { throw .damaged }
    self.init(
      incarnation: incarnation,
      place: isAll ? .allShards(offsets) : .shard(Int(number), offsets[0]),
      isEnded: flags & Self.endedFlag != 0)
  }

  /// Appends the text.
  public func write(into buffer: inout ByteBuffer) {
    var body = ByteBuffer()
    body.reserveCapacity(64)
    writeBytes(into: &body)
    body.withUnsafeReadableBytes { Base64.encode($0, .url, into: &buffer) }
  }

  /// The text, as `cursor` fields and `id:` lines carry it.
  public func encoded() -> String {
    var buffer = ByteBuffer()
    write(into: &buffer)
    return String(buffer: buffer)
  }

  private func writeBytes(into body: inout ByteBuffer) {
    var flags = isEnded ? Self.endedFlag : 0
    if case .allShards = place { flags |= Self.allShardsFlag }
    body.writeInteger(Self.mark)
    body.writeInteger(Self.version | flags)
    Varint.write(incarnation, into: &body)
    var previous: UInt64 = 0
    func write(_ offset: Offset) {
      let difference = offset.rawValue &- previous
      Varint.write(difference << 1 ^ (0 &- difference >> 63), into: &body)
      previous = offset.rawValue
    }
    switch place {
    case .shard(let index, let offset):
      Varint.write(UInt64(index), into: &body)
      write(offset)
    case .allShards(let offsets):
      precondition(!offsets.isEmpty, "a stream has a shard at least")
      Varint.write(UInt64(offsets.count), into: &body)
      for offset in offsets { write(offset) }
    }
    let checksum = body.withUnsafeReadableBytes { CRC32C.checksum($0) }
    body.writeInteger(checksum, endianness: .little)
  }
}
