// Where a subscription's owner sits once somebody uses it, and what the catalog and a stopping Engine ask of it.

/// Shared by a subscription and what it is after each change.
final class SubscriptionSeat: Sendable {
  /// On the journal's executor.
  private final class Holder {
    var owner: (any SubscriptionService)?
  }
  private let holder: Confined<Holder>

  init(on executor: any Executor) { holder = Confined(Holder(), to: executor) }

  /// On the journal's executor.
  var owner: (any SubscriptionService)? {
    get { holder.value.owner }
    set { holder.value.owner = newValue }
  }
}

/// The one that serves a subscription, as the catalog and a stopping Engine see it. On the journal's executor.
protocol SubscriptionService: AnyObject {
  /// It has other settings now; `subscription` is the same one as before.
  func changed(to subscription: Subscription)
  /// It is no more: nothing is taken from now on, and whoever waits is told why.
  func end(_ end: SubscriptionEnd)
  /// Takes nothing new; what is under way is still finished.
  func refuse()
  /// True when no answer is owed and nothing waits for the log.
  var isSettled: Bool { get }
}

/// Why a subscription's owner has to go.
public enum SubscriptionEnd: Sendable {
  case deleted
  case stopping
}
