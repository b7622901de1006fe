// How much a peer may ask of the transport: bytes, counts and times, each with its reason.

/// The transport's limits. Times are monotonic and kept to within one `tick`.
public struct TransportLimits: Sendable, Equatable {
  /// Connections held at once, over all loops; the next ones are answered 503 and closed.
  public var connectionsMax = 50_000
  /// A request line, 414 above it. Cursors take at most 512 bytes of it.
  public var requestLineBytesMax = 8 << 10
  /// A request's whole head, and a chunked body's trailers; 431 above it.
  public var headBytesMax = 32 << 10
  /// Header fields in a head; 431 above it.
  public var headFieldsMax = 128
  /// A request's body as sent, before any decompression; 413 above it.
  public var bodyBytesMax = 4 << 20
  /// Bytes of bodies being received or not yet answered, over all loops; 503 above it.
  public var heldBodyBytesMax = 512 << 20
  /// Bytes of large answers that peers have not taken, over all loops; reads of records are 429 above it.
  public var heldAnswerBytesMax = 512 << 20
  /// Unsent bytes above which a connection is not read; `onDrain` comes below a quarter of it.
  public var unsentBytesMax = 256 << 10
  /// Requests of one HTTP/1.1 connection that wait for their answers.
  public var pipelinedMax = 32
  /// Streams of one HTTP/2 connection that wait for their answers.
  public var concurrentStreamsMax = 256
  /// From the first byte of a head to its last: 408 after it (slow headers).
  public var headTime = Duration.seconds(10)
  /// A body is looked at this often, and must have grown by `bytesPerSecondMin` since (slow bodies).
  public var bodyStallTime = Duration.seconds(30)
  /// What bodies must come at and answers must be taken at: less keeps memory busy for nothing.
  public var bytesPerSecondMin = 64
  /// A connection without a request is closed after it.
  public var idleTime = Duration.seconds(75)
  /// Unsent bytes of which the peer took too few in so long end the connection (slow readers).
  public var writeStallTime = Duration.seconds(30)
  /// How long the peer may go on sending after an answer that closes, so that it can read that answer.
  public var lingerTime = Duration.seconds(5)
  /// The timers' grain.
  public var tick = Duration.milliseconds(500)

  public init() {}

  /// What must have moved within `time`.
  func bytesWanted(within time: Duration) -> Int {
    max(1, Int(time / .seconds(1) * Double(bytesPerSecondMin)))
  }
}
