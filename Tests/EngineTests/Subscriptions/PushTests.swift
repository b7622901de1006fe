// Consumers that are pushed to: credit, shares, coming and going, batches.
import Testing
import Wire

@testable import Engine

struct PushTests {
  @Test func `an attached consumer gets what comes, as far as its share goes`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    try bench.append(["1", "2", "3"], to: "s")
    let consumer = try bench.attach("sub", share: 2)
    let first = consumer.messages()
    #expect(first.map(\.value) == ["1", "2"])
    try bench.ack("sub", [first[0]])
    #expect(consumer.messages().map(\.value) == ["3"])
    try bench.append(["4"], to: "s")
    #expect(consumer.messages() == [])
    try bench.ack("sub", [first[1]])
    #expect(consumer.messages().map(\.value) == ["4"])
  }

  @Test func `closing a connection gives its messages back at once`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    try bench.append(["1", "2"], to: "s")
    let first = try bench.attach("sub")
    #expect(first.messages().map(\.value) == ["1", "2"])
    let second = try bench.attach("sub")
    #expect(second.messages() == [])
    let hold = try first.hold()
    bench.turns.on(bench.client) { hold.close() }
    let again = second.messages()
    #expect(again.map(\.value) == ["1", "2"])
    #expect(again.map(\.delivery) == [2, 2])
  }

  @Test func `without credit nothing is given, and credit counts deliveries`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    try bench.append(["1", "2", "3"], to: "s")
    let consumer = try bench.attach("sub") { options in
      options.recordsMax = 1
      options.credit = 0
    }
    #expect(consumer.messages() == [])
    let hold = try consumer.hold()
    bench.turns.on(bench.client) { hold.credit(2) }
    #expect(consumer.messages().map(\.value) == ["1", "2"])
    bench.turns.on(bench.client) { hold.credit(nil) }
    #expect(consumer.messages().map(\.value) == ["3"])
  }

  @Test func `a slow consumer holds back its own share only`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s") { $0.maxInFlight = .set(4) }
    let slow = try bench.attach("sub")
    let quick = try bench.attach("sub")
    try bench.append((0..<12).map(String.init), to: "s")
    var got: [EngineBench.Message] = []
    while case let some = quick.messages(), !some.isEmpty {
      got += some
      try bench.ack("sub", some)
    }
    let kept = slow.messages()
    #expect(kept.count <= 2)
    #expect(got.count + kept.count == 12)
  }

  @Test func `a webhook's batch is stored before it is given, and comes again as it was`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.webhook("hook", "s")
    try bench.append(["1", "2", "3"], to: "s")
    func attach(_ bench: EngineBench) throws -> PushedTo {
      try bench.attach("hook", .webhook) { options in
        options.units = ConsumerOptions.Units(recordsMax: 10, linger: .milliseconds(100))
        options.credit = 1
      }
    }
    let consumer = try attach(bench)
    #expect(consumer.messages() == [])
    try bench.append(["4"], to: "s")
    bench.turns.advance(by: .milliseconds(150))
    let unit = try #require(consumer.deliveries().first)
    #expect(unit.isUnit)
    #expect(unit.messages.map(\.value) == ["1", "2", "3", "4"])
    let hold = try consumer.hold()
    bench.turns.on(bench.client) {
      hold.settle(unit.lease, .retry(after: .seconds(5), countsAsFailure: true))
      hold.credit(1)
    }
    try bench.append(["5"], to: "s")
    let again = try bench.crashed()
    let after = try attach(again)
    again.turns.advance(by: .milliseconds(150))
    #expect(after.messages().map(\.value) == ["5"])
    let heldAgain = try after.hold()
    again.turns.on(again.client) { heldAgain.credit(1) }
    again.turns.advance(by: .seconds(6))
    let repeated = try #require(after.deliveries().first)
    #expect(repeated.messages.map(\.value) == ["1", "2", "3", "4"])
    #expect(repeated.messages.map(\.delivery) == [2, 2, 2, 2])
    let status = Box<Result<SettleStatus, SubscriptionError>>()
    again.turns.on(again.client) {
      heldAgain.settle(repeated.lease, .delivered) { status.set($0) }
    }
    #expect(try status.value?.get() == .ok)
    #expect(try again.crashed().status("hook").shards[0].floor == Offset(4))
  }

  @Test func `a stopping engine ends who is attached, and a webhook cannot be pulled from`() throws
  {
    let bench = try EngineBench()
    try bench.stream("s")
    try bench.subscription("sub", "s")
    try bench.webhook("hook", "s")
    let refused = try bench.beginPull("hook")
    #expect(throws: SubscriptionError.wrongDelivery) { try refused.value?.get() }
    let wrong = try bench.attach("sub", .webhook)
    #expect(throws: SubscriptionError.wrongDelivery) { try wrong.hold() }
    let consumer = try bench.attach("sub")
    let waiting = try bench.beginPull("sub")
    let stopped = Box<Bool>()
    bench.turns.on(bench.client) { bench.engine.stop(on: bench.client) { stopped.set(true) } }
    bench.turns.advance(by: .seconds(1))
    #expect(stopped.value == true)
    #expect(consumer.end == .stopping)
    #expect(throws: SubscriptionError.stopping) { try waiting.value?.get() }
    let late = try bench.beginPull("sub")
    #expect(throws: SubscriptionError.stopping) { try late.value?.get() }
  }
}

extension EngineBench {
  func webhook(_ name: String, _ stream: String) throws {
    try subscription(name, stream) { fields in
      fields.backoff = .absent
      fields.delivery = .set(
        {
          var delivery = DeliveryFields()
          delivery.kind = .set(.webhook)
          delivery.webhook.url = .set("https://example.com/hook")
          return delivery
        }())
    }
  }
}
