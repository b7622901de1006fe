// What is remembered of attempts, and what of them is let go.
import NIOCore
import Testing
import Wire

@testable import Engine
@testable import Gateway

@Suite struct AttemptLogTests {
  private func attempt(
    _ status: WebhookAttempt.Status, answer: String? = nil
  ) -> WebhookAttempt {
    WebhookAttempt(
      cause: .delivery, webhookID: "msg_x",
      records: [AttemptRecords(shard: 0, offsets: [Offset(1044)])], delivery: 2,
      startedAt: Timestamp(milliseconds: 1_767_225_600_000), latency: .microseconds(1200),
      status: status, httpStatus: status == .failed ? 503 : 200,
      error: status == .failed ? "the endpoint answered 503" : nil,
      answer: answer.map { ByteBuffer(string: $0) })
  }

  @Test func `the newest come first, in pages`() {
    var log = AttemptLog()
    for place in 0..<10 { log.add(attempt(place % 3 == 0 ? .failed : .succeeded)) }
    let all = log.page(status: nil, before: nil, limit: 100).map(\.serial)
    #expect(all == Array((1...10).reversed()))
    let first = log.page(status: nil, before: nil, limit: 4).map(\.serial)
    let second = log.page(status: nil, before: first.last, limit: 4).map(\.serial)
    #expect(first == [10, 9, 8, 7])
    #expect(second == [6, 5, 4, 3])
    #expect(log.page(status: .failed, before: nil, limit: 100).map(\.serial) == [10, 7, 4, 1])
    #expect(log.page(status: .failed, before: 7, limit: 100).map(\.serial) == [4, 1])
    #expect(log.page(status: .succeeded, before: 4, limit: 100).map(\.serial) == [3, 2])
    #expect(log[7]?.status == .failed)
    #expect(log[11] == nil)
  }

  @Test func `successes do not wash away failures`() {
    var log = AttemptLog(countMax: 10, failedCountMax: 10)
    log.add(attempt(.failed))
    for _ in 0..<10_000 { log.add(attempt(.succeeded)) }
    #expect(log.page(status: .failed, before: nil, limit: 10).map(\.serial) == [1])
    #expect(
      log.page(status: nil, before: nil, limit: 100).map(\.serial)
        == Array((9992...10_001).reversed()) + [1])
    #expect(log[500] == nil)
  }

  @Test func `it is bounded in bytes, and an answer to its first 4 KiB`() {
    var log = AttemptLog(countMax: 1000, failedCountMax: 1000, bytesMax: 64 << 10)
    let long = String(repeating: "x", count: 60_000)
    for _ in 0..<1000 { log.add(attempt(.failed, answer: long)) }
    let kept = log.page(status: nil, before: nil, limit: 2000)
    #expect(kept.count == (64 << 10) / kept[0].byteCount)
    #expect(kept[0].answer?.readableBytes == 4096)
    #expect(kept[0].isCut)
    #expect(kept[0].answer!.capacity < 10_000, "a slice would keep what was received")
  }

  private func text(_ attempt: WebhookAttempt) -> String {
    var buffer = ByteBuffer()
    AttemptText.write(attempt, epoch: 7, into: &buffer)
    return String(buffer: buffer)
  }

  @Test func `an attempt reads so`() {
    var log = AttemptLog()
    var failed = attempt(.failed, answer: "out of \"order\"")
    failed.nextAttemptAt = Timestamp(milliseconds: 1_767_225_605_000)
    #expect(
      text(log.add(failed)) == """
        {"id":"7-1","cause":"delivery","status":"failed","webhook_id":"msg_x",\
        "records":[{"shard":0,"offsets":["1044"]}],"delivery":2,\
        "started_at":"2026-01-01T00:00:00.000Z","latency":"2ms","http_status":503,\
        "error":"the endpoint answered 503","answer":"out of \\"order\\"",\
        "next_attempt":"2026-01-01T00:00:05.000Z"}
        """)
    #expect(AttemptText.serial("7-1", epoch: 7) == 1)
    #expect(AttemptText.serial("6-1", epoch: 7) == nil)
  }

  @Test func `an answer cut within a character is still text, bytes are base64`() {
    var log = AttemptLog()
    let umlauts = String(repeating: "ä", count: 3000)
    #expect(
      text(log.add(attempt(.failed, answer: "x" + umlauts))).contains("ä\",\"answer_cut\":true"))
    var bytes = attempt(.failed)
    bytes.answer = ByteBuffer(bytes: [0xff, 0xfe, 0x00, 0x01, 0x02])
    #expect(text(log.add(bytes)).contains("\"answer_base64\":\"//4AAQI=\""))
  }
}
