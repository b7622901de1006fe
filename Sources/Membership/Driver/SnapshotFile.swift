// What a member keeps for its next life: one small file, replaced whole.
import Glibc
import NIOCore
import Wire

public enum SnapshotFault: Error, Equatable, CustomStringConvertible {
  case system(operation: String, code: CInt)
  /// It is no snapshot, or a damaged one.
  case unreadable(String)
  /// Of another member.
  case foreign(MemberID)

  public var description: String {
    switch self {
    case .system(let operation, let code): "\(operation): \(String(cString: strerror(code)))"
    case .unreadable(let reason): reason
    case .foreign(let id): "it is the state of member \(id)"
    }
  }
}

/// `member.json` in a directory that one process owns.
///
/// A JSON object: version (1), id, generation, peers (id, address), keys (ids, no secrets). It is written beside,
/// synced, renamed, and the directory synced: after a crash there is the old one or the new one.
public struct SnapshotFile: Sendable {
  static let name = "member.json"
  static let bytesMax = 1 << 20
  private let directory: String
  private let id: MemberID

  public init(directory: String, id: MemberID) {
    self.directory = directory
    self.id = id
  }

  public var path: String { "\(directory)/\(Self.name)" }

  /// nil if there is none yet.
  public func read() throws(SnapshotFault) -> Snapshot? {
    let bytes: [UInt8]
    do throws(FileFault) {
      bytes = try SmallFile.read(path, bytesMax: Self.bytesMax)
    } catch {
      switch error {
      case .system(_, ENOENT): return nil
      case .system(let operation, let code): throw .system(operation: operation, code: code)
      case .tooLarge: throw .unreadable("it has more than \(Self.bytesMax) bytes")
      }
    }
    return try parse(bytes)
  }

  public func write(_ snapshot: Snapshot) throws(SnapshotFault) {
    var buffer = ByteBuffer()
    encode(snapshot, into: &buffer)
    do throws(FileFault) {
      try SmallFile.replace(path, with: buffer.readableBytesView, mode: 0o600)
    } catch {
      guard case .system(let operation, let code) = error else {
        preconditionFailure("writing has no other fault")
      }
      throw .system(operation: operation, code: code)
    }
  }

  private func encode(_ snapshot: Snapshot, into buffer: inout ByteBuffer) {
    buffer.writeString("{\"version\":1,\"id\":\"\(id)\",\"generation\":\(snapshot.generation)")
    buffer.writeString(",\"peers\":[")
    for (index, peer) in snapshot.peers.enumerated() {
      buffer.writeString(index > 0 ? ",\n" : "\n")
      buffer.writeString("{\"id\":\"\(peer.id)\",\"address\":\"\(peer.endpoint)\"}")
    }
    buffer.writeString("],\"keys\":[")
    buffer.writeString(snapshot.keys.map { "\"\($0)\"" }.joined(separator: ","))
    buffer.writeString("]}\n")
  }

  private func parse(_ bytes: [UInt8]) throws(SnapshotFault) -> Snapshot {
    let json: JSONValue
    do throws(JSONFault) {
      json = try JSONValue.parse(ByteBuffer(bytes: bytes))
    } catch {
      throw .unreadable("it is not JSON: \(error.reason) at byte \(error.position)")
    }
    guard json["version"]?.asInteger == 1 else {
      throw .unreadable("it is not of version 1")
    }
    guard let owner = json["id"]?.asString.flatMap({ MemberID($0) }),
      let generation = json["generation"]?.asInteger.flatMap({ UInt64(exactly: $0) }),
      let peers = json["peers"]?.asArray, let keys = json["keys"]?.asArray
    else { throw .unreadable("a field is missing or of another type") }
    guard owner == id else { throw .foreign(owner) }
    return Snapshot(
      generation: generation,
      peers: peers.prefix(Snapshot.peersMax).compactMap { peer in
        guard let id = peer["id"]?.asString.flatMap({ MemberID($0) }),
          let endpoint = peer["address"]?.asString.flatMap({ Endpoint($0) })
        else { return nil }
        return Snapshot.Peer(id: id, endpoint: endpoint)
      },
      keys: keys.compactMap { $0.asString.flatMap { UInt32($0, radix: 16) }.map(KeyID.init) })
  }
}
