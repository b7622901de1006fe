// Fetching what can only wait: judged by what consumers take, slowed down, never stopped.
import Testing

@testable import Engine

struct AppetiteTests {
  private func asked(_ appetite: inout Appetite, at time: Duration) -> Bool {
    appetite.allows(time)
  }

  @Test func `as long as an eighth of what comes is taken at once, fetching goes on`() {
    var appetite = Appetite()
    for _ in 0..<100 {
      appetite.learn(offered: 256, taken: 32)
      #expect(asked(&appetite, at: .zero))
    }
    #expect(appetite.resumesAt == nil)
  }

  @Test func `when nearly all waits it pauses, goes on for once, and pauses again`() {
    var appetite = Appetite()
    appetite.learn(offered: 256, taken: 31)
    #expect(!asked(&appetite, at: .seconds(1)))
    #expect(!asked(&appetite, at: .seconds(1) + .milliseconds(49)))
    #expect(appetite.resumesAt == .seconds(1) + .milliseconds(50))
    appetite.tick(.seconds(1) + .milliseconds(49))
    #expect(!asked(&appetite, at: .seconds(1) + .milliseconds(49)))
    appetite.tick(.seconds(1) + .milliseconds(50))
    #expect(appetite.resumesAt == nil)
    #expect(asked(&appetite, at: .seconds(1) + .milliseconds(50)))
    #expect(!asked(&appetite, at: .seconds(1) + .milliseconds(51)))
  }

  @Test func `what is taken again counts again`() {
    var appetite = Appetite()
    appetite.learn(offered: 256, taken: 0)
    #expect(!asked(&appetite, at: .zero))
    appetite.learn(offered: 256, taken: 200)
    #expect(asked(&appetite, at: .zero))
  }

  @Test func `a key that is stuck does not stop the others, however much of it there is`() throws {
    var settings = EngineSettings()
    settings.subscriptions.shelfBytes = 64 << 10
    let bench = try EngineBench(settings: settings)
    try bench.stream("s")
    try bench.subscription("sub", "s")
    let filler = String(repeating: "x", count: 1000)
    try bench.append(["first"], key: "stuck", to: "s")
    for _ in 0..<20 { try bench.append((0..<100).map { "\($0)\(filler)" }, key: "stuck", to: "s") }
    try bench.append(["other"], key: "free", to: "s")
    #expect(try bench.pull("sub", max: 1).map(\.value) == ["first"])
    let waiting = try bench.beginPull("sub", wait: .seconds(20))
    bench.turns.advance(by: .seconds(10))
    #expect(try waiting.value?.get().messages.map(\.value) == ["other"])
  }
}
