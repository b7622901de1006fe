// Finding others: the peers that were named or remembered, asked until each is a member, for ever.

/// Where others may be.
struct Contact: Sendable {
  static let countMax = Snapshot.peersMax + 64
  static let atOnceMax = 3
  static let firstDelay = Duration.milliseconds(500)
  static let longestDelay = Duration.seconds(10)

  let endpoint: Endpoint
  /// It was given at the start, and is never given up.
  let isOriginal: Bool
  var nextAt: Instant
  var delay = firstDelay
  var stream: StreamID?
}

extension Swim {
  mutating func addContacts(_ endpoints: [Endpoint], areOriginal: Bool = false) {
    for endpoint in endpoints where endpoint.isUnicast && endpoint != own.endpoint {
      if contacts.contains(where: { $0.endpoint == endpoint }) { continue }
      if contacts.count == Contact.countMax { forgetContact() }
      guard contacts.count < Contact.countMax else { break }
      contacts.append(Contact(endpoint: endpoint, isOriginal: areOriginal, nextAt: now))
    }
    contactPeers()
  }

  /// Names whose addresses change leave behind where nobody is any more: the longest known of these gives way.
  private mutating func forgetContact() {
    let index = contacts.firstIndex {
      !$0.isOriginal && $0.stream == nil
        && roster.member(at: $0.endpoint)?.status.isPresent != true
    }
    if let index { contacts.remove(at: index) }
  }

  /// Opens streams to those that are due, a few at a time; who waits longest comes first, so that many who do not
  /// answer do not keep others from being asked.
  mutating func contactPeers() {
    guard departure == nil else { return }
    var open = contacts.count { $0.stream != nil }
    while open < Contact.atOnceMax, let index = nextContact, contacts[index].nextAt <= now {
      if roster.member(at: contacts[index].endpoint)?.status.isPresent == true {
        contacts[index].delay = Contact.firstDelay
        contacts[index].nextAt = now + Contact.longestDelay
      } else if let stream = self.open(.contact, to: contacts[index].endpoint) {
        contacts[index].stream = stream
        open += 1
      } else {
        contacts[index].nextAt = now + Contact.firstDelay
      }
    }
    // Who waits for its turn is called when a stream ends.
    timers[.contacts] =
      open < Contact.atOnceMax ? nextContact.map { contacts[$0].nextAt } : nil
  }

  private var nextContact: Int? {
    var next: Int?
    for index in contacts.indices where contacts[index].stream == nil {
      if next == nil || contacts[index].nextAt < contacts[next!].nextAt { next = index }
    }
    return next
  }

  mutating func noteContact(_ endpoint: Endpoint, succeeded: Bool) {
    guard let index = contacts.firstIndex(where: { $0.endpoint == endpoint }) else { return }
    contacts[index].stream = nil
    if succeeded {
      contacts[index].delay = Contact.firstDelay
      contacts[index].nextAt = now + Contact.longestDelay
    } else {
      contacts[index].nextAt = now + contacts[index].delay
      contacts[index].delay = min(contacts[index].delay * 2, Contact.longestDelay)
    }
    timers.bringForward(.contacts, to: now)
  }

  /// Views were exchanged with somebody, whoever began.
  mutating func noteJoined(through endpoint: Endpoint?) {
    guard joinedAt == nil else { return }
    joinedAt = now
    joinedThrough = endpoint
    stable.joined()
    if endpoint != nil { timers[.review] = now + Self.reviewInterval }
  }

  private static let reviewInterval = Duration.milliseconds(300)

  /// For so long a joiner exchanges views whenever it sees a difference.
  var isNew: Bool { joinedAt.map { now - $0 < .seconds(2) } ?? false }

  /// Of many that join at once each hears of those before it in the answer, and of those after it by gossip; who came
  /// in the same moment may be missed. So a joiner asks again, and `compare` finds the difference.
  mutating func review() {
    guard isNew, departure == nil, let joinedThrough else { return }
    timers[.review] = now + Self.reviewInterval
    if let member = roster.member(at: joinedThrough), member.id != id { ask(member) }
  }
}
