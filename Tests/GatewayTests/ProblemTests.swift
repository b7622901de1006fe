// The table of problems, its documents, and what the errors of other rooms become.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

struct ProblemTests {
  @Test func `codes are snake case, titles are sentences, statuses are errors`() {
    for code in ProblemCode.allCases {
      #expect(code.rawValue.allSatisfy { $0.isLowercase || $0 == "_" }, "\(code)")
      #expect(code.row.title.first?.isUppercase == true, "\(code)")
      #expect(!code.row.title.hasSuffix("."), "\(code)")
      #expect((400...599).contains(code.row.status), "\(code)")
    }
  }

  @Test func `a document has the members of the contract and its facts, whatever they hold`() throws
  {
    let problem = Problem(
      .tailMoved, "a \"quoted\"\nthing\u{1}",
      facts: [
        ("tail", .text("1046")), ("line", .number(3)), ("fields", .list(["a\"", "b"])),
        ("shards", .json("[{\"shard\":0}]")),
      ])
    let document = try JSONValue.parse(problem.document(requestID: "r-\"1\""))
    #expect(document["type"] == "urn:millrace:problem:tail_moved")
    #expect(document["title"] == "The shard's tail is elsewhere")
    #expect(document["status"] == 412)
    #expect(document["code"] == "tail_moved")
    #expect(document["detail"] == "a \"quoted\"\nthing\u{1}")
    #expect(document["retryable"] == false)
    #expect(document["applied"] == "no")
    #expect(document["request_id"] == "r-\"1\"")
    #expect(document["tail"] == "1046")
    #expect(document["line"] == 3)
    #expect(document["fields"] == ["a\"", "b"])
    #expect(document["shards"]?[0]?["shard"] == 0)
  }

  @Test func `what comes from full queues says when to come back`() {
    for code in [ProblemCode.overloaded, .idempotencyFull, .producersFull, .stopping, .diskFull] {
      #expect(Problem(code, "").responseHeaders["retry-after"] != nil, "\(code)")
      #expect(code.row.retryable, "\(code)")
    }
    #expect(Problem(.badName, "").responseHeaders["retry-after"] == nil)
  }

  @Test func `an append's errors keep their facts`() {
    func facts(_ error: AppendError) -> String {
      Problem(error).facts.map { "\($0.name)=\($0.value)" }.joined()
    }
    #expect(Problem(AppendError.tailMoved(tail: Offset(1046))).code == .tailMoved)
    #expect(facts(.tailMoved(tail: Offset(1046))) == "tail=text(\"1046\")")
    #expect(facts(.sequenceGap(expected: 7)) == "expected_seq=text(\"7\")")
    #expect(facts(.sequenceTooOld(oldest: 3)) == "oldest_seq=text(\"3\")")
    #expect(facts(.staleProducer(current: 9)) == "current_epoch=text(\"9\")")
  }

  @Test func `only a failed device leaves an append undecided`() {
    let undecided = Problem(AppendError.device("EIO", applied: .maybe))
    #expect(undecided.applied == .maybe)
    #expect(undecided.status == 500)
    for error: AppendError in [.fenced, .busy, .diskFull, .gone, .stopping, .idempotencyFull] {
      #expect(Problem(error).applied == .no, "\(error)")
    }
  }

  @Test func `what the transport refuses names the limit that was passed`() {
    let problem = Problem(TransportProblem.headersTooLarge(bytesMax: 32768))
    #expect(problem.status == 431)
    #expect(problem.facts.map(\.name) == ["limit", "max"])
    #expect(problem.facts.map(\.value) == [.text("header_bytes_max"), .text("32768")])
    #expect(Problem(TransportProblem.tooManyConnections(countMax: 2)).status == 503)
    #expect(Problem(TransportProblem.malformed(.bareLF)).status == 400)
  }
}
