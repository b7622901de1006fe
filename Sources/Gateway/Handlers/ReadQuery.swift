// What a read asks for, checked: its query, `Accept` and `Last-Event-ID` as one value.
import Wire

struct ReadQuery {
  enum Start: Equatable {
    case earliest
    case tail
    case offset(Offset)
    /// So many before the tail.
    case last(UInt64)
    case time(Timestamp)
    case cursor(Cursor)
  }

  var form = ReadForm.page
  /// Never ends by itself.
  var isLive = false
  var start = Start.earliest
  var limit: Int?
  var bytesMax: Int?
  var wait: Duration?
  var key: [UInt8]?
  var until: RecordFilter.Until?
  var incarnation: UInt64?
  var events = EventShape()

  static let limitDefault = 1000
  static let limitMax = 10_000
  static let bytesMaxDefault = 1 << 20
  static let bytesMaxMax = 16 << 20

  static let parameters = [
    "from", "cursor", "limit", "max_bytes", "wait", "key", "until", "live", "event", "batch",
    "incarnation",
  ]

  init(_ request: Request) throws(Problem) {
    let query = try request.query(Self.parameters)
    try self.init(query, request.head.headers, waitMax: request.loop.configuration.waitMax)
  }

  init(_ query: Query, _ headers: Headers, waitMax: Duration) throws(Problem) {
    form = try ReadForm(accept: headers.all("accept"), live: query["live"])
    isLive = form == .events || query["live"] != nil
    try readStart(query, headers)
    limit = try query.integer("limit", in: 1...Self.limitMax)
    bytesMax = try query.integer("max_bytes", in: 1...Self.bytesMaxMax)
    wait = try query.duration("wait", max: waitMax)
    key = query["key"].map { Array($0.utf8) }
    if let text = query["until"] { until = try Self.until(text) }
    if let text = query["incarnation"] {
      guard let number = UInt64(decimal: text) else {
        throw Query.refusal("incarnation", "It is the number that GET of the stream shows.")
      }
      incarnation = number
    }
    try readEventShape(query)
    for name in ["max_bytes", "wait"] where isLive && query[name] != nil {
      throw Query.refusal(name, "A live answer has no end that it could set.")
    }
  }

  /// `Last-Event-ID` (a browser that comes back to the same URL), then `cursor`, then `from`.
  private mutating func readStart(_ query: Query, _ headers: Headers) throws(Problem) {
    if let text = query["from"] { start = try Self.start(text) }
    if let text = query["cursor"] { start = .cursor(try Self.cursor(text, "cursor")) }
    if form == .events, let text = headers["last-event-id"], !text.isEmpty {
      start = .cursor(try Self.cursor(text, "Last-Event-ID"))
    }
  }

  private static func cursor(_ text: String, _ name: String) throws(Problem) -> Cursor {
    do {
      return try Cursor(decoding: text)
    } catch {
      throw Problem(
        .badCursor,
        error == .damaged
          ? "\(name) is damaged: it is not what the server gave."
          : "\(name) is of a version that this server does not know.",
        facts: [("parameter", .text(name))])
    }
  }

  private static func start(_ text: String) throws(Problem) -> Start {
    switch text {
    case "earliest": return .earliest
    case "tail": return .tail
    default: break
    }
    if text.hasPrefix("@"), let time = RFC3339.parse(String(text.dropFirst())) {
      return .time(time)
    }
    if text.hasPrefix("-"), let count = UInt64(decimal: text.dropFirst()), count > 0 {
      return .last(count)
    }
    if let offset = UInt64(decimal: text) { return .offset(Offset(offset)) }
    throw Query.refusal(
      "from", "It is earliest, tail, @TIME such as @2026-01-01T00:00:00Z, an offset, or -100.")
  }

  private static func until(_ text: String) throws(Problem) -> RecordFilter.Until {
    if text.hasPrefix("@"), let time = RFC3339.parse(String(text.dropFirst())) {
      return .time(time)
    }
    if let offset = UInt64(decimal: text) { return .offset(Offset(offset)) }
    throw Query.refusal("until", "It is an offset or @TIME such as @2026-01-01T00:00:00Z.")
  }

  private mutating func readEventShape(_ query: Query) throws(Problem) {
    for name in ["event", "batch"] where form != .events && query[name] != nil {
      throw Query.refusal(name, "It goes with server-sent events only: live=sse.")
    }
    if let text = query["event"] {
      guard let name = EventShape.Name(rawValue: text) else {
        throw Query.refusal("event", "It is record or message.")
      }
      events.name = name
    }
    events.isBatched = try query.flag("batch") ?? false
  }

  /// One answer of a bounded size: JSON always; NDJSON and raw ones when they are asked for a part, or to wait.
  var isPage: Bool {
    !isLive && (form == .page || limit != nil || bytesMax != nil || wait != nil)
  }

  /// nil if it wants everything.
  var filter: RecordFilter? {
    if key == nil, limit == nil, until == nil { return nil }
    return RecordFilter(key: key, remaining: limit, until: until)
  }

  var liveShape: LiveShape { form == .events ? .events(events) : .lines }

  /// True if its cursor says that its reader was told to stay away.
  var hasEnded: Bool {
    if form == .events, case .cursor(let cursor) = start { cursor.isEnded } else { false }
  }
}
