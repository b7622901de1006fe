// Pulling: some records now, or within a while, and nothing leased to a client that is gone.
import Engine
import NIOCore
import Wire

/// `{"max_messages":100,"max_bytes":"1048576","wait":"20s","consumer":"w1"}`, all of it optional.
struct PullQuery {
  var recordsMax = 100
  var bytesMax = ReadQuery.bytesMaxDefault
  var wait = Duration.zero
  var consumer = ""

  static let recordsMaxMax = 10_000
  static let bytesMaxMax = 16 << 20

  init(_ request: Request) throws(Problem) {
    _ = try request.query([])
    guard let body = try request.jsonBody() else { return }
    let fields = try JSONFields(body, known: ["max_messages", "max_bytes", "wait", "consumer"])
    if let records = try fields.integer("max_messages", in: 1...Self.recordsMaxMax) {
      recordsMax = records
    }
    if let text = try fields.text("max_bytes") {
      guard let bytes = Int(decimal: text), (1...Self.bytesMaxMax).contains(bytes) else {
        throw JSONFields.badValue(
          "/max_bytes", "it is a decimal string from \"1\" to \"\(Self.bytesMaxMax)\".")
      }
      bytesMax = bytes
    }
    let waitMax = request.loop.configuration.waitMax
    if let wait = try fields.duration("wait", in: .zero...waitMax) { self.wait = wait }
    if let name = try fields.text("consumer") {
      guard ConsumerName.isGood(name) else {
        throw JSONFields.badValue("/consumer", ConsumerName.rule)
      }
      consumer = name
    }
  }
}

enum PullHandlers {
  /// `POST /v1/subscriptions/{subscription}:pull`.
  static func pull(_ request: Request) throws(Problem) {
    let subscription = try request.subscription()
    PullAnswer(request, subscription, try PullQuery(request)).start()
  }
}

/// One pull, from the question to its answer. Whatever was leased for it and does not reach the client is given back.
final class PullAnswer: RosterMember {
  var rosterSlot = 0
  private let request: Request
  private let subscription: Subscription
  private let query: PullQuery
  private let hub: MessageHub
  private var ticket: PullTicket?
  private var isOver = false

  init(_ request: Request, _ subscription: Subscription, _ query: PullQuery) {
    self.request = request
    self.subscription = subscription
    self.query = query
    hub = request.loop.messages
  }

  func start() {
    let answer = Confined(self, to: request.executor)
    request.exchange.onClose = { [self] in abandon() }
    // Most who say no more are gone, and would take a lease with them. Who still reads is told that there is nothing.
    request.exchange.onInputEnd = { [self] in if query.wait > .zero { end() } }
    hub.add(self)
    ticket = request.engine.pull(
      subscription, consumer: query.consumer, max: query.recordsMax, bytesMax: query.bytesMax,
      wait: query.wait, on: request.executor
    ) { answer.value.receive($0) }
  }

  private func receive(_ result: Result<Pulled, SubscriptionError>) {
    switch result {
    case .success(let pulled):
      if isOver {
        giveBack(pulled)
      } else {
        leave()
        if !respond(pulled.delivery, pulled.backlog, pulled.state) { giveBack(pulled) }
      }
    case .failure(let error):
      guard !isOver else { return }
      leave()
      request.fail(Problem(error))
    }
  }

  private func giveBack(_ pulled: Pulled) {
    guard let delivery = pulled.delivery else { return }
    request.engine.giveBack(subscription, delivery.lease)
  }

  /// - Returns: false if the client does not get it.
  private func respond(
    _ delivery: Delivery?, _ backlog: Backlog?, _ state: SubscriptionSpec.State
  ) -> Bool {
    let hint = delivery.map(MessageText.bytesHint) ?? 0
    var buffer = request.loop.allocator.buffer(capacity: hint + 128)
    buffer.writeStaticString("{\"messages\":[")
    if let delivery {
      var text = MessageText(.array, salt: subscription.incarnation)
      text.write(delivery, into: &buffer)
    }
    buffer.writeStaticString("],\"backlog\":")
    if let backlog {
      SubscriptionStatusText.write(backlog, into: &buffer)
    } else {
      buffer.writeStaticString("null")
    }
    buffer.writeStaticString(",\"state\":\"")
    buffer.writeStaticString(state.word)
    buffer.writeStaticString("\"}")
    return request.handOver(200, Self.headers, buffer)
  }

  private static let headers = Headers([
    ("content-type", "application/json"), ("cache-control", "no-store"),
  ])

  /// The server stops, or the client may be gone: it is told that there is nothing, whatever comes.
  func end() {
    guard !isOver else { return }
    abandon()
    _ = respond(nil, nil, subscription.spec.state)
  }

  private func abandon() {
    guard !isOver else { return }
    leave()
    ticket?.cancel()
  }

  private func leave() {
    isOver = true
    request.exchange.onClose = nil
    request.exchange.onInputEnd = nil
    hub.remove(self)
  }
}
