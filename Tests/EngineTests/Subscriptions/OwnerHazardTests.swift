// What only goes wrong now and then: reads that are late, journals that fail in between, logs that were cut by hand.
import NIOCore
import Testing
import Wire

@testable import Engine

struct OwnerHazardTests {
  @Test func `numbers that a client made up are places in a list, and no reason to trap`() throws {
    let bench = try EngineBench()
    try bench.stream("s")
    let subscription = try bench.subscription("sub", "s") { $0.maxDeliveries = .set(1) }
    try bench.append(["1", "2"], to: "s")
    let got = try bench.pull("sub")
    try bench.settle("sub", Settlement(nak: [.init(got[0].ackID)]))
    let numbers = ["\(Int.max)", "\(Int.min)", "-1", "0", "\(UInt64.max)", "x"]
    for after in numbers + numbers.map({ "0:" + $0 }) {
      let letters: Result<ListPage<DeadLetter, String>, SubscriptionError> = try bench.call {
        bench.engine.deadLetters(
          of: subscription, after: after, limit: 10, on: bench.client, reply: $0)
      }
      #expect(try letters.get().items.count <= 1)
      let flying: Result<ListPage<MessageInFlight, String>, SubscriptionError> = try bench.call {
        bench.engine.inFlight(
          of: subscription, after: after, limit: 10, on: bench.client, reply: $0)
      }
      #expect(try flying.get().items.count <= 1)
      let consumers: Result<ListPage<ConsumerInfo, String>, SubscriptionError> = try bench.call {
        bench.engine.consumers(
          of: subscription, after: after, limit: 10, on: bench.client, reply: $0)
      }
      #expect(try consumers.get().items.count <= 1)
    }
  }
}
