// The desk that decides which requests go out: against a plain reckoning, by random schedules.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

private func calls(_ count: Int, origins: Int, on executor: any Executor) throws -> [OutboundCall] {
  let targets = try (0..<origins).map { try OutboundTarget(url: "http://host\($0).example/") }
  return (0..<count).map { number in
    OutboundCall(
      OutboundRequest(
        to: targets[number % origins], headers: OutboundHeaders(), body: ByteBuffer(),
        timeout: .seconds(1)), executor, { _ in })
  }
}

@Suite struct OutboundDeskTests {
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `every request starts once or is withdrawn, within the limits, and none is forgotten`(
    seed: UInt64
  ) throws {
    var random = Random(seed: seed)
    let executor = ThreadExecutor(name: "desk")
    defer { executor.stop() }
    let callsMax = 1 + random.below(8)
    let perOriginMax = 1 + random.below(4)
    let waitingMax = random.below(40)
    var desk = OutboundDesk(
      callsMax: callsMax, callsPerOriginMax: perOriginMax, waitingMax: waitingMax)
    var arriving = try calls(3000, origins: 1 + random.below(5), on: executor)
    var running: [OutboundCall] = []
    var waiting: [OutboundCall] = []
    while !arriving.isEmpty || !running.isEmpty || !waiting.isEmpty {
      switch random.below(5) {
      case 0, 1:
        guard let call = arriving.popLast() else { continue }
        switch desk.arrive(call) {
        case .start: running.append(call)
        case .wait: waiting.append(call)
        case .busy: #expect(waiting.count == waitingMax)
        }
      case 2 where !waiting.isEmpty && random.oneIn(4):
        let call = waiting.remove(at: random.below(waiting.count))
        let (first, second) = (desk.withdraw(call), desk.withdraw(call))
        #expect(first && !second)
      default:
        guard !running.isEmpty else { continue }
        desk.ended(running.remove(at: random.below(running.count)))
        while let call = desk.next() {
          let place = try #require(waiting.firstIndex { $0 === call })
          // First come, first served within an origin.
          let origin = call.request.target.origin
          #expect(!waiting[..<place].contains { $0.request.target.origin == origin })
          waiting.remove(at: place)
          running.append(call)
        }
        // Nothing waits that could run.
        for call in waiting where running.count < callsMax {
          let origin = call.request.target.origin
          #expect(running.count { $0.request.target.origin == origin } == perOriginMax)
        }
      }
      #expect(running.count <= callsMax)
      for call in running {
        let origin = call.request.target.origin
        #expect(running.count { $0.request.target.origin == origin } <= perOriginMax)
      }
      #expect(desk.inFlight == running.count && desk.waiting == waiting.count)
    }
  }

  @Test func `origins take turns, however many requests one of them has`() throws {
    let executor = ThreadExecutor(name: "desk")
    defer { executor.stop() }
    var desk = OutboundDesk(callsMax: 1, callsPerOriginMax: 1, waitingMax: 1000)
    let all = try calls(300, origins: 3, on: executor)
    let first = desk.arrive(all[0])
    #expect(first == .start)
    // A hundred for the first, then a few for each of the others.
    for call in all[1...] where call.request.target.origin == all[0].request.target.origin {
      let arrival = desk.arrive(call)
      #expect(arrival == .wait)
    }
    for call in [all[1], all[2]] {
      let arrival = desk.arrive(call)
      #expect(arrival == .wait)
    }
    var running = all[0]
    var order: [String] = []
    for _ in 0..<4 {
      desk.ended(running)
      let next = desk.next()
      running = try #require(next)
      order.append(running.request.target.host)
    }
    #expect(Set(order.prefix(3)) == ["host0.example", "host1.example", "host2.example"])
  }

  @Test func `all that waits is given up at once, and what runs still ends`() throws {
    let executor = ThreadExecutor(name: "desk")
    defer { executor.stop() }
    var desk = OutboundDesk(callsMax: 2, callsPerOriginMax: 1, waitingMax: 100)
    let all = try calls(20, origins: 4, on: executor)
    let started = all.filter { desk.arrive($0) == .start }
    #expect(started.count == 2)
    let waiting = desk.withdrawAll()
    #expect(waiting.count == 18)
    for call in started { desk.ended(call) }
    let next = desk.next()
    #expect(next == nil)
    #expect(desk.inFlight == 0 && desk.waiting == 0)
  }
}
