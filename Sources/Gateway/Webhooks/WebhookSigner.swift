// Signs deliveries by Standard Webhooks 1.0: HMAC-SHA256 over id, time and body.
import NIOCore
import Wire

/// Keeps its keys ready; one a subscription.
public struct WebhookSigner: Sendable {
  private let keys: [HMACKey]

  /// While a secret is being replaced there are two, and receivers may know either.
  public init(secrets: [SigningSecret]) {
    precondition(!secrets.isEmpty, "a delivery is always signed")
    keys = secrets.map { HMACKey($0.bytes) }
  }

  /// What `webhook-signature` says: "v1,…" for each secret, a space between.
  /// - Parameters:
  ///   - id: what `webhook-id` says.
  ///   - seconds: what `webhook-timestamp` says, since 1970.
  public func signature(id: String, seconds: Int64, body: ByteBuffer) -> String {
    var signed = "\(id).\(seconds)."
    return signed.withUTF8 { head in
      body.withUnsafeReadableBytes { body in
        let signatures = keys.map { key in
          key.code(UnsafeRawBufferPointer(head), body).withUnsafeBytes { "v1," + Base64.encode($0) }
        }
        return signatures.joined(separator: " ")
      }
    }
  }
}
