// Exchanges of views between two nodes: the whole for one that joins, the difference for two that stay different.

extension Swim {
  /// Two marks that differ for so long are not news on its way: something was missed.
  static let settledMin = Duration.seconds(2)
  /// Between two exchanges that a node begins.
  private static let pause = Duration.milliseconds(250)
  /// Rumours of one frame, below the limit of what a frame may be.
  private static let frameRumoursBytesMax = 60 * 1024

  /// What the other holds against what this node holds.
  mutating func compare(_ mark: ViewMark, of peer: MemberID) {
    guard mark.hash != roster.digest.hash, has(.antiEntropy), peer != id else { return }
    // One that has just joined missed what was told while it was asking.
    let settledMin = isNew ? Duration.zero : Self.settledMin
    guard Duration.milliseconds(Int64(mark.settled) * 100) >= settledMin,
      now - digestChangedAt >= settledMin,
      lastExchangeAt.map({ now - $0 >= settledMin }) ?? true,
      let member = roster[peer], member.status.isPresent
    else { return }
    exchangeViews(with: member)
  }

  /// One at a time: what one brings makes the next shorter.
  mutating func exchangeViews(with member: Member) {
    guard has(.antiEntropy), departure == nil, joinedAt != nil || contacts.isEmpty,
      lastExchangeAt.map({ now - $0 >= Self.pause }) ?? true,
      streams.ids(where: { if case .exchange = $0.role { true } else { false } }).isEmpty,
      open(.exchange(with: member.id), to: member.endpoint) != nil
    else { return }
    lastExchangeAt = now
  }

  mutating func offerView(on stream: StreamID) {
    let isJoin = streams[stream]?.role == .contact
    let offer = Offer(
      from: id, generation: claim.generation, isJoin: isJoin, buckets: roster.digest.buckets)
    write(.offer(offer), rumours: [encoded(own)], on: stream)
  }

  mutating func answer(_ offer: Offer, _ rumours: [Rumour], on stream: StreamID) {
    if offer.from == id, rumours.contains(own.rumour(at: clock)) {
      // The operator named this node's own address among its peers.
      counters.refused[.own] += 1
      return close(stream)
    }
    _ = hear(rumours, from: nil, inView: true)
    var buckets = BucketSet(differing: offer.buckets, roster.digest.buckets)
    if let known = roster[offer.from], rumours.contains(where: { $0.isTwin(of: known) }) {
      // Digests do not tell two apart who began in the same millisecond.
      buckets.insert(ViewDigest.bucket(of: offer.from))
    }
    streams.update(stream) { $0.role = .answering }
    let records = records(in: buckets) { _ in true }
    for (index, part) in records.enumerated() {
      let answer = Answer(
        from: id, generation: claim.generation, differing: buckets,
        isLast: index == records.count - 1)
      write(.answer(answer), rumours: part, on: stream)
    }
  }

  mutating func take(_ answer: Answer, _ rumours: [Rumour], on stream: StreamID) {
    _ = hear(rumours, from: nil, inView: true)
    // Of those alone that have a record, or an answer without end would fill the memory.
    let claims = rumours.filter { roster[$0.id] != nil }
    streams.update(stream) { stream in
      for rumour in claims { stream.heard[rumour.id] = rumour.claim }
    }
    guard answer.isLast, !isStopped, let exchange = streams[stream] else { return }
    let rest = records(in: answer.differing) { member in
      exchange.heard[member.id].map { $0 < member.claim } ?? true
    }
    for (index, part) in rest.enumerated() {
      write(.rest(Rest(from: id, isLast: index == rest.count - 1)), rumours: part, on: stream)
    }
    counters.syncs += 1
    // The other one closes, when it has all.
    streams.update(stream) {
      $0.role = .done
      $0.heard = [:]
    }
    if exchange.role == .contact { noteContact(exchange.endpoint, succeeded: true) }
    noteJoined(through: exchange.endpoint)
  }

  /// The records of some buckets, in parts of a frame each; one part at least.
  private func records(
    in buckets: BucketSet, where isWanted: (Member) -> Bool
  ) -> [[[UInt8]]] {
    var parts: [[[UInt8]]] = [[]]
    var bytes = 0
    for member in roster.members
    where buckets.contains(ViewDigest.bucket(of: member.id)) && isWanted(member) {
      if !member.status.isPresent, clock - member.since >= Roster.memory { continue }
      let rumour = encoded(member)
      if bytes + rumour.count > Self.frameRumoursBytesMax {
        parts.append([])
        bytes = 0
      }
      parts[parts.count - 1].append(rumour)
      bytes += rumour.count
    }
    return parts
  }
}
