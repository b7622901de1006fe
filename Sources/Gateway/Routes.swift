// The table of routes: every operation of the contract, once.

enum Routes {
  static let all: [Route] =
    streams + records + subscriptions + consumption + webhooks + operation

  /// Reads and messages refuse by themselves, live ones with an event; what was worked off may still be settled; and
  /// whether the process lives is asked to the end.
  static let answeredWhileStopping: Set = [
    "readStream", "readShard", "streamMessages", "settle", "livez", "metrics",
  ]

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
    Route("GET", "/v1/subscriptions/{subscription}", "getSubscription", StateHandlers.get),
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

  /// Using subscriptions, and looking at them in use.
  static let consumption: [Route] = [
    Route("POST", "/v1/subscriptions/{subscription}:pull", "pull", PullHandlers.pull),
    Route("POST", "/v1/subscriptions/{subscription}:ack", "settle", AckHandlers.ack),
    Route(
      "GET", "/v1/subscriptions/{subscription}/messages", "streamMessages",
      MessageHandlers.messages),
    Route(
      "GET", "/v1/subscriptions/{subscription}/consumers", "listConsumers",
      ConsumptionLists.consumers),
    Route(
      "GET", "/v1/subscriptions/{subscription}/in_flight", "listInFlight",
      ConsumptionLists.inFlight),
    Route(
      "GET", "/v1/subscriptions/{subscription}/dead_letters", "listDeadLetters",
      ConsumptionLists.deadLetters),
    Route(
      "POST", "/v1/subscriptions/{subscription}/dead_letters:replay", "replayDeadLetters",
      PlaceHandlers.replayDeadLetters),
    Route("POST", "/v1/subscriptions/{subscription}:pause", "pause", StateHandlers.pause),
    Route("POST", "/v1/subscriptions/{subscription}:resume", "resume", StateHandlers.resume),
    Route("POST", "/v1/subscriptions/{subscription}:seek", "seek", PlaceHandlers.seek),
    Route("POST", "/v1/subscriptions/{subscription}:replay", "replay", PlaceHandlers.replay),
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
