// Who waits for records, and whose turn it is.
import Synchronization
import Wire

/// A consumer as its owner knows it: everybody who pulls under one name, or one that is attached. On the journal's
/// executor.
final class OwnerConsumer {
  /// In the order of coming.
  let number: UInt64
  let name: String
  let since: Timestamp
  var lastSeen: Timestamp
  var lastSeenMonotonic: Duration
  /// In the dispatcher; nil while there is none.
  var id: ConsumerID?
  /// Pulls that wait.
  var pullsWaiting = 0
  /// nil: it pulls.
  let push: Push?
  /// Deliveries leased for it that did not reach it yet: they are being read, or stored.
  var underWay = 0
  /// Until when a batch that is not full waits for more.
  var lingersUntil: Duration?
  var isGone = false

  struct Push {
    var options: ConsumerOptions
    var executor: any Executor
    var deliver: @Sendable (ConsumerEvent) -> Void
  }
  /// Deliveries that an attached one may still be given beside those under way; nil: as many as its share allows. Below
  /// zero it asked for fewer than are under way.
  var credit: Int?

  init(number: UInt64, name: String, push: Push?, now: Instants) {
    self.number = number
    self.name = name
    self.push = push
    since = now.wall
    lastSeen = now.wall
    lastSeenMonotonic = now.monotonic
    credit = push?.options.credit
  }

  var kind: ConsumerOptions.Kind { push?.options.kind ?? .pull }
  var share: Int? { push?.options.share }
  /// It would take records if there were some.
  var isWaiting: Bool { push == nil ? pullsWaiting > 0 : credit.map { $0 > 0 } ?? true }
}

/// A pull on its way. On the journal's executor, but for its ticket.
final class WaitingPull {
  let consumer: OwnerConsumer
  let countMax: Int
  let bytesMax: Int
  let expiry: Duration
  let executor: any Executor
  let ticket: PullState
  let reply: @Sendable (Result<Pulled, SubscriptionError>) -> Void

  init(
    _ consumer: OwnerConsumer, countMax: Int, bytesMax: Int, expiry: Duration,
    executor: any Executor, ticket: PullState,
    reply: @escaping @Sendable (Result<Pulled, SubscriptionError>) -> Void
  ) {
    self.consumer = consumer
    self.countMax = countMax
    self.bytesMax = bytesMax
    self.expiry = expiry
    self.executor = executor
    self.ticket = ticket
    self.reply = reply
  }
}

/// Whether a pull was answered or given up, whichever came first.
final class PullState: Sendable {
  private let decided = Atomic<Bool>(false)
  /// True for the first who asks.
  func decide() -> Bool {
    decided.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing)
      .exchanged
  }
  var isDecided: Bool { decided.load(ordering: .acquiring) }
}

/// Pulls, each until it is answered, and attached consumers, each as long as it would take something: in one line,
/// where whoever was served goes to the end.
struct ConsumerLine {
  enum Place {
    case pull(WaitingPull)
    case push(OwnerConsumer)
  }
  private var places: [Place?] = []
  private var first = 0
  private(set) var count = 0
  private(set) var pullCount = 0
  /// Pulls that nobody waits for any more may be among them.
  var hasAbandoned = false
  /// No pull's time is over before this.
  private(set) var nextExpiry: Duration?

  var isEmpty: Bool { count == 0 }

  mutating func append(_ place: Place) {
    if case .pull(let pull) = place {
      pullCount += 1
      nextExpiry = min(nextExpiry ?? pull.expiry, pull.expiry)
    }
    places.append(place)
    count += 1
  }

  /// Whoever lost what he was about to be given is the next again.
  mutating func prepend(_ pull: WaitingPull) {
    if first == 0 { places.insert(nil, at: 0) } else { first -= 1 }
    places[first] = .pull(pull)
    count += 1
    pullCount += 1
    nextExpiry = min(nextExpiry ?? pull.expiry, pull.expiry)
  }

  mutating func next() -> Place? {
    guard first < places.count, let place = places[first] else { return nil }
    places[first] = nil
    first += 1
    count -= 1
    if case .pull = place { pullCount -= 1 }
    if first > 64, first * 2 > places.count {
      places.removeFirst(first)
      first = 0
    }
    return place
  }

  /// Takes out the pulls for which `isOver` holds.
  mutating func remove(where isOver: (WaitingPull) -> Bool) -> [WaitingPull] {
    var removed: [WaitingPull] = []
    var earliest: Duration?
    filter { place in
      guard case .pull(let pull) = place else { return true }
      if isOver(pull) {
        removed.append(pull)
        return false
      }
      earliest = min(earliest ?? pull.expiry, pull.expiry)
      return true
    }
    nextExpiry = earliest
    pullCount -= removed.count
    return removed
  }

  mutating func remove(_ consumer: OwnerConsumer) {
    filter { place in
      if case .push(let other) = place { return other !== consumer }
      return true
    }
  }

  private mutating func filter(_ keeps: (Place) -> Bool) {
    var kept: [Place?] = []
    kept.reserveCapacity(count)
    for index in first..<places.count {
      if let place = places[index], keeps(place) { kept.append(place) }
    }
    places = kept
    first = 0
    count = kept.count
  }
}
