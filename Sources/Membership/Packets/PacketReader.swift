// Reads a packet's body field by field: never past its end, and no value that is never written.
import Wire

struct PacketReader: ~Copyable {
  private let bytes: UnsafeRawBufferPointer
  private(set) var position = 0

  /// Valid while `bytes` is.
  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var isAtEnd: Bool { position == bytes.count }
  var remaining: Int { bytes.count - position }

  mutating func byte(_ field: PacketField) throws(PacketError) -> UInt8 {
    try take(1, field)[0]
  }

  mutating func integer<Value: FixedWidthInteger>(
    _ field: PacketField, as type: Value.Type = Value.self
  ) throws(PacketError) -> Value {
    Value(bigEndian: try take(MemoryLayout<Value>.size, field).loadUnaligned(as: Value.self))
  }

  mutating func varint(_ field: PacketField, max: UInt64) throws(PacketError) -> UInt64 {
    let start = position
    guard let value = Varint.read(bytes, at: &position), value <= max else {
      throw .invalid(field, at: start)
    }
    return value
  }

  /// 0 or 1.
  mutating func flag(_ field: PacketField) throws(PacketError) -> Bool {
    let byte = try byte(field)
    guard byte <= 1 else { throw .invalid(field, at: position - 1) }
    return byte == 1
  }

  mutating func member(_ field: PacketField = .member) throws(PacketError) -> MemberID {
    let start = position
    let count = Int(try byte(field))
    guard let id = MemberID(try take(count, field)) else { throw .invalid(field, at: start) }
    return id
  }

  mutating func generation() throws(PacketError) -> UInt64 {
    try varint(.generation, max: Codec.generationMax)
  }

  mutating func view() throws(PacketError) -> ViewMark {
    ViewMark(hash: try integer(.view), settled: try byte(.view))
  }

  /// Only where one machine is reached: nobody may tell a cluster to send its probes to all of a network.
  mutating func endpoint(isIPv6: Bool) throws(PacketError) -> Endpoint {
    let start = position
    let endpoint: Endpoint?
    if isIPv6 {
      let (high, low) = (
        try integer(.endpoint, as: UInt64.self), try integer(.endpoint, as: UInt64.self)
      )
      endpoint = Endpoint(high: high, low: low, port: try integer(.endpoint))
    } else {
      endpoint = Endpoint(ipv4: try integer(.endpoint), port: try integer(.endpoint))
    }
    guard let endpoint, endpoint.isUnicast, (endpoint.ipv4 == nil) == isIPv6 else {
      throw .invalid(.endpoint, at: start)
    }
    return endpoint
  }

  /// Lends the next `count` bytes.
  mutating func take(_ count: Int, _ field: PacketField) throws(PacketError)
    -> UnsafeRawBufferPointer
  {
    guard count <= remaining else { throw .cutOff(field) }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }
}
