// Datagrams on their way in: what they tell first, then what they ask.
import NIOCore

extension Swim {
  mutating func take(_ bytes: ByteBufferView, from source: Endpoint) {
    counters.datagramsReceived += 1
    counters.datagramBytesReceived += UInt64(bytes.count)
    let packet: Packet
    do {
      packet = try Codec.decode(envelope.open(bytes))
    } catch let error as OpenError {
      counters.refused[error.reason] += 1
      return
    } catch {
      counters.refused[.malformed] += 1
      return
    }
    counters.received[packet.message.kind] += 1
    if let sender = packet.message.sender { noteSign(of: sender) }
    let isTrusted = isTrusted(source)
    let isBehind = hear(
      packet.rumours, from: source, sender: packet.message.sender)
    guard !isStopped else { return }

    switch packet.message {
    case .ping(let ping):
      answer(
        ping, from: source, bytesMax: isTrusted ? Codec.datagramBytesMax : bytes.count,
        isTrusted: isTrusted, isBehind: isBehind)
    case .ack(let ack):
      take(ack, from: source)
      if isBehind, isTrusted, !isStopped { enlighten(ack.from, at: source, isBehind: true) }
    case .pingRequest(let request):
      guard isTrusted else { return counters.refused[.unexpected] += 1 }
      relay(request, from: source)
      enlighten(request.from, at: source, isBehind: isBehind)
    case .nack(let nack): take(nack)
    case .gossip(let gossip):
      if isTrusted { enlighten(gossip.from, at: source, isBehind: isBehind) }
    case .hello, .bye, .offer, .answer, .rest: counters.refused[.unexpected] += 1
    }
  }

  /// - Parameters:
  ///   - source: Where a datagram came from; none for a stream.
  ///   - sender: Who says so, if one knows.
  /// - Returns: Whether the sender is behind in what it knows of this node.
  mutating func hear(
    _ rumours: [Rumour], from source: Endpoint?, sender: MemberID? = nil, inView: Bool = false
  ) -> Bool {
    var isBehind = false
    for rumour in rumours where !isStopped {
      counters.rumoursReceived += 1
      if rumour.id == id {
        if hearOfSelf(rumour, from: source) { isBehind = true }
      } else {
        hear(rumour, inView: inView, isFirstHand: rumour.id == sender)
      }
    }
    return isBehind
  }

  /// An answer to whom is asked by name. A ping for another id is for whoever had this address before.
  private mutating func answer(
    _ ping: Ping, from source: Endpoint, bytesMax: Int, isTrusted: Bool, isBehind: Bool
  ) {
    guard ping.target == id else { return counters.refused[.unexpected] += 1 }
    let ack = Ack(
      sequence: ping.sequence, from: id, generation: claim.generation, view: mark)
    post(
      .ack(ack), to: source, for: ping.from, first: lessons(for: ping, isBehind: isBehind),
      bytesMax: bytesMax, carriesNews: isTrusted)
    compare(ping.view, of: ping.from)
  }

  /// What the sender of a ping had better know: that this is a later life than it thinks, that it is refuted already,
  /// or what is said of itself.
  func lessons(for ping: Ping, isBehind: Bool) -> [[UInt8]] {
    var lessons: [[UInt8]] = []
    if isBehind || ping.targetGeneration != 0 && ping.targetGeneration < claim.generation {
      lessons.append(encoded(own))
    }
    if let sender = roster[ping.from], ping.from != id, sender.status != .alive,
      sender.claim.generation == ping.generation, has(.buddy) || sender.status != .suspect
    {
      lessons.append(encoded(sender))
    }
    return lessons
  }

  /// One that is held for gone and yet speaks is told so, and refutes; one that did not hear a refutation hears it.
  private mutating func enlighten(_ sender: MemberID, at source: Endpoint, isBehind: Bool) {
    var lessons: [[UInt8]] = []
    if isBehind { lessons.append(encoded(own)) }
    if let member = roster[sender], sender != id, !member.status.isPresent {
      lessons.append(encoded(member))
    }
    guard !lessons.isEmpty else { return }
    post(.gossip(Gossip(from: id)), to: source, for: sender, first: lessons)
  }
}
