// The secret that a webhook's sender and receiver share, as Standard Webhooks writes it.

/// 24 to 64 bytes of chance; "whsec_" and their base64 as text.
/// - SeeAlso: Standard Webhooks 1.0, "Signature scheme"
public struct SigningSecret: Sendable, Hashable {
  public let bytes: [UInt8]
  private static let prefix = "whsec_"
  private static let bytesAllowed = 24...64

  /// nil if it is not `whsec_` and strict base64 of as many bytes as the specification allows.
  public init?(_ text: String) {
    guard text.hasPrefix(Self.prefix),
      let bytes = Base64.decode(String(text.dropFirst(Self.prefix.count))),
      Self.bytesAllowed.contains(bytes.count)
    else { return nil }
    self.bytes = bytes
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  /// A new one of 32 bytes, from OpenSSL's generator for secrets.
  public static func generate() -> SigningSecret {
    SigningSecret(bytes: SecretBytes.generate(count: 32))
  }

  /// For the one who asked for it; not for logs.
  public var text: String { Self.prefix + bytes.withUnsafeBytes { Base64.encode($0) } }
}

/// Never shown by chance.
extension SigningSecret: CustomStringConvertible, CustomReflectable {
  public var description: String { "whsec_…" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
