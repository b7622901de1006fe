// What a member tells of itself: a few names with values, small enough to ride in every rumour of it.
import NIOCore
import Wire

public enum MetadataError: Error, Equatable {
  /// Names are as those of members: 1 to 64 letters, digits, dots, underscores and hyphens.
  case invalidName(String)
  case repeatedName(String)
  case tooLarge(bytes: Int, bytesMax: Int)
}

/// Pairs by name, each name once: `gateway` (the address of HTTP), `zone`, `capacity`, `load`, or what one likes.
/// Kept in the one form it has on the wire, so that telling it copies bytes and nothing can be said in two ways:
/// for each pair, in the order of the names' bytes, the name and the value, each behind its length as a varint.
public struct Metadata: Hashable, Sendable {
  public static let bytesMax = 512

  public let encoded: [UInt8]

  /// No pairs.
  public init() { encoded = [] }

  public init(pairs: [(name: String, value: String)]) throws(MetadataError) {
    var buffer = ByteBuffer()
    var last: String?
    for (name, value) in pairs.sorted(by: { $0.name < $1.name }) {
      guard MemberID(name) != nil else { throw .invalidName(name) }
      guard name != last else { throw .repeatedName(name) }
      for text in [name, value] {
        Varint.write(UInt64(text.utf8.count), into: &buffer)
        buffer.writeString(text)
      }
      last = name
    }
    guard buffer.readableBytes <= Self.bytesMax else {
      throw .tooLarge(bytes: buffer.readableBytes, bytesMax: Self.bytesMax)
    }
    encoded = Array(buffer.readableBytesView)
  }

  /// nil unless `encoded` is what the other initialiser makes of some pairs, byte for byte.
  public init?(encoded bytes: UnsafeRawBufferPointer) {
    guard bytes.count <= Self.bytesMax else { return nil }
    var position = 0
    var last = UnsafeRawBufferPointer(start: nil, count: 0)
    while position < bytes.count {
      guard let name = Self.field(bytes, at: &position), MemberID.isName(name),
        last.lexicographicallyPrecedes(name),
        let value = Self.field(bytes, at: &position),
        String(validating: value, as: UTF8.self) != nil
      else { return nil }
      last = name
    }
    encoded = Array(bytes)
  }

  public var isEmpty: Bool { encoded.isEmpty }

  public var pairs: [(name: String, value: String)] {
    var found: [(name: String, value: String)] = []
    encoded.withUnsafeBytes { bytes in
      var position = 0
      while let name = Self.field(bytes, at: &position),
        let value = Self.field(bytes, at: &position)
      {
        found.append(
          (String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
      }
    }
    return found
  }

  public subscript(name: String) -> String? { pairs.first { $0.name == name }?.value }

  /// Writes it as an object of JSON: {"gateway":"10.0.0.7:8420","zone":"b"}.
  public func writeJSON(into buffer: inout ByteBuffer) {
    buffer.writeStaticString("{")
    for (index, pair) in pairs.enumerated() {
      if index > 0 { buffer.writeStaticString(",") }
      JSONText.writeEscapedString(pair.name, into: &buffer)
      buffer.writeStaticString(":")
      JSONText.writeEscapedString(pair.value, into: &buffer)
    }
    buffer.writeStaticString("}")
  }

  private static func field(
    _ bytes: UnsafeRawBufferPointer, at position: inout Int
  ) -> UnsafeRawBufferPointer? {
    guard let count = Varint.read(bytes, at: &position), count <= bytes.count - position
    else { return nil }
    defer { position += Int(count) }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<(position + Int(count))])
  }
}
