// What a read asks for: forms by Accept, places by query, and refusals that name the parameter.
import Testing
import Wire

@testable import Engine
@testable import Gateway

@Suite struct ReadAcceptTests {
  private func form(_ accept: String?, live: String? = nil) throws -> ReadForm {
    try ReadForm(accept: accept.map { [$0] } ?? [], live: live)
  }

  @Test(
    arguments: [
      (nil, ReadForm.page), ("", .page), ("*/*", .page), ("application/json", .page),
      ("application/*", .page), ("text/html,application/xhtml+xml,*/*;q=0.8", .page),
      ("application/x-ndjson", .lines), ("APPLICATION/X-NDJSON ; q=1", .lines),
      ("text/event-stream", .events), ("text/*", .events), ("*/*, text/event-stream", .events),
      ("application/json;q=0.5, text/event-stream;q=0.9", .events),
      ("application/json, application/x-ndjson", .page),
      ("application/octet-stream", .raw(.newline)),
      ("application/octet-stream;framing=length", .raw(.length)),
      ("application/octet-stream; framing=\"newline\"", .raw(.newline)),
      ("application/json;q=0, */*", .lines),
      ("application/octet-stream;framing=odd, application/json;q=0.1", .page),
    ] as [(String?, ReadForm)])
  func `Accept chooses the form`(accept: String?, expected: ReadForm) throws {
    #expect(try form(accept) == expected)
  }

  @Test(arguments: [
    "image/png", "application/octet-stream;framing=odd", "application/json;q=0",
    "text/event-stream;q=0, text/*",
  ])
  func `nothing acceptable is 406`(accept: String) {
    let problem = #expect(throws: Problem.self) { try form(accept) }
    #expect(problem?.code == .notAcceptable)
  }

  @Test func `live says more than Accept`() throws {
    #expect(try form("application/json", live: "sse") == .events)
    #expect(try form(nil, live: "ndjson") == .lines)
    #expect(throws: Problem.self) { try form(nil, live: "yes") }
  }

  @Test func `several Accept headers are one list`() throws {
    let form = try ReadForm(accept: ["image/png", "application/x-ndjson"], live: nil)
    #expect(form == .lines)
  }
}

@Suite struct ReadQueryTests {
  private func query(
    _ text: String, accept: String? = nil, lastEventID: String? = nil
  ) throws -> ReadQuery {
    var headers = Headers()
    if let accept { headers.fields.append(("accept", accept)) }
    if let lastEventID { headers.fields.append(("last-event-id", lastEventID)) }
    return try ReadQuery(
      Query(text, known: ReadQuery.parameters), headers, waitMax: .seconds(60))
  }

  private func code(_ text: String, accept: String? = nil) -> ProblemCode? {
    do {
      _ = try query(text, accept: accept)
      return nil
    } catch { return (error as? Problem)?.code }
  }

  @Test func `from takes names, times, offsets and the last so many`() throws {
    #expect(try query("").start == .earliest)
    #expect(try query("from=tail").start == .tail)
    #expect(try query("from=1044").start == .offset(Offset(1044)))
    #expect(try query("from=-100").start == .last(100))
    #expect(
      try query("from=@2026-01-01T00:00:00Z").start == .time(TurnClock.start))
    #expect(
      try query("from=@2026-01-01T02:00:00%2B02:00").start == .time(TurnClock.start))
  }

  @Test(arguments: [
    "from=", "from=-0", "from=-", "from=01", "from=+1", "from=later", "from=@yesterday",
    "from=18446744073709551616", "limit=0", "limit=10001", "limit=x", "max_bytes=0",
    "max_bytes=16777217", "wait=61s", "wait=5", "until=", "until=-3", "incarnation=x", "live=no",
    "event=record", "batch=true", "live=sse&event=other", "live=sse&wait=1s",
    "live=ndjson&max_bytes=5", "live=sse&batch=2", "limit=1&limit=1",
  ])
  func `a value that is not allowed is refused`(text: String) {
    #expect(code(text) == .badParameter)
  }

  @Test func `a parameter that does not exist is refused`() {
    #expect(code("form=tail") == .unknownField)
  }

  @Test func `a damaged cursor is refused whatever is changed in it`() throws {
    let cursor = Cursor(incarnation: 7, place: .allShards([Offset(1), Offset(70_000)])).encoded()
    #expect(try query("cursor=\(cursor)").start == .cursor(Cursor(decoding: cursor)))
    for index in cursor.indices {
      for letter in ["A", "B", "z", "-"] where letter != String(cursor[index]) {
        var damaged = cursor
        damaged.replaceSubrange(index...index, with: letter)
        #expect(code("cursor=\(damaged)") == .badCursor)
      }
    }
    #expect(code("cursor=") == .badCursor)
    #expect(code("cursor=\(cursor)A") == .badCursor)
  }

  @Test func `Last-Event-ID goes before cursor, cursor before from`() throws {
    let first = Cursor(incarnation: 7, place: .shard(0, Offset(1)))
    let second = Cursor(incarnation: 7, place: .shard(0, Offset(2)))
    let text = "from=tail&cursor=\(first.encoded())"
    #expect(try query(text).start == .cursor(first))
    #expect(
      try query(text + "&live=sse", lastEventID: second.encoded()).start == .cursor(second))
    #expect(try query(text + "&live=sse", lastEventID: "").start == .cursor(first))
    // Only an event stream resumes by it.
    #expect(try query(text, lastEventID: second.encoded()).start == .cursor(first))
  }

  @Test func `only an event stream knows that its reader was sent away`() throws {
    let ended = Cursor(incarnation: 7, place: .shard(0, Offset(1)), isEnded: true).encoded()
    #expect(try query("cursor=\(ended)", accept: "text/event-stream").hasEnded)
    #expect(try query("", accept: "text/event-stream", lastEventID: ended).hasEnded)
    #expect(try !query("cursor=\(ended)").hasEnded)
  }

  @Test func `NDJSON and raw answers are pages only when a part is asked for`() throws {
    let ndjson = "application/x-ndjson"
    #expect(try query("").isPage)
    #expect(try !query("from=5&until=9&key=a", accept: ndjson).isPage)
    #expect(try query("limit=5", accept: ndjson).isPage)
    #expect(try query("max_bytes=5", accept: ndjson).isPage)
    #expect(try query("wait=5s", accept: "application/octet-stream").isPage)
    #expect(try !query("live=ndjson&limit=5").isPage)
  }
}

