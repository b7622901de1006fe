// A subscription's state: what it is at work, and whether it delivers.
import Engine
import NIOCore
import Wire

enum StateHandlers {
  /// `POST /v1/subscriptions/{subscription}:pause`.
  static func pause(_ request: Request) throws(Problem) { try set(.paused, request) }

  /// `POST /v1/subscriptions/{subscription}:resume`.
  static func resume(_ request: Request) throws(Problem) { try set(.active, request) }

  private static func set(
    _ state: SubscriptionSpec.State, _ request: Request
  ) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    try request.refuseFields()
    let confined = request.confined
    request.engine.setState(of: subscription, to: state, on: request.executor) {
      switch $0 {
      case .success(let changed): SubscriptionHandlers.show(changed, confined.value)
      case .failure(let error): confined.value.fail(Problem(error, of: .subscription))
      }
    }
  }

  /// `GET /v1/subscriptions/{subscription}`: the document, and what it is at work. No 304: that changes without its
  /// ETag.
  static func get(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try request.subscription()
    guard request.engine.source(of: subscription) != nil else {
      return show(subscription, nil, request)
    }
    let confined = request.confined
    request.engine.status(of: subscription, on: request.executor) { result in
      switch result {
      case .success(let status): show(subscription, status, confined.value)
      case .failure(.streamReplaced): show(subscription, nil, confined.value)
      case .failure(let error): confined.value.fail(Problem(error))
      }
    }
  }

  private static func show(
    _ subscription: Subscription, _ status: SubscriptionStatus?, _ request: Request
  ) {
    WebhookHandlers.withStatus(of: subscription, request) { request, writeWebhook in
      SubscriptionHandlers.show(subscription, request) { buffer in
        if let status {
          buffer.writeStaticString(",\"status\":")
          SubscriptionStatusText.write(status, into: &buffer)
        }
        writeWebhook(&buffer)
      }
    }
  }
}
