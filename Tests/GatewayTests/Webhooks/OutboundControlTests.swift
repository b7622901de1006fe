// Limits, cancelling and stopping of the outbound client.
import NIOCore
import Synchronization
import Testing

@testable import Gateway

@Suite struct OutboundControlTests {
  @Test func `a request is cancelled in flight and while it waits, and answered once`()
    async throws
  {
    let peer = try await Peer.start { _, _, _ in }
    try await withOutbound { settings in
      settings.requestsPerOriginMax = 1
    } _: { caller in
      let target = try OutboundTarget(url: "http://127.0.0.1:\(peer.port)/")
      let request = OutboundRequest(
        to: target, headers: OutboundHeaders(), body: ByteBuffer(), timeout: .seconds(120))
      let replies = AsyncStream<(Int, OutboundFailure.Reason?)>.makeStream()
      var tickets: [OutboundTicket] = []
      for number in 0..<3 {
        tickets.append(
          caller.client.send(request, on: caller.executor) { result in
            if case .failure(let failure) = result {
              replies.continuation.yield((number, failure.reason))
            } else {
              replies.continuation.yield((number, nil))
            }
          })
      }
      var found = replies.stream.makeAsyncIterator()
      for number in [1, 0, 2] {
        tickets[number].cancel()
        tickets[number].cancel()
        let reply = try #require(await found.next())
        #expect(reply.0 == number)
        #expect(reply.1 == .cancelled)
      }
    }
    try await peer.stop()
  }

  @Test func `stopping answers everything that is owed, at once`() async throws {
    let peer = try await Peer.start { _, _, _ in }
    try await withOutbound { settings in
      settings.requestsPerOriginMax = 4
    } _: { caller in
      async let hanging = withTaskGroup(of: OutboundFailure.Reason?.self) { group in
        for _ in 0..<20 {
          group.addTask {
            try? await caller.failure("http://127.0.0.1:\(peer.port)/").reason
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      while caller.client.figures.waiting < 16 { await Task.yield() }
      let clock = ContinuousClock()
      let took = clock.measure { caller.client.stop() }
      #expect(await hanging == Array(repeating: .stopped, count: 20))
      #expect(took < .seconds(2))
      let other = try await caller.failure("http://127.0.0.1:\(peer.port)/")
      #expect(other.reason == .stopped)
    }
    try await peer.stop()
  }

  @Test func `more than may wait are told at once`() async throws {
    let peer = try await Peer.start { channel, request, _ in
      if !request.contains("/hang") { channel.send(.ok) }
    }
    try await withOutbound { settings in
      settings.requestsPerOriginMax = 1
      settings.waitingMax = 2
    } _: { caller in
      let reasons = Mutex<[OutboundFailure.Reason]>([])
      let target = try OutboundTarget(url: "http://127.0.0.1:\(peer.port)/hang")
      let request = OutboundRequest(
        to: target, headers: OutboundHeaders(), body: ByteBuffer(), timeout: .seconds(120))
      for _ in 0..<3 {
        caller.client.send(request, on: caller.executor) { result in
          if case .failure(let failure) = result { reasons.withLock { $0.append(failure.reason) } }
        }
      }
      let failure = try await caller.failure("http://127.0.0.1:\(peer.port)/hang")
      #expect(failure.reason == .busy)
      #expect(!failure.isAboutEndpoint)
      #expect(reasons.withLock { $0.isEmpty })
    }
    try await peer.stop()
  }

  @Test func `an origin that hangs leaves others their turn`() async throws {
    let dead = try await Peer.start { _, _, _ in }
    let alive = try await Peer.start { channel, _, _ in channel.send(.ok) }
    try await withOutbound { settings in
      settings.requestsMax = 8
      settings.requestsPerOriginMax = 6
    } _: { caller in
      let target = try OutboundTarget(url: "http://127.0.0.1:\(dead.port)/")
      let request = OutboundRequest(
        to: target, headers: OutboundHeaders(), body: ByteBuffer(), timeout: .seconds(60))
      for _ in 0..<100 { caller.client.send(request, on: caller.executor) { _ in } }
      for _ in 0..<20 {
        let status = try await caller.post("http://127.0.0.1:\(alive.port)/").get().status
        #expect(status == 200)
      }
    }
    try await dead.stop()
    try await alive.stop()
  }
}
