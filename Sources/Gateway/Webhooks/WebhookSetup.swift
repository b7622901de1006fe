// What follows from a webhook's settings, made once for each change of them.
import Engine
import NIOCore
import Wire

struct WebhookSetup: Sendable {
  let webhook: WebhookSpec
  let envelope: Envelope
  /// nil: a record a request.
  let units: ConsumerOptions.Units?
  private let target: OutboundTarget
  /// By every key there is, and by those that do not expire.
  private let signer: WebhookSigner
  private let laterSigner: WebhookSigner
  private let expiry: Timestamp?

  /// - Throws: what is wrong with its URL.
  init(
    _ webhook: WebhookSpec, _ subscription: Subscription, _ stream: Stream
  ) throws(OutboundURLFault) {
    target = try OutboundTarget(url: webhook.url)
    self.webhook = webhook
    envelope = Envelope(
      webhook, subscription: subscription.name, incarnation: subscription.incarnation,
      stream: stream.name, streamIncarnation: stream.incarnation, shards: stream.shards.map(\.id))
    units =
      webhook.format == .batch
      ? ConsumerOptions.Units(recordsMax: webhook.batchRecordsMax, linger: webhook.batchLinger)
      : nil
    // More than one secret can be there only while one of them is being replaced.
    let expiry = webhook.secrets.compactMap(\.expiresAt).min()
    self.expiry = expiry
    let start = Timestamp(milliseconds: .min)
    signer = WebhookSigner(secrets: webhook.keys(at: start))
    laterSigner = WebhookSigner(secrets: webhook.keys(at: expiry ?? start))
  }

  /// One attempt of `message`.
  func request(_ message: WebhookMessage, at now: Timestamp) -> OutboundRequest {
    let signer = expiry.map { now < $0 } ?? true ? signer : laterSigner
    var headers = message.headers
    let seconds = now.milliseconds / 1000
    headers.add("webhook-timestamp", String(seconds))
    headers.add(
      "webhook-signature", signer.signature(id: message.id, seconds: seconds, body: message.body))
    return OutboundRequest(
      to: target, headers: headers, body: message.body, timeout: webhook.timeout)
  }
}

extension WebhookPolicy {
  init(_ webhook: WebhookSpec) {
    self.init(
      concurrency: webhook.concurrency, rateLimit: webhook.rateLimit, retry: webhook.retry,
      disableAfter: webhook.disableAfter)
  }
}
