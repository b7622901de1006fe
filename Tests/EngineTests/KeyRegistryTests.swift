// Which requests an idempotency key lets through, and how long it is remembered.
import Testing
import Wire

@testable import Engine

private let one = BodyDigest(high: 1, low: 1)
private let other = BodyDigest(high: 2, low: 2)

private func at(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: seconds * 1000) }

private func registry(keysMax: Int = 10) -> KeyRegistry {
  KeyRegistry(keysMax: keysMax, kept: .seconds(600))
}

struct KeyRegistryTests {
  @Test func `another request under a key is told apart, in progress and afterwards`() throws {
    var registry = registry()
    try registry.claim("k", one, now: at(0))
    #expect(throws: AppendError.idempotencyMismatch) {
      try registry.claim("k", other, now: at(1))
    }
    #expect(throws: AppendError.idempotencyInProgress) { try registry.claim("k", one, now: at(1)) }
    registry.settle("k", .appended, now: at(2))
    #expect(throws: AppendError.idempotencyMismatch) {
      try registry.claim("k", other, now: at(3))
    }
    try registry.claim("k", one, now: at(3))
    registry.settle("k", .known, now: at(3))
    try registry.claim("k", one, now: at(4))
  }

  @Test func `a request of which nothing was appended leaves its key free`() throws {
    var registry = registry()
    try registry.claim("k", one, now: at(0))
    registry.settle("k", .nothing, now: at(1))
    #expect(registry.count == 0)
    try registry.claim("k", other, now: at(2))
  }

  @Test func `a repeat that is refused does not free a key that was used`() throws {
    var registry = registry()
    try registry.claim("k", one, now: at(0))
    registry.settle("k", .appended, now: at(0))
    try registry.claim("k", one, now: at(1))
    registry.settle("k", .nothing, now: at(1))
    #expect(throws: AppendError.idempotencyMismatch) {
      try registry.claim("k", other, now: at(2))
    }
  }

  @Test func `a key is kept for ten minutes after its last append, and no longer`() throws {
    var registry = registry()
    try registry.claim("k", one, now: at(0))
    registry.settle("k", .appended, now: at(5))
    try registry.claim("k", one, now: at(604))
    registry.settle("k", .known, now: at(604))
    #expect(throws: AppendError.idempotencyMismatch) {
      try registry.claim("k", other, now: at(605))
    }
    try registry.claim("k", other, now: at(606))
  }

  @Test func `one that is in progress for longer than that is not forgotten`() throws {
    var registry = registry()
    try registry.claim("slow", one, now: at(0))
    try registry.claim("next", one, now: at(700))
    #expect(throws: AppendError.idempotencyInProgress) {
      try registry.claim("slow", one, now: at(701))
    }
    registry.settle("slow", .appended, now: at(702))
    try registry.claim("slow", one, now: at(703))
  }

  @Test func `requests that are refused for ten minutes leave nothing behind`() throws {
    var registry = registry()
    try registry.claim("kept", one, now: at(0))
    registry.settle("kept", .appended, now: at(0))
    for number in 0..<10_000 {
      try registry.claim("k\(number)", one, now: at(1))
      registry.settle("k\(number)", .nothing, now: at(1))
    }
    #expect(registry.count == 1 && registry.placeCount < 2000)
    #expect(throws: AppendError.idempotencyMismatch) {
      try registry.claim("kept", other, now: at(599))
    }
    try registry.claim("kept", other, now: at(601))
  }

  @Test func `a full registry takes no new key until an old one's time is over`() throws {
    var registry = registry(keysMax: 2)
    for key in ["a", "b"] {
      try registry.claim(key, one, now: at(0))
      registry.settle(key, .appended, now: at(0))
    }
    #expect(throws: AppendError.idempotencyFull) { try registry.claim("c", one, now: at(1)) }
    try registry.claim("a", one, now: at(1))
    registry.settle("a", .known, now: at(1))
    try registry.claim("c", one, now: at(601))
    #expect(registry.count == 1)
  }

  @Test func `what shards remember counts as if it had been claimed here`() throws {
    var registry = registry()
    registry.remember("k", one, timestamp: at(100))
    registry.remember("k", one, timestamp: at(90))
    registry.remember("old", one, timestamp: at(10))
    registry.filled()
    #expect(throws: AppendError.idempotencyMismatch) {
      try registry.claim("k", other, now: at(200))
    }
    try registry.claim("old", other, now: at(611))
    #expect(throws: AppendError.idempotencyMismatch) {
      try registry.claim("k", other, now: at(700))
    }
    try registry.claim("k", other, now: at(701))
  }
}
