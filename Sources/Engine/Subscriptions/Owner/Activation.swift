// How an owner comes to know what its journal says: claims it for this node's epoch, then reads it to its end.
import Wire

/// One attempt, on the journal's executor.
final class Activation {
  struct Outcome {
    var state: DispatchState
    /// The journal says otherwise: it knows of records that the stream has lost.
    var isCut: Bool
    var snapshotBytes: Int
    var bytesSinceSnapshot: Int
  }
  typealias Reply = (Result<Outcome, SubscriptionError>) -> Void

  private static let pageBytes = 1 << 20

  private let engine: Engine
  private let subscription: Subscription
  private let source: Stream
  private let reply: Reply
  private var replay: JournalReplay

  init(
    _ engine: Engine, _ subscription: Subscription, _ source: Stream, reply: @escaping Reply
  ) {
    self.engine = engine
    self.subscription = subscription
    self.source = source
    self.reply = reply
    replay = Self.beginning(subscription, source)
  }

  private static func beginning(_ subscription: Subscription, _ source: Stream) -> JournalReplay {
    let start = subscription.journal.earliest
    // A journal that was never trimmed says everything that ever happened.
    let first = start == .zero ? DispatchState(places: subscription.spec.startPlaces) : nil
    return JournalReplay(from: start, first: first)
  }

  private var confined: Confined<Activation> {
    Confined(self, to: subscription.journal.executor)
  }

  func start() {
    let (activation, journal) = (confined, subscription.journal)
    // Trims nothing, but opens the log for this epoch: from here on nobody else writes what is about to be read.
    engine.trim(journal, before: .zero, on: journal.executor) { result in
      let activation = activation.value
      switch result {
      case .success: activation.readOn()
      case .failure(let error):
        activation.reply(.failure(SubscriptionError(error, of: activation.subscription)))
      }
    }
  }

  private func readOn() {
    let (activation, journal) = (confined, subscription.journal)
    guard replay.place < journal.tail else { return finish() }
    engine.read(
      journal, from: replay.place, bytesMax: Self.pageBytes, on: journal.executor
    ) { outcome in
      activation.value.took(outcome)
    }
  }

  private func took(_ outcome: ReadOutcome) {
    switch outcome {
    case .frames(let chunk):
      do throws(JournalDamage) {
        try replay.read(chunk)
      } catch {
        return fail(error)
      }
      readOn()
    case .atTail: finish()
    case .trimmed:
      // A snapshot of before was finished meanwhile: what comes now begins with it.
      replay = Self.beginning(subscription, source)
      readOn()
    case .beyondTail(let tail):
      fail(JournalDamage(offset: replay.place, reason: "it ends before, at \(tail)"))
    case .failed(.gone): reply(.failure(.notFound))
    case .failed(let error):
      let applied = Applied.no
      reply(.failure(SubscriptionError(AppendError(error, applied: applied), of: subscription)))
    }
  }

  private func finish() {
    do throws(JournalDamage) {
      let state = try replay.state()
      if let fault = state.fault(shardCount: source.shards.count) {
        throw JournalDamage(offset: replay.place, reason: fault)
      }
      let cut = state.cut(to: source.shards.map(\.tail))
      reply(
        .success(
          Outcome(
            state: cut ?? state, isCut: cut != nil, snapshotBytes: replay.snapshotBytes,
            bytesSinceSnapshot: replay.bytesSinceSnapshot)))
    } catch {
      fail(error)
    }
  }

  private func fail(_ damage: JournalDamage) {
    reply(
      .failure(
        .storage(
          "the journal of subscription \(subscription.name) (shard \(subscription.journal.id)) is "
            + "damaged at offset \(damage.offset): \(damage.reason)", applied: .no)))
  }
}
