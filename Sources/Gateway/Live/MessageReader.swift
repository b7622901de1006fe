// One consumer over server-sent events: it is given its share, and what it has not settled goes back when it leaves.
import Engine
import NIOCore
import Wire

/// What a reader of messages asked for.
struct MessageQuery {
  /// Shown in `consumers`.
  var consumer = ""
  /// nil: a fair share of the subscription's `max_in_flight`.
  var share: Int?
}

/// From the request on: attaches to the subscription, begins the answer once it is attached, and writes each delivery
/// as it comes. While its client takes too little it is given nothing more, so that what waits for the socket is at
/// most what was already on its way.
final class MessageReader: RosterMember {
  var rosterSlot = 0
  private let request: Request
  private let exchange: any Exchange
  private let subscription: Subscription
  private let query: MessageQuery
  private let hub: MessageHub
  private var text: MessageText
  private var seat = Seat.attaching
  private var isHeldBack = false
  private var lastWriteTick: Int

  private enum Seat {
    case attaching
    case attached(Attachment)
    case gone
  }

  /// Frame bytes of one delivery: what a socket may be given at once.
  static let deliveryBytesMax = 256 << 10

  init(_ request: Request, _ subscription: Subscription, _ query: MessageQuery) {
    self.request = request
    exchange = request.exchange
    self.subscription = subscription
    self.query = query
    hub = request.loop.messages
    text = MessageText(.events, salt: subscription.incarnation)
    lastWriteTick = hub.heartbeat.tick
  }

  func start() {
    hub.add(self)
    exchange.onClose = { [self] in leave() }
    exchange.onInputEnd = { [self] in
      // Nobody half-closes an event stream and still reads it.
      guard case .attaching = seat else { return }
      leave()
      request.fail(.stopping)
    }
    var options = ConsumerOptions(name: query.consumer, kind: .sse, share: query.share)
    options.bytesMax = Self.deliveryBytesMax
    let reader = Confined(self, to: hub.executor)
    request.engine.attach(subscription, options, on: hub.executor) {
      reader.value.receive($0)
    } reply: {
      reader.value.receive($0)
    }
  }

  private func receive(_ result: Result<Attachment, SubscriptionError>) {
    switch (result, seat) {
    case (.success(let attachment), .attaching):
      seat = .attached(attachment)
      begin()
    case (.success(let attachment), _):
      // The client, or the server, did not wait for it.
      attachment.close()
    case (.failure(let error), .attaching):
      leave()
      MessageHandlers.fail(request, Problem(error))
    case (.failure, _): break
    }
  }

  private func begin() {
    exchange.onInputEnd = nil
    request.start(200, ReadForm.events.liveHeaders)
    exchange.onDrain = { [self] in goOn() }
    let name = subscription.name
    let consumer = query.consumer
    let settings = hub.settings
    send(
      BodyChunk { buffer in
        buffer.writeStaticString("event: open\ndata: {\"subscription\":")
        JSONText.writeEscapedString(name, into: &buffer)
        buffer.writeStaticString(",\"consumer\":")
        JSONText.writeEscapedString(consumer, into: &buffer)
        buffer.writeStaticString(",\"heartbeat_ms\":")
        JSONText.writeDecimal(UInt64(settings.heartbeatInterval.milliseconds), into: &buffer)
        buffer.writeStaticString("}\n")
        SSEText.writeRetry(after: settings.reconnectDelay, into: &buffer)
        SSEText.endEvent(into: &buffer)
      })
  }

  // MARK: Messages

  private func receive(_ event: ConsumerEvent) {
    guard case .attached(let attachment) = seat else { return }
    switch event {
    case .delivery(let delivery):
      send(
        BodyChunk(bytesHint: MessageText.bytesHint(delivery)) { text.write(delivery, into: &$0) })
      if exchange.unsentBytes > hub.settings.unsentBytesMax, !isHeldBack {
        isHeldBack = true
        attachment.credit(0)
      }
    case .ended(let reason): end(reason)
    }
  }

  /// The client has taken what waited for it.
  private func goOn() {
    guard isHeldBack, case .attached(let attachment) = seat,
      exchange.unsentBytes <= hub.settings.unsentBytesMax
    else { return }
    isHeldBack = false
    attachment.credit(nil)
  }

  private func send(_ chunk: BodyChunk) {
    lastWriteTick = hub.heartbeat.tick
    exchange.write(chunk)
  }

  func ticked() {
    guard case .attached = seat else { return }
    // The transport says when it has drained; this is for what it never held.
    goOn()
    guard !isHeldBack, hub.heartbeat.isDue(since: lastWriteTick) else { return }
    send(LiveText.heartbeat(.events(EventShape())))
  }

  // MARK: Ending

  /// The subscription has no more for it, or the server stops.
  func end(_ reason: ConsumerEnd) {
    if case .attaching = seat {
      leave()
      return MessageHandlers.fail(request, .stopping)
    }
    guard case .attached = seat else { return }
    switch reason {
    case .deleted: finish("deleted")
    case .streamReplaced: finish("stream_deleted")
    case .wrongDelivery: finish("delivery_changed")
    case .stopping:
      fail(Problem(.stopping, "The server is stopping; come back after the time in retry."))
    case .failed(let reason): fail(Problem(.storageFailed, reason))
    }
  }

  /// For good: whoever comes back gets the status that says so, and a browser gives up on that.
  private func finish(_ reason: StaticString) {
    leave()
    exchange.write(
      BodyChunk { buffer in
        buffer.writeStaticString("event: end\ndata: {\"reason\":\"")
        buffer.writeStaticString(reason)
        buffer.writeStaticString("\"}\n\n")
      })
    exchange.finish()
  }

  private func fail(_ problem: Problem) {
    leave()
    exchange.finish(problem, retry: hub.settings.troubleDelay)
  }

  /// Lets go of everything; what it has not settled goes back at once.
  private func leave() {
    switch seat {
    case .gone: return
    case .attaching: break
    case .attached(let attachment): attachment.close()
    }
    seat = .gone
    hub.remove(self)
    exchange.onDrain = nil
    exchange.onClose = nil
    exchange.onInputEnd = nil
  }
}
