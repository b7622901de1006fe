// The subscription that a request is about.
import Engine

extension Request {
  /// The subscription that the first path parameter names.
  func subscription() throws(Problem) -> Subscription {
    let name = try name()
    guard let subscription = engine.subscription(named: name) else {
      throw Problem(
        .subscriptionNotFound,
        "There is no subscription \(name); PUT /v1/subscriptions/\(name) makes it.",
        facts: [("subscription", .text(name))])
    }
    return subscription
  }
}
