// A secret that the members of a cluster share.
import Wire

/// 32 bytes. Whoever has it is believed; it is never sent.
public struct MemberKey: Hashable, Sendable {
  public static let byteCount = AES256GCM.keyBytes

  let bytes: [UInt8]
  /// May be shown: it tells which key, not the key.
  public let id: KeyID

  /// nil unless there are 32 bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
    let hash = (Array("millrace member key".utf8) + bytes).withUnsafeBytes { Digest.sha256($0) }
    id = KeyID(hash[0..<4].reduce(0) { $0 << 8 | UInt32($1) })
  }

  /// nil unless it is strict base64 of 32 bytes.
  public init?(base64 text: String) {
    guard let bytes = Base64.decode(text) else { return nil }
    self.init(bytes: bytes)
  }

  /// A new one, from OpenSSL's generator for secrets.
  public static func generate() -> MemberKey {
    guard let key = MemberKey(bytes: SecretBytes.generate(count: byteCount)) else {
      preconditionFailure("\(byteCount) bytes are a key")
    }
    return key
  }

  /// The secret as base64, for a key file; not for logs.
  public var text: String { bytes.withUnsafeBytes { Base64.encode($0) } }
}

/// Never shown by chance.
extension MemberKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public var description: String { "key \(id)" }
  public var debugDescription: String { description }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
