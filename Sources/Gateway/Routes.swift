// The table of routes: every operation of the contract, once.

enum Routes {
  static let all: [Route] = streams + records + subscriptions + webhooks + operation

  /// Reads refuse by themselves, live ones with an event; whether the process lives is asked to the end.
  static let answeredWhileStopping: Set = ["readStream", "readShard", "livez", "metrics"]

  static let streams: [Route] = [
    Route("GET", "/v1/streams", "listStreams", StreamHandlers.list),
    Route("PUT", "/v1/streams/{stream}", "ensureStream", StreamHandlers.ensure),
    Route("GET", "/v1/streams/{stream}", "getStream", StreamHandlers.get),
    Route("PATCH", "/v1/streams/{stream}", "changeStream", StreamHandlers.change),
    Route("DELETE", "/v1/streams/{stream}", "deleteStream", StreamHandlers.delete),
    Route("POST", "/v1/streams/{stream}:trim", "trimStream", TrimHandlers.trimStream),
    Route("GET", "/v1/streams/{stream}/shards", "listShards", StreamHandlers.shards),
    Route("POST", "/v1/streams/{stream}/shards/{shard}:trim", "trimShard", TrimHandlers.trimShard),
  ]

  static let records: [Route] = [
    Route("GET", "/v1/streams/{stream}/records", "readStream", ReadHandlers.readStream),
    Route(
      "GET", "/v1/streams/{stream}/shards/{shard}/records", "readShard", ReadHandlers.readShard),
    Route(
      "POST", "/v1/streams/{stream}/records", "appendToStream", AppendHandlers.appendToStream),
    Route(
      "POST", "/v1/streams/{stream}/shards/{shard}/records", "appendToShard",
      AppendHandlers.appendToShard),
  ]

  static let subscriptions: [Route] = [
    Route("GET", "/v1/subscriptions", "listSubscriptions", SubscriptionHandlers.list),
    Route(
      "PUT", "/v1/subscriptions/{subscription}", "ensureSubscription", SubscriptionHandlers.ensure),
    Route("GET", "/v1/subscriptions/{subscription}", "getSubscription", SubscriptionHandlers.get),
    Route(
      "PATCH", "/v1/subscriptions/{subscription}", "changeSubscription",
      SubscriptionHandlers.change),
    Route(
      "DELETE", "/v1/subscriptions/{subscription}", "deleteSubscription",
      SubscriptionHandlers.delete),
    Route(
      "POST", "/v1/subscriptions/{subscription}/secrets:rotate", "rotateSecret",
      SecretHandlers.rotate),
  ]

  static let webhooks: [Route] = [
    Route(
      "POST", "/v1/subscriptions/{subscription}:test", "testWebhook", WebhookHandlers.test),
    Route(
      "GET", "/v1/subscriptions/{subscription}/attempts", "listAttempts", WebhookHandlers.attempts),
    Route(
      "POST", "/v1/subscriptions/{subscription}/attempts/{attempt}:resend", "resendAttempt",
      WebhookHandlers.resend),
  ]

  static let operation: [Route] = [
    Route("GET", "/livez", "livez", OperationHandlers.livez),
    Route("GET", "/readyz", "readyz", OperationHandlers.readyz),
    Route("GET", "/metrics", "metrics", OperationHandlers.metrics),
    Route("GET", "/openapi.yaml", "openapi", OperationHandlers.openapi),
    Route("GET", "/", "home", ConsolePage.tail),
    Route("GET", "/console", "console", ConsolePage.tail),
    Route("GET", "/console/tail.html", "tailPage", ConsolePage.tail),
  ]
}
