// In which form a read is answered: by `Accept` (RFC 9110 §12.5.1), unless `live` says.

/// How values lie one after another in a raw answer.
enum RawFraming: String, Sendable {
  /// Each value, then LF: for JSON, which is one line.
  case newline
  /// Four bytes big-endian, then as many of the value: for any bytes.
  case length
}

enum ReadForm: Equatable, Sendable {
  /// One JSON document.
  case page
  /// NDJSON.
  case lines
  /// Values alone, of one shard.
  case raw(RawFraming)
  case events

  static let json = "application/json"
  static let ndjson = "application/x-ndjson"
  static let octets = "application/octet-stream"
  static let eventStream = "text/event-stream"
  static let offered = "\(json), \(ndjson), \(octets);framing=newline|length, \(eventStream)"

  var contentType: String {
    switch self {
    case .page: Self.json
    case .lines: Self.ndjson
    case .raw(let framing): "\(Self.octets);framing=\(framing.rawValue)"
    case .events: "\(Self.eventStream); charset=utf-8"
    }
  }

  /// Of an answer that does not end by itself: nobody on its way may keep it or hold it back.
  var liveHeaders: Headers {
    Headers([
      ("content-type", contentType), ("cache-control", "no-cache, no-transform"),
      ("x-accel-buffering", "no"), ("vary", "Accept"),
    ])
  }

  /// The form that the client likes best; of several equally liked the one it named most exactly, then first.
  /// No header, or `*/*`, is JSON.
  init(accept: [String], live: String?) throws(Problem) {
    switch live {
    case nil: break
    case "sse":
      self = .events
      return
    case "ndjson":
      self = .lines
      return
    default: throw Query.refusal("live", "It is sse or ndjson.")
    }
    let ranges = accept.flatMap { $0.split(separator: ",") }.compactMap { MediaRange($0) }
    if ranges.isEmpty {
      self = .page
      return
    }
    let refused = ranges.filter { $0.quality == 0 }.map(\.type)
    var best: (form: ReadForm, range: MediaRange)?
    for range in ranges where range.quality > 0 {
      guard let form = Self.form(for: range, butNot: refused) else { continue }
      if let best, !range.isBetter(than: best.range) { continue }
      best = (form, range)
    }
    guard let best else {
      throw Problem(
        .notAcceptable, "Records come as \(Self.offered).",
        facts: [("offered", .text(Self.offered))])
    }
    self = best.form
  }

  /// Whether server-sent events are among what the client takes. No header takes anything.
  static func takesEvents(_ accept: [String]) -> Bool {
    let ranges = accept.flatMap { $0.split(separator: ",") }.compactMap { MediaRange($0) }
    let wanted = [eventStream, "text/*", "*/*"]
    // The most exact one counts (RFC 9110 §12.5.1).
    let best = wanted.lazy.compactMap { type in ranges.first { $0.type == type } }.first
    return ranges.isEmpty || (best?.quality ?? 0) > 0
  }

  private static func form(for range: MediaRange, butNot refused: [String]) -> ReadForm? {
    switch range.type {
    case ndjson: .lines
    case eventStream: .events
    case json: .page
    case octets: RawFraming(rawValue: range.framing ?? "newline").map { .raw($0) }
    case "application/*", "*/*":
      if !refused.contains(json) { .page } else { refused.contains(ndjson) ? nil : .lines }
    case "text/*": refused.contains(eventStream) ? nil : .events
    default: nil
    }
  }
}

/// One range of an Accept header.
private struct MediaRange {
  /// In lower case, without parameters.
  let type: String
  var quality = 1.0
  var framing: String?

  init?(_ text: Substring) {
    var parts = text.split(separator: ";", omittingEmptySubsequences: false).map { $0.trimmed() }
    guard !parts[0].isEmpty else { return nil }
    type = parts.removeFirst().lowercased()
    for part in parts {
      guard let equals = part.firstIndex(of: "=") else { continue }
      let name = part[..<equals].trimmed().lowercased()
      let value = part[part.index(after: equals)...].trimmed().filter { $0 != "\"" }
      if name == "q" { quality = min(1, max(0, Double(value) ?? 1)) }
      if name == "framing" { framing = value.lowercased() }
    }
  }

  private var exactness: Int { type == "*/*" ? 0 : type.hasSuffix("/*") ? 1 : 2 }

  func isBetter(than other: MediaRange) -> Bool {
    if quality != other.quality { return quality > other.quality }
    return exactness > other.exactness
  }
}
