// The secrets that webhooks are signed with: a new one, beside the old one for as long as receivers need.
import Engine
import NIOCore
import Wire

enum SecretHandlers {
  private static let expireAfter = Duration.zero...Duration.seconds(365 * 86_400)

  /// `POST /v1/subscriptions/{subscription}/secrets:rotate {"secret":"whsec_…","expire_after":"24h"}`, both optional.
  static func rotate(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    var key = SigningSecret.generate()
    var expireAfter: Duration?
    if let body = try request.jsonBody() {
      let object = try JSONFields(body, known: ["secret", "expire_after"])
      if let text = try object.text("secret"),
        let given = try DeliveryReader.secret(text, at: "/secret", mayKeep: false)
      {
        key = given
      }
      expireAfter = try object.duration("expire_after", in: Self.expireAfter)
    }
    let revision = try request.expectedRevision(of: subscription.version, .subscription)
    let confined = request.confined
    request.engine.rotateSecret(
      of: subscription, to: key, expireAfter: expireAfter, ifRevision: revision,
      on: request.executor
    ) {
      switch $0 {
      case .success(let rotated): show(rotated, confined.value)
      case .failure(let error): confined.value.fail(Problem(error, of: .subscription))
      }
    }
  }

  private static func show(_ subscription: Subscription, _ request: Request) {
    guard let secrets = subscription.spec.webhook?.secrets else {
      preconditionFailure("only webhooks have secrets")
    }
    let tag = EntityTags.tag(of: subscription.version)
    request.respondJSON(headers: [("etag", tag), ("cache-control", "no-store")]) { buffer in
      buffer.writeString("{\"secret\":\"\(secrets[0].key.text)\",\"created_at\":\"")
      RFC3339.write(secrets[0].createdAt, into: &buffer)
      buffer.writeString("\",\"previous\":")
      guard secrets.count > 1 else { return _ = buffer.writeString("null}") }
      buffer.writeString("{\"created_at\":\"")
      RFC3339.write(secrets[1].createdAt, into: &buffer)
      buffer.writeString("\",\"expires_at\":")
      if let expiresAt = secrets[1].expiresAt {
        buffer.writeString("\"\(RFC3339.text(expiresAt))\"")
      } else {
        buffer.writeString("null")
      }
      buffer.writeString("}}")
    }
  }
}
