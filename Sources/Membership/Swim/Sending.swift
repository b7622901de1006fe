// Packets on their way out: a message, the rumours that fit beside it, and the seal.
import NIOCore

extension Swim {
  /// - Parameters:
  ///   - receiver: Who is there, as far as one knows: what concerns it goes first.
  ///   - first: Rumours that are to go before those of the queue.
  ///   - bytesMax: Of the whole datagram, when it may not be larger than what it answers. Nothing is sent if the
  ///     message alone is.
  ///   - carriesNews: Whether rumours of the queue may go along.
  mutating func post(
    _ message: Message, to endpoint: Endpoint, for receiver: MemberID?, first: [[UInt8]] = [],
    bytesMax: Int = Codec.datagramBytesMax, carriesNews: Bool = true, asking: Bool = false
  ) {
    scratch.clear()
    Codec.encode(message, into: &scratch)
    let overhead = Codec.datagramBytesMax - envelope.datagramBodyBytesMax
    var room = min(bytesMax, Codec.datagramBytesMax) - overhead - scratch.readableBytes
    guard room >= 0 else { return counters.refused[.unexpected] += 1 }
    for rumour in first where rumour.count <= room {
      scratch.writeBytes(rumour)
      room -= rumour.count
      counters.rumoursSent += 1
    }
    if carriesNews, room > 0, !dissemination.isEmpty {
      picks.removeAll(keepingCapacity: true)
      dissemination.select(bytesMax: room, for: has(.buddy) ? receiver : nil, into: &picks)
      for rumour in picks where !first.contains(rumour) {
        scratch.writeBytes(rumour)
        counters.rumoursSent += 1
      }
    }
    if let receiver { noteShown(to: receiver) }
    let datagram = envelope.seal(scratch)
    counters.sent[message.kind] += 1
    counters.datagramsSent += 1
    counters.datagramBytesSent += UInt64(datagram.readableBytes)
    actions.append(
      asking ? .sendAsking(datagram, to: endpoint) : .send(datagram, to: endpoint))
  }

  /// One frame on a stream that is there.
  mutating func write(_ message: Message, rumours: [[UInt8]] = [], on stream: StreamID) {
    scratch.clear()
    Codec.encode(message, rumours: rumours, into: &scratch)
    guard let frame = streams.seal(scratch, on: stream, by: &envelope) else { return }
    counters.sent[message.kind] += 1
    counters.rumoursSent += UInt64(rumours.count)
    counters.framesSent += 1
    counters.frameBytesSent += UInt64(frame.readableBytes)
    actions.append(.write(stream, frame))
  }

  /// What is told of a member, in bytes; of a suspect with who accuses it.
  func encoded(_ member: Member) -> [UInt8] {
    if let suspicion = suspicions[member.id], let accuser = suspicion.accusers.first {
      return Codec.encode(
        member.suspicion(by: accuser, isRefused: suspicion.isRefusedByTwo))
    }
    return Codec.encode(member.rumour(at: clock))
  }

  /// The hash of all that this node holds, as every ping and ack tells it.
  var mark: ViewMark {
    let tenths = (now - digestChangedAt).nanoseconds / 100_000_000
    return ViewMark(hash: roster.digest.hash, settled: UInt8(clamping: tenths))
  }

  /// Whether nobody but members can have sent what is not refused.
  var isSealed: Bool { envelope.keyring != nil }

  /// In clear anyone may say to be anyone; an answer that is larger than its question would serve to flood a third.
  func isTrusted(_ source: Endpoint) -> Bool { isSealed || roster.member(at: source) != nil }
}

extension Message {
  /// Of a datagram, whoever says to have sent it; of a relayed ack, who answered.
  var sender: MemberID? {
    switch self {
    case .ping(let ping): ping.from
    case .ack(let ack): ack.from
    case .pingRequest(let request): request.from
    case .nack(let nack): nack.from
    case .gossip(let gossip): gossip.from
    case .hello, .bye, .offer, .answer, .rest: nil
    }
  }
}
