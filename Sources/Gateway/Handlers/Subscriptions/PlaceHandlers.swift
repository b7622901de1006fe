// Sending a subscription elsewhere: seek, and replay of what it has had.
import Engine
import NIOCore
import Wire

enum PlaceHandlers {
  /// `POST /v1/subscriptions/{subscription}:seek {"to":"earliest"|"tail"|"@TIME"|{"0":"120"}}`.
  static func seek(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    guard let body = try request.jsonBody(),
      let target = try target("to", try JSONFields(body, known: ["to"]))
    else { throw missing("/to") }
    let confined = request.confined
    request.engine.seek(subscription, to: target, on: request.executor) { result in
      let request = confined.value
      switch result {
      case .success(let places): answer(request, places)
      case .failure(let error): request.fail(Problem(error))
      }
    }
  }

  private static func answer(_ request: Request, _ places: [Offset]) {
    request.respondJSON(bytesHint: 48 * places.count + 32) { buffer in
      buffer.writeStaticString("{\"items\":[")
      SubscriptionStatusText.writeList(places.enumerated(), into: &buffer) { place, buffer in
        buffer.writeString("{\"shard\":\(place.offset),\"offset\":\"\(place.element)\"}")
      }
      buffer.writeStaticString("]}")
    }
  }

  // MARK: Replay

  /// `POST /v1/subscriptions/{subscription}:replay {"from":…,"to":…,"only":"failed|all"}`.
  static func replay(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    guard let body = try request.jsonBody() else { throw missing("/from") }
    let fields = try JSONFields(body, known: ["from", "to", "only"])
    guard let from = try target("from", fields) else { throw missing("/from") }
    var only = ReplayRequest.Only.all
    if let text = try fields.text("only") {
      guard let known = ReplayRequest.Only(rawValue: text) else {
        throw JSONFields.badValue("/only", "it is all or failed.")
      }
      only = known
    }
    let to = try target("to", fields) ?? .tail
    begin(ReplayRequest(from: from, to: to, only: only), of: subscription, request)
  }

  /// `POST /v1/subscriptions/{subscription}/dead_letters:replay`: those that were given up, all or a range of them.
  static func replayDeadLetters(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    var replay = ReplayRequest(from: .earliest, to: .tail, only: .failed)
    if let body = try request.jsonBody() {
      let fields = try JSONFields(body, known: ["from", "to"])
      replay.from = try target("from", fields) ?? replay.from
      replay.to = try target("to", fields) ?? replay.to
    }
    begin(replay, of: subscription, request)
  }

  private static func begin(
    _ replay: ReplayRequest, of subscription: Subscription, _ request: Request
  ) {
    let confined = request.confined
    request.engine.replay(subscription, replay, on: request.executor) { result in
      let request = confined.value
      switch result {
      case .success(let replays):
        request.respondJSON(
          202, headers: [("location", "/v1/subscriptions/\(subscription.name)")],
          bytesHint: 128 * replays.count + 32
        ) { buffer in
          buffer.writeStaticString("{\"items\":[")
          SubscriptionStatusText.writeList(replays, into: &buffer, SubscriptionStatusText.write)
          buffer.writeStaticString("]}")
        }
      case .failure(let error): request.fail(Problem(error))
      }
    }
  }

  // MARK: Places

  /// A place in the stream, or nil if it is not there.
  private static func target(
    _ name: String, _ fields: JSONFields
  ) throws(Problem) -> SeekTarget? {
    switch fields[name] {
    case nil: return nil
    case .object:
      guard let object = try fields.object(name, known: nil) else { return nil }
      return .offsets(try offsets(object))
    case .string(let text):
      switch text {
      case "earliest": return .earliest
      case "tail": return .tail
      default:
        guard text.hasPrefix("@"), let time = RFC3339.parse(String(text.dropFirst())) else {
          throw JSONFields.badValue("/\(name)", forms)
        }
        return .time(time)
      }
    case .some(let other):
      throw JSONFields.wrongType(
        "/\(name)", "a string, or an object of offsets", isNull: other == .null)
    }
  }

  private static let forms =
    "it is earliest, tail, a time such as \"@2026-01-01T00:00:00Z\", "
    + "or offsets such as {\"0\":\"120\"}."

  private static func offsets(_ object: JSONFields) throws(Problem) -> [Int: Offset] {
    var offsets: [Int: Offset] = [:]
    try object.forEach { name, value, pointer throws(Problem) in
      guard let shard = Int(decimal: name) else {
        throw JSONFields.badValue(pointer, "a shard is a number such as \"0\".")
      }
      guard case .string(let text) = value else {
        throw JSONFields.wrongType(pointer, "a decimal string such as \"120\"")
      }
      guard let offset = UInt64(decimal: text) else {
        throw JSONFields.badValue(pointer, "an offset is a decimal string such as \"120\".")
      }
      offsets[shard] = Offset(offset)
    }
    guard !offsets.isEmpty else {
      throw JSONFields.badValue(object.pointer, "it names at least one shard.")
    }
    return offsets
  }

  private static func missing(_ pointer: String) -> Problem {
    Problem(.missingField, "\(pointer) is missing: \(forms)", facts: [("pointer", .text(pointer))])
  }
}
