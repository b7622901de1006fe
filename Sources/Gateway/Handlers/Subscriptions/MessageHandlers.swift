// Messages as server-sent events: what is asked, and how it is refused so that a browser comes back when it should.
import Engine
import NIOCore
import Wire

enum MessageHandlers {
  static let parameters = ["consumer", "max_in_flight"]

  /// `GET /v1/subscriptions/{subscription}/messages`.
  static func messages(_ request: Request) throws(Problem) {
    _ = try request.name()
    let query = try query(request)
    try checkAccept(request)
    if request.loop.messages.isDraining { return fail(request, .stopping) }
    let subscription = try request.subscription()
    if request.isHead { return request.respondHead(200, ReadForm.events.liveHeaders) }
    MessageReader(request, subscription, query).start()
  }

  private static func query(_ request: Request) throws(Problem) -> MessageQuery {
    let parameters = try request.query(parameters)
    var query = MessageQuery()
    query.share = try parameters.integer("max_in_flight", in: SubscriptionLimits.maxInFlight)
    if let name = parameters["consumer"] {
      guard ConsumerName.isGood(name) else {
        throw Query.refusal("consumer", ConsumerName.rule)
      }
      query.consumer = name
    }
    return query
  }

  private static func checkAccept(_ request: Request) throws(Problem) {
    let accept = request.head.headers.all("accept")
    guard ReadForm.takesEvents(accept) else {
      throw Problem(
        .notAcceptable, "Messages come as \(ReadForm.eventStream); POST …:pull gives JSON.",
        facts: [("offered", .text(ReadForm.eventStream))])
    }
  }

  /// A browser's EventSource gives up for good on any answer but 200, so a trouble that passes is an event.
  static func fail(_ request: Request, _ problem: Problem) {
    guard problem.retryable else { return request.fail(problem) }
    request.start(200, ReadForm.events.liveHeaders)
    request.exchange.finish(problem, retry: request.loop.messages.settings.troubleDelay)
  }
}
