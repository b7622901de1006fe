// The first successor on the ring is never silent for long without being asked why.

/// Regular probes alone find a silence after a time that is spread like a lottery's (a member is probed once a second
/// on average, by whom chance wills), whatever the cluster's size: after 0.7 s in the median, but after more than 2 s
/// once in seven. So each member shows itself to its predecessor, by an empty datagram when it has nothing to tell
/// it, and a predecessor that hears nothing probes. It costs half of what pings and acks would.
struct Watch: Sendable {
  /// Since nothing was sent to the predecessor.
  static let showInterval = Duration.milliseconds(750)
  /// Since nothing was heard of the successor; a timer and a packet may be late by the difference.
  static let silenceMax = Duration.milliseconds(850)

  var successor: MemberID?
  var predecessor: Member?
}

extension Swim {
  /// The ring is another.
  mutating func adjustWatch() {
    guard has(.watch), departure == nil else { return }
    let successor = Successors.next(1, among: roster).first
    if watch.successor != successor?.id || timers[.watch] == nil {
      watch.successor = successor?.id
      timers[.watch] = successor.map { _ in now + Watch.silenceMax }
    }
    let predecessor = Successors.previous(among: roster)
    let isOther = watch.predecessor?.id != predecessor?.id
    watch.predecessor = predecessor
    if isOther || timers[.show] == nil { timers[.show] = predecessor.map { _ in now } }
  }

  /// A packet came from it.
  mutating func noteSign(of sender: MemberID) {
    guard sender == watch.successor, timers[.watch] != nil else { return }
    timers[.watch] = now + Watch.silenceMax * patience
  }

  /// A packet went to it.
  mutating func noteShown(to receiver: MemberID) {
    guard receiver == watch.predecessor?.id, timers[.show] != nil else { return }
    timers[.show] = now + Watch.showInterval
  }

  mutating func show() {
    guard departure == nil, let predecessor = watch.predecessor else { return }
    timers[.show] = now + Watch.showInterval
    post(.gossip(Gossip(from: id)), to: predecessor.endpoint, for: predecessor.id)
  }

  mutating func askSuccessor() {
    guard departure == nil, let id = watch.successor, let successor = roster[id],
      successor.status.isPresent
    else { return }
    timers[.watch] = now + Watch.silenceMax * patience
    if probes.number(for: id) == nil, !probes.isFull { probe(successor, isUrgent: false) }
  }
}
