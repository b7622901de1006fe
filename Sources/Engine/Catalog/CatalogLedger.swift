// What the catalog's kinds ask of one another: how many shards streams have, and which subscriptions use a stream.
import Synchronization

final class CatalogLedger: Sendable {
  private struct State {
    var shardCount = 0
    /// By the stream's name: subscriptions that read from it or bury into it.
    var users: [String: NameList] = [:]
    /// By the stream's name: those that are about to, once they are durable; one may be there several times.
    var claims: [String: [String]] = [:]
  }
  private let state = Mutex(State())

  /// Of all streams; journals are not counted.
  var shardCount: Int { state.withLock { $0.shardCount } }

  func replace(_ before: Stream?, with now: Stream?) {
    state.withLock { $0.shardCount += (now?.shards.count ?? 0) - (before?.shards.count ?? 0) }
  }

  func replace(_ before: Subscription?, with now: Subscription?) {
    let gone = before?.streamsUsed ?? []
    let used = now?.streamsUsed ?? []
    guard gone != used, let name = before?.name ?? now?.name else { return }
    state.withLock { state in
      for stream in gone {
        state.users[stream]?.remove(name)
        if state.users[stream]?.isEmpty == true { state.users[stream] = nil }
      }
      for stream in used { state.users[stream, default: NameList()].insert(name) }
    }
  }

  /// Up to `limit` subscriptions that use the stream `name`, in name order.
  func users(of stream: String, prefix: String, after: String?, limit: Int) -> [String] {
    state.withLock { state in
      Array(state.users[stream]?.page(prefix: prefix, after: after, limit: limit) ?? [])
    }
  }

  func claim(_ stream: String, for subscription: String) {
    state.withLock { $0.claims[stream, default: []].append(subscription) }
  }

  func release(_ stream: String, for subscription: String) {
    state.withLock { state in
      guard var claims = state.claims[stream], let place = claims.firstIndex(of: subscription)
      else { preconditionFailure("\(subscription) has no claim on \(stream)") }
      claims.remove(at: place)
      state.claims[stream] = claims.isEmpty ? nil : claims
    }
  }

  /// Subscriptions that are about to use the stream.
  func claims(on stream: String) -> [String] { state.withLock { $0.claims[stream] ?? [] } }
}

extension Subscription {
  fileprivate var streamsUsed: [String] { [spec.stream] + (spec.deadLetter.map { [$0] } ?? []) }
}
