// Where the idempotency keys of one home shard are claimed: a registry, filled from all shards at its first use.
//
// Lives on the home shard's executor.
import Wire

final class KeyDesk {
  private enum State {
    case closed
    /// Claims that wait until every shard has said what it remembers.
    case filling([Claim])
    case open(KeyRegistry)
  }
  private struct Claim {
    var key: String
    var digest: BodyDigest
    var reply: (AppendError?) -> Void
  }

  /// What one shard remembers of the keys of this home.
  typealias Remembered = Result<[IdempotencyTable.Entry], AppendError>

  /// Claims that may wait for the registry.
  private static let fillingQueueMax = 10_000

  private let services: OwnerServices
  private var state = State.closed
  private var registry: KeyRegistry
  /// Shards asked that have not answered.
  private var missing = 0
  /// Some may answer before all are asked.
  private var isAsking = false
  private var failure: AppendError?

  init(_ services: OwnerServices) {
    self.services = services
    registry = Self.makeRegistry(services)
  }

  private static func makeRegistry(_ services: OwnerServices) -> KeyRegistry {
    KeyRegistry(
      keysMax: services.limits.idempotencyKeysMax, kept: services.limits.idempotencyKept)
  }

  /// Claims `key`; `reply` gets nil, or why not.
  /// - Parameter fill: asks all shards; each answers by `filled`. Returns how many there are.
  func claim(
    _ key: String, _ digest: BodyDigest, fill: () -> Int,
    reply: @escaping (AppendError?) -> Void
  ) {
    let claim = Claim(key: key, digest: digest, reply: reply)
    switch state {
    case .open: decide(claim)
    case .filling(var queue):
      guard queue.count < Self.fillingQueueMax else { return reply(.busy) }
      state = .closed
      queue.append(claim)
      state = .filling(queue)
    case .closed:
      state = .filling([claim])
      failure = nil
      missing = 0
      isAsking = true
      let asked = fill()
      isAsking = false
      missing += asked
      if missing == 0 { open() }
    }
  }

  private func decide(_ claim: Claim) {
    guard case .open(var registry) = state else { return claim.reply(.busy) }
    // Moved out while it changes, so that its tables are not copied.
    state = .closed
    var refusal: AppendError?
    do throws(AppendError) {
      try registry.claim(claim.key, claim.digest, now: services.time.now)
    } catch {
      refusal = error
    }
    state = .open(registry)
    claim.reply(refusal)
  }

  /// One shard's answer to `fill`.
  func filled(_ remembered: Remembered) {
    switch remembered {
    case .success(let entries):
      for entry in entries {
        registry.remember(entry.key, entry.digest, timestamp: entry.timestamp)
      }
    case .failure(let error): failure = error
    }
    missing -= 1
    if missing == 0, !isAsking { open() }
  }

  private func open() {
    guard case .filling(let queue) = state else { return }
    var filled = registry
    registry = Self.makeRegistry(services)
    if let failure {
      // The next claim asks again.
      state = .closed
      for claim in queue { claim.reply(failure) }
      return
    }
    filled.filled()
    state = .open(filled)
    for claim in queue { decide(claim) }
  }

  func settle(_ key: String, _ outcome: KeyOutcome) {
    guard case .open(var registry) = state else { return }
    state = .closed
    registry.settle(key, outcome, now: services.time.now)
    state = .open(registry)
  }
}
