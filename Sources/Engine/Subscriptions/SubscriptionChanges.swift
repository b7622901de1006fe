// Who hears that a subscription was made, changed or deleted: its owner, its journal, and one who watches them all.
import Synchronization

public enum SubscriptionChange: Sendable {
  case created(Subscription)
  case changed(Subscription)
  case deleted(Subscription)

  init?(_ before: Subscription?, _ now: Subscription?) {
    switch (before, now) {
    case (nil, let now?): self = .created(now)
    case (_?, let now?): self = .changed(now)
    case (let before?, nil): self = .deleted(before)
    case (nil, nil): return nil
    }
  }
}

final class SubscriptionChanges: Sendable {
  typealias Watcher = @Sendable (SubscriptionChange) -> Void
  private let services: OwnerServices
  private let watcher = Mutex<Watcher?>(nil)

  init(_ services: OwnerServices) { self.services = services }

  func watch(_ watcher: @escaping Watcher) { self.watcher.withLock { $0 = watcher } }

  /// To be called once the change is durable; those of one subscription in order. From any thread.
  func announce(_ change: SubscriptionChange) {
    switch change {
    case .created: break
    case .changed(let subscription):
      // The owner minds the revision: two changes from different threads may come the other way round.
      services.mailboxes.queue(to: subscription.journal.executor) {
        subscription.seat.owner?.changed(to: subscription)
      }
    case .deleted(let subscription):
      let journal = subscription.journal
      journal.publishRemoved()
      services.mailboxes.queue(to: journal.executor) { [services] in
        subscription.seat.owner?.delete()
        services.end(journal)
      }
    }
    watcher.withLock { $0 }?(change)
  }
}

extension Engine {
  /// Calls `watcher`, from any thread, with every subscription that is created, changed or deleted from now on, after
  /// it is; those of one name in order. One watcher: a later one takes the place of the earlier.
  public func watchSubscriptions(_ watcher: @escaping @Sendable (SubscriptionChange) -> Void) {
    subscriptionChanges.watch(watcher)
  }
}
