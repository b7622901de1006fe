// What an operator may set about the gateway: limits, browsers, live streams. Checked by the command at start.

/// Every limit that a request can meet; each problem over one names it by its property here, in snake case.
public struct RequestLimits: Sendable, Equatable {
  /// A record with its key and headers.
  public var recordBytesMax = 1 << 20
  /// A request's body, inflated if it came compressed.
  public var bodyBytesMax = 4 << 20
  /// Records in one request.
  public var batchRecordsMax = 10_000
  /// Request line and headers.
  public var headerBytesMax = 32 << 10
  /// Of a record.
  public var recordHeadersMax = 64
  /// A producer's id, an idempotency key.
  public var stampBytesMax = 255
  /// Of a stream.
  public var labelsMax = 64
  public init() {}
}

public struct GatewayConfiguration: Sendable, Equatable {
  /// This node, as clients see it: the owner of its shards.
  public var nodeName = "local"
  public var limits = RequestLimits()
  /// Origins whose pages may call: `https://app.example`, or `*` for any. Empty: CORS is off.
  public var allowedOrigins: [String] = []
  /// Without tokens the server is open to every process of this machine and so must refuse web pages that reach it
  /// by a name of their own (DNS rebinding): only loopback names are taken as Host.
  public var loopbackHostsOnly = true
  /// Silence on a server-sent event stream after which a comment is sent.
  public var heartbeatInterval = Duration.seconds(15)
  /// How long a browser waits before it comes back, as told in `retry:`.
  public var reconnectDelay = Duration.seconds(2)
  /// The longest `wait` of a long poll.
  public var waitMax = Duration.seconds(60)
  /// Which addresses webhooks may be sent to.
  public var egressPolicy = EgressPolicy()
  /// Unsent bytes above which a live reader is served from the log.
  public var unsentBytesMax = 256 << 10
  public init() {}
}
