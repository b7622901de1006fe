// Where a subscription's owner sits once somebody uses it, and what the catalog and a stopping Engine ask of it.

/// Shared by a subscription and what it is after each change.
final class SubscriptionSeat: Sendable {
  /// On the journal's executor.
  private final class Holder {
    var owner: (any SubscriptionService)?
  }
  private let holder: Confined<Holder>
  /// What its owner last said of its numbers; from any thread.
  let figures = SubscriptionFigures()

  init(on executor: any Executor) { holder = Confined(Holder(), to: executor) }

  /// On the journal's executor.
  var owner: (any SubscriptionService)? {
    get { holder.value.owner }
    set { holder.value.owner = newValue }
  }
}

/// The one that serves a subscription, as the catalog sees it. On the journal's executor.
protocol SubscriptionService: StoppableOwner {
  /// It has other settings now; `subscription` is the same one as before. One of a lower revision than the last comes
  /// too late and means nothing.
  func changed(to subscription: Subscription)
  /// It was deleted: whoever waits is told so, and nothing is taken from now on. The journal goes right after.
  func delete()
}
