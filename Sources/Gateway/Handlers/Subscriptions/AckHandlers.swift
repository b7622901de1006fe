// Settling messages: the answer comes when what it says is durable.
import Engine
import NIOCore
import Wire

enum AckHandlers {
  static let entriesMax = 10_000

  /// `POST /v1/subscriptions/{subscription}:ack`.
  static func ack(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    let settlement = try settlement(request, subscription)
    let confined = request.confined
    request.engine.settle(subscription, settlement, on: request.executor) { result in
      let request = confined.value
      switch result {
      case .success(let statuses): answer(request, subscription, settlement, statuses)
      case .failure(let error): request.fail(Problem(error))
      }
    }
  }

  private static func settlement(
    _ request: Request, _ subscription: Subscription
  ) throws(Problem) -> Settlement {
    guard let body = try request.jsonBytes() else {
      throw Problem(
        .emptyBody, "The body is {\"ack\":[…],\"nak\":[…],\"extend\":[…],\"term\":[…]}.")
    }
    return try body.withUnsafeReadableBytes { bytes throws(Problem) in
      try SettlementReader.read(bytes, salt: subscription.incarnation, entriesMax: entriesMax)
    }
  }

  /// The ids are written again rather than kept: an id has one spelling.
  private static func answer(
    _ request: Request, _ subscription: Subscription, _ settlement: Settlement,
    _ statuses: [SettleStatus]
  ) {
    let ids = Ids(settlement)
    precondition(ids.count == statuses.count, "\(statuses.count) results for \(ids.count) entries")
    let salt = subscription.incarnation
    request.respondJSON(
      headers: [("cache-control", "no-store")], bytesHint: 72 * statuses.count + 32
    ) { buffer in
      buffer.writeStaticString("{\"results\":[")
      var place = 0
      ids.forEach { id in
        buffer.writeStaticString(place == 0 ? "{\"ack_id\":\"" : ",{\"ack_id\":\"")
        id.write(into: &buffer, salt: salt)
        switch statuses[place] {
        case .ok: buffer.writeStaticString("\",\"status\":\"ok\"}")
        case .stale: buffer.writeStaticString("\",\"status\":\"stale\"}")
        }
        place += 1
      }
      buffer.writeStaticString("]}")
    }
  }

  /// A settlement's ids in the order of its answer.
  private struct Ids {
    let settlement: Settlement
    init(_ settlement: Settlement) { self.settlement = settlement }

    var count: Int {
      settlement.ack.count + settlement.nak.count + settlement.extend.count
        + settlement.term.count
    }

    func forEach(_ body: (AckID) -> Void) {
      for id in settlement.ack { body(id) }
      for entry in settlement.nak { body(entry.id) }
      for entry in settlement.extend { body(entry.id) }
      for entry in settlement.term { body(entry.id) }
    }
  }
}
