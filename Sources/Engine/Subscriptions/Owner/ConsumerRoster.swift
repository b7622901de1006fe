// Everybody who consumes from a subscription, or did so a moment ago.
import Wire

/// On the journal's executor.
struct ConsumerRoster {
  /// In the order of coming.
  private(set) var all: [OwnerConsumer] = []
  private var byName: [String: OwnerConsumer] = [:]
  private var byID: [ConsumerID: OwnerConsumer] = [:]
  private var lastNumber: UInt64 = 0

  var isEmpty: Bool { all.isEmpty }
  var count: Int { all.count }
  var hasPullers: Bool { !byName.isEmpty }

  /// The one that pulls under this name.
  func puller(named name: String) -> OwnerConsumer? { byName[name] }

  /// Whom the dispatcher calls so.
  func consumer(_ id: ConsumerID) -> OwnerConsumer? { byID[id] }

  mutating func add(_ name: String, push: OwnerConsumer.Push?, now: Instants) -> OwnerConsumer {
    lastNumber += 1
    let consumer = OwnerConsumer(number: lastNumber, name: name, push: push, now: now)
    all.append(consumer)
    if push == nil { byName[name] = consumer }
    return consumer
  }

  /// It has its `id` now.
  mutating func joined(_ consumer: OwnerConsumer) { byID[consumer.id!] = consumer }

  mutating func remove(_ consumer: OwnerConsumer) {
    let place = all.partitionPoint { $0.number < consumer.number }
    guard place < all.count, all[place] === consumer else { return }
    all.remove(at: place)
    if consumer.push == nil { byName[consumer.name] = nil }
    if let id = consumer.id { byID[id] = nil }
  }

  mutating func forgetDispatcher() { byID = [:] }
}
