// What people do with a webhook by hand: look at its attempts, send one again, send a test.
import Engine
import NIOCore
import Wire

enum WebhookHandlers {
  /// `GET /v1/subscriptions/{subscription}/attempts?status=failed`: newest first.
  static func attempts(_ request: Request) throws(Problem) {
    let query = try request.query(["status", "page_size", "page_token"])
    let page = try Page(query)
    let subscription = try webhook(request)
    var status: WebhookAttempt.Status?
    if let text = query["status"] {
      status = WebhookAttempt.Status(rawValue: text)
      guard status != nil else {
        throw Query.refusal("status", "It is succeeded or failed.")
      }
    }
    let epoch = request.engine.epoch.rawValue
    var before: UInt64?
    if let after = page.after {
      before = AttemptText.serial(after, epoch: epoch)
      // Of an earlier life of the server: those attempts are forgotten, and so is all that came before them.
      if before == nil { before = 0 }
    }
    let confined = request.confined
    request.loop.gateway.withRunner(of: subscription) { [status, before] runner in
      let found = runner?.log.page(status: status, before: before, limit: page.size + 1) ?? []
      confined.executor.run { answer(confined.value, page, found, epoch: epoch) }
    }
  }

  private static func answer(
    _ request: Request, _ page: Page, _ found: [WebhookAttempt], epoch: UInt64
  ) {
    let shown = found.prefix(page.size)
    let next = found.count > page.size ? shown.last : nil
    request.respondJSON(headers: noStore, bytesHint: 512 * shown.count + 64) { buffer in
      page.write(
        shown, next: next.map { AttemptText.id($0.serial, epoch: epoch) }, into: &buffer
      ) { AttemptText.write($0, epoch: epoch, into: &$1) }
    }
  }

  /// `POST /v1/subscriptions/{subscription}:test`: an event that says so, now; the answer is what came of it.
  static func test(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try webhook(request)
    try request.refuseFields()
    // The runner hears of it only when it next asks for records.
    guard request.engine.source(of: subscription) != nil else { throw gone(subscription) }
    let confined = request.confined
    request.loop.gateway.withRunner(of: subscription) { runner in
      guard let runner, let message = runner.testMessage() else {
        return fail(confined, gone(subscription))
      }
      runner.postAside(.test, message) { answer($0, confined) }
    }
  }

  /// `POST /v1/subscriptions/{subscription}/attempts/{attempt}:resend`: the same message, now.
  static func resend(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let subscription = try webhook(request)
    try request.refuseFields()
    guard let stream = request.engine.source(of: subscription) else { throw gone(subscription) }
    let id = request.secondText
    let serial = AttemptText.serial(id, epoch: request.engine.epoch.rawValue)
    let missing = Problem(
      .attemptNotFound,
      "There is no attempt \(id); only the last ones since the server's start are remembered.",
      facts: [("attempt", .text(id))])
    guard let serial else { throw missing }
    let confined = request.confined
    let engine = request.engine
    request.loop.gateway.withRunner(of: subscription) { runner in
      guard let runner, let attempt = runner.log[serial] else { return fail(confined, missing) }
      let held = Confined(runner, to: subscription.journal.executor)
      if attempt.cause == .test {
        guard let message = runner.testMessage() else { return fail(confined, gone(subscription)) }
        return runner.postAside(.resend, message) { answer($0, confined) }
      }
      RecordsRead(attempt.records, engine, stream, on: held.executor) {
        switch $0 {
        case .success(let pieces):
          guard let envelope = held.value.envelope else {
            return fail(confined, gone(subscription))
          }
          held.value.postAside(.resend, envelope.message(pieces)) { answer($0, confined) }
        case .failure(let problem): fail(confined, problem)
        }
      }.next()
    }
  }

  /// Calls `then` on the request's event loop with what writes the subscription's `webhook` member: nothing, if it is
  /// no webhook that has begun.
  static func withStatus(
    of subscription: Subscription, _ request: Request,
    then: @escaping @Sendable (Request, (inout ByteBuffer) -> Void) -> Void
  ) {
    guard subscription.spec.webhook != nil else { return then(request) { _ in } }
    let confined = request.confined
    request.loop.gateway.withRunner(of: subscription) { runner in
      let status = runner?.status
      confined.executor.run {
        then(confined.value) { buffer in
          guard let status else { return }
          buffer.writeStaticString(",\"webhook\":")
          WebhookStatusText.write(status, into: &buffer)
        }
      }
    }
  }

  private static func answer(_ attempt: WebhookAttempt, _ confined: Confined<Request>) {
    confined.executor.run {
      let request = confined.value
      let epoch = request.engine.epoch.rawValue
      request.respondJSON(headers: noStore, bytesHint: 1024) {
        AttemptText.write(attempt, epoch: epoch, into: &$0)
      }
    }
  }

  private static func fail(_ confined: Confined<Request>, _ problem: Problem) {
    confined.executor.run { confined.value.fail(problem) }
  }

  private static let noStore = [(name: "cache-control", value: "no-store")]

  private static func gone(_ subscription: Subscription) -> Problem {
    Problem(
      .streamReplaced,
      "The stream that \(subscription.name) reads, \(subscription.spec.stream), was deleted.")
  }

  private static func webhook(_ request: Request) throws(Problem) -> Subscription {
    let subscription = try request.subscription()
    guard subscription.spec.webhook != nil else {
      throw Problem(
        .wrongDelivery, "\(subscription.name) is no webhook.",
        facts: [("subscription", .text(subscription.name))])
    }
    return subscription
  }
}

/// Reads the records of an attempt again. On the executor that it was made for.
private final class RecordsRead {
  private let engine: Engine
  private let stream: Stream
  private let executor: any Executor
  private let reply: (Result<[Delivery.Piece], Problem>) -> Void
  /// What is still to be read.
  private var rest: [AttemptRecords]
  private var pieces: [Delivery.Piece] = []

  init(
    _ records: [AttemptRecords], _ engine: Engine, _ stream: Stream,
    on executor: any Executor, reply: @escaping (Result<[Delivery.Piece], Problem>) -> Void
  ) {
    rest = records
    self.engine = engine
    self.stream = stream
    self.executor = executor
    self.reply = reply
  }

  func next() {
    guard let run = rest.first else { return reply(.success(pieces)) }
    let confined = Confined(self, to: executor)
    engine.read(
      stream.shards[run.shard], from: run.offsets[0], bytesMax: Self.bytesMax, on: executor
    ) { confined.value.receive($0, run) }
  }

  private func receive(_ outcome: ReadOutcome, _ run: AttemptRecords) {
    switch outcome {
    case .frames(let chunk):
      let here = run.offsets.prefix { $0 < chunk.end }
      pieces.append(
        Delivery.Piece(
          track: UInt32(run.shard), shardIndex: run.shard, chunk: chunk,
          picks: here.map { Delivery.Pick(offset: $0, delivery: 1) }))
      let left = Array(run.offsets[here.count...])
      rest[0].offsets = left
      if left.isEmpty { rest.removeFirst() }
      next()
    case .trimmed(let earliest):
      reply(
        .failure(
          Problem(
            .trimmed, "The records of this attempt are gone.",
            facts: [("earliest", .text(earliest.description))])))
    case .failed(let error): reply(.failure(Problem(error)))
    case .atTail, .beyondTail:
      preconditionFailure("what was delivered stands in the log")
    }
  }

  private static let bytesMax = 1 << 20
}
