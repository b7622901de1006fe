// Packets of a cluster without keys: a checksum and the cluster's id keep accidents out, and nobody who means harm.
import NIOCore
import Wire

struct ClearEnvelope: Sendable {
  /// Tells clusters that share a network apart.
  let clusterID: UInt32

  init(label: [UInt8]) {
    let hash = (Array("millrace member cluster".utf8) + label).withUnsafeBytes { Digest.sha256($0) }
    clusterID = hash[0..<4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  func seal(_ body: ByteBuffer, flags: PacketFlags) -> ByteBuffer {
    var packet = ByteBuffer()
    packet.reserveCapacity(PacketHeader.clearBytes + body.readableBytes)
    packet.writeMultipleIntegers(PacketHeader.version, flags.rawValue, clusterID)
    let head = packet.withUnsafeReadableBytes { CRC32C.checksum($0) }
    packet.writeInteger(body.withUnsafeReadableBytes { CRC32C.checksum($0, continuing: head) })
    packet.writeImmutableBuffer(body)
    return packet
  }

  func open(_ bytes: ByteBufferView, flags: PacketFlags) throws(OpenError) -> ByteBufferView {
    if let fault = PacketHeader.fault(bytes, expecting: flags) { throw fault }
    var buffer = ByteBuffer(bytes)
    buffer.moveReaderIndex(forwardBy: 2)
    guard let (cluster, checksum) = buffer.readMultipleIntegers(as: (UInt32, UInt32).self) else {
      throw .tooShort(bytes: bytes.count)
    }
    let head = bytes.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[..<6])) }
    let found = buffer.withUnsafeReadableBytes { CRC32C.checksum($0, continuing: head) }
    guard found == checksum else { throw .wrongChecksum }
    guard cluster == clusterID else { throw .otherCluster(id: cluster) }
    return buffer.readableBytesView
  }
}