@Suite struct ReadTargetTests {
  private let log = ScriptedLog(TurnExecutor())

  private func target(_ text: String, shards: Int, shardIndex: Int? = nil, accept: String? = nil)
    throws -> ReadTarget
  {
    let query = try ReadQuery(
      Query(text, known: ReadQuery.parameters), Headers(accept.map { [("accept", $0)] } ?? []),
      waitMax: .seconds(60))
    return try ReadTarget(log.makeStream(shards: shards), shardIndex, query)
  }

  private func code(_ text: String, shards: Int, shardIndex: Int? = nil, accept: String? = nil)
    -> ProblemCode?
  {
    do {
      _ = try target(text, shards: shards, shardIndex: shardIndex, accept: accept)
      return nil
    } catch { return (error as? Problem)?.code }
  }

  @Test func `more shards than a cursor holds are refused at once, one of them is not`() {
    #expect(code("", shards: 65) == .tooManyShards)
    #expect(code("", shards: 64) == nil)
    #expect(code("", shards: 65, shardIndex: 64) == nil)
  }

  @Test func `offsets need one shard`() {
    for text in ["from=5", "from=-5", "until=5"] {
      #expect(code(text, shards: 2) == .badParameter)
      #expect(code(text, shards: 2, shardIndex: 1) == nil)
      #expect(code(text, shards: 1) == nil)
    }
  }

  @Test func `values alone come from one shard`() {
    let accept = "application/octet-stream"
    #expect(code("", shards: 2, accept: accept) == .notAcceptable)
    #expect(code("", shards: 2, shardIndex: 0, accept: accept) == nil)
  }

  @Test func `another incarnation is another stream`() {
    #expect(code("incarnation=7", shards: 1) == nil)
    #expect(code("incarnation=8", shards: 1) == .streamReplaced)
  }

  @Test func `a cursor belongs to its stream and its shards`() throws {
    let target = try target("", shards: 2)
    let shard = try self.target("", shards: 2, shardIndex: 1)
    func code(_ target: ReadTarget, _ cursor: Cursor) -> ProblemCode? {
      do {
        _ = try target.places(of: cursor)
        return nil
      } catch { return error.code }
    }
    let all = Cursor(incarnation: 7, place: .allShards([Offset(1), Offset(2)]))
    let one = Cursor(incarnation: 7, place: .shard(1, Offset(2)))
    #expect(code(target, all) == nil)
    #expect(code(shard, one) == nil)
    #expect(code(target, one) == .badCursor)
    #expect(code(shard, all) == .badCursor)
    #expect(code(shard, Cursor(incarnation: 7, place: .shard(0, Offset(2)))) == .badCursor)
    #expect(code(target, Cursor(incarnation: 7, place: .allShards([Offset(1)]))) == .badCursor)
    #expect(
      code(target, Cursor(incarnation: 6, place: .allShards([Offset(1), Offset(2)])))
        == .streamReplaced)
  }
}
