// Pulls over a real engine: what a client did not get is as if it had not been delivered.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

private let jsonType = [("content-type", "application/json")]

extension TestGateway {
  fileprivate func pull(isLost: Bool = false) async throws -> TestAnswer {
    try await send(
      "POST", "/v1/subscriptions/work:pull", jsonType,
      body: ByteBuffer(string: "{\"wait\":\"5s\"}"),
      isLost: isLost)
  }
}

private func messages(_ answer: TestAnswer) -> [String] {
  (answer.json["messages"]?.asArray ?? []).map {
    "\($0["record"]?["value"]?.asInteger ?? -1) for the \($0["delivery"]?.asInteger ?? -1). time"
  }
}

struct PullTests {
  @Test func `an answer that its client does not get goes to the next as if it had not been`()
    async throws
  {
    try await TestGateway.with { gateway in
      try await gateway.makeStream("orders", shards: 2)
      let made = try await gateway.json(
        "PUT", "/v1/subscriptions/work", "{\"stream\":\"orders\",\"ordering\":\"shard\"}")
      #expect(made.status == 201, "\(made.text)")
      // One batch, for a pull is answered with what is at hand: of several the first alone may be.
      let appended = try await gateway.append(
        "/v1/streams/orders/shards/1/records", "application/x-ndjson", "0\n1\n2\n")
      #expect(appended.status == 200, "\(appended.text)")
      let all = (0..<3).map { "\($0) for the 1. time" }
      for isLost in [true, true, true, false] {
        let answer = try await gateway.pull(isLost: isLost)
        #expect(messages(answer) == all, "\(answer.text)")
      }
    }
  }
}
