// Lists of a subscription at work: its consumers, the records in flight, and those that were given up.
import Engine
import NIOCore
import Wire

enum ConsumptionLists {
  /// `GET /v1/subscriptions/{subscription}/consumers`.
  static func consumers(_ request: Request) throws(Problem) {
    let (subscription, page) = try parts(request)
    let reply = replier(request, page) { (item: ConsumerInfo, buffer: inout ByteBuffer) in
      SubscriptionStatusText.write(item, into: &buffer)
    }
    request.engine.consumers(
      of: subscription, after: page.after, limit: page.size, on: request.executor, reply: reply)
  }

  /// `GET /v1/subscriptions/{subscription}/in_flight`.
  static func inFlight(_ request: Request) throws(Problem) {
    let (subscription, page) = try parts(request, placeParts: 2)
    let salt = subscription.incarnation
    let reply = replier(request, page) { (item: MessageInFlight, buffer: inout ByteBuffer) in
      SubscriptionStatusText.write(item, salt: salt, into: &buffer)
    }
    request.engine.inFlight(
      of: subscription, after: page.after, limit: page.size, on: request.executor, reply: reply)
  }

  /// `GET /v1/subscriptions/{subscription}/dead_letters`.
  static func deadLetters(_ request: Request) throws(Problem) {
    let (subscription, page) = try parts(request)
    let reply = replier(request, page) { (item: DeadLetter, buffer: inout ByteBuffer) in
      SubscriptionStatusText.write(item, into: &buffer)
    }
    request.engine.deadLetters(
      of: subscription, after: page.after, limit: page.size, on: request.executor, reply: reply)
  }

  /// - Parameter placeParts: numbers, with a colon between, that a page token of the list is made of.
  private static func parts(
    _ request: Request, placeParts: Int = 1
  ) throws(Problem) -> (Subscription, Page) {
    let page = try Page(try request.query(["page_size", "page_token"]))
    if let after = page.after {
      let numbers = after.split(separator: ":", omittingEmptySubsequences: false)
      guard numbers.count == placeParts, numbers.allSatisfy({ UInt64(decimal: $0) != nil }) else {
        throw Page.damaged
      }
    }
    return (try request.subscription(), page)
  }

  private static func replier<Item: Sendable>(
    _ request: Request, _ page: Page,
    _ writeItem: @escaping @Sendable (Item, inout ByteBuffer) -> Void
  ) -> @Sendable (Result<ListPage<Item, String>, SubscriptionError>) -> Void {
    let confined = request.confined
    return { result in
      let request = confined.value
      switch result {
      case .success(let list):
        request.respondJSON(
          headers: [("cache-control", "no-store")], bytesHint: 192 * list.items.count + 64
        ) { page.write(list.items, next: list.next, into: &$0, writeItem) }
      case .failure(let error): request.fail(Problem(error))
      }
    }
  }
}
