// A node of a cluster among strangers, insiders that have the key and say anything, and time that leaps.
import NIOCore

@testable import Membership

/// The first byte: its lowest bit whether there are keys, the rest a seed. Then one step after the other, as long as
/// there are bytes. The node must not trap, hold or send too much, forget or unlearn what it knows, or tell events out
/// of order; and what nobody with the key has sealed must change nothing at all.
func fuzzSwim(_ bytes: UnsafeRawBufferPointer) -> CInt {
  guard let first = bytes.first else { return 0 }
  var trial = Trial(script: Script(bytes: Array(bytes.dropFirst())), first: first)
  while !trial.script.isAtEnd { trial.step() }
  return 0
}

struct Script {
  let bytes: [UInt8]
  var position = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { position >= bytes.count }

  mutating func byte() -> Int {
    guard !isAtEnd else { return 0 }
    defer { position += 1 }
    return Int(bytes[position])
  }

  mutating func take(_ count: Int) -> [UInt8] {
    let end = min(position + count, bytes.count)
    defer { position = end }
    return Array(bytes[min(position, end)..<end])
  }

  mutating func element<Element>(of choices: [Element]) -> Element {
    choices[byte() % choices.count]
  }
}

struct Trial {
  var script: Script
  let isSealed: Bool
  var now = Instant(nanoseconds: 1_000_000_000_000)
  /// The node that is tried, and a true other one.
  var subject: Swim
  var peer: Swim
  /// Whoever has the key.
  var insider: Envelope
  var lastStream: UInt64 = 1
  var streams: [(id: StreamID, envelope: StreamEnvelope)] = []
  /// On their way; and what was seen on the wire.
  var toSubject: [ByteBuffer] = []
  var toPeer: [ByteBuffer] = []
  var seen: [ByteBuffer] = []
  /// What the node asked last, as whoever has the key can read.
  var asked: [UInt32] = [0]
  var witness = Witness()

  static let own = endpoint("127.0.0.1:7001")
  static let other = endpoint("127.0.0.1:7002")
  static let places = [
    own, other, endpoint("127.0.0.1:7003"), endpoint("[::1]:7004"), endpoint("10.0.0.5:1"),
  ]
  static let rings = makeRings()

  init(script: Script, first: UInt8) {
    self.script = script
    isSealed = first & 1 == 1
    let ring = isSealed ? Self.rings[0] : nil
    var (actions, others): ([Action], [Action]) = ([], [])
    subject = Swim(
      SwimConfiguration(), id: name("n1"), profile: Profile(endpoint: Self.own), generation: 1000,
      keyring: ring, label: "fuzz", peers: [Self.other, Self.places[2]], seed: UInt64(first),
      session: 1, at: now, into: &actions)
    peer = Swim(
      SwimConfiguration(), id: name("n2"), profile: Profile(endpoint: Self.other), generation: 2000,
      keyring: ring, label: "fuzz", peers: [], seed: UInt64(first) + 1000, session: 2, at: now,
      into: &others)
    insider = Envelope(
      keyring: isSealed ? Self.rings[1] : nil, label: "fuzz", session: 3)
    take(actions)
    takeFromPeer(others)
  }

  mutating func step() {
    settle()
    switch script.byte() % 14 {
    case 0: pass(.milliseconds(script.byte()))
    case 1: pass(.milliseconds(script.byte() * script.byte()))
    case 2: leap(.milliseconds(script.byte() * script.byte() * 16))
    case 3: receive(ByteBuffer(bytes: script.take(script.byte())), isGenuine: !isSealed)
    case 4: receiveChanged()
    case 5: if !seen.isEmpty { receive(script.element(of: seen), isGenuine: true) }
    case 6: receive(insider.seal(ByteBuffer(bytes: script.take(script.byte()))), isGenuine: true)
    case 7, 8: receive(insider.seal(body(ofDatagram: true)), isGenuine: true)
    case 9: deliver()
    case 10: acceptOrEnd()
    case 11: frame()
    case 12: hint()
    default: command()
    }
  }

  // MARK: - Time

  /// The node does everything in time, up to a limit.
  mutating func pass(_ duration: Duration) {
    let end = now + duration
    for _ in 0..<200 {
      guard let next = subject.nextDeadline, next <= end else { break }
      now = max(now, next)
      settle()
    }
    leap(max(.zero, end - now))
  }

  /// It stands still.
  mutating func leap(_ duration: Duration) {
    now += duration
    settle()
    var actions: [Action] = []
    peer.advance(to: now, into: &actions)
    takeFromPeer(actions)
  }

  /// Does what is due, so that what happens next happens for one reason.
  mutating func settle() {
    var turns = 0
    repeat {
      turn { $0.advance(to: $1, into: &$2) }
      turns += 1
      check(turns < 1000, "there is always something due")
    } while subject.nextDeadline.map { $0 <= now } ?? false
  }

  @discardableResult
  mutating func turn(_ input: (inout Swim, Instant, inout [Action]) -> Void) -> Int {
    var actions: [Action] = []
    let wasStopped = subject.isStopped
    input(&subject, now, &actions)
    check(!wasStopped || actions.isEmpty, "a node that stopped goes on")
    take(actions)
    witness.look(at: subject)
    return actions.count
  }

  // MARK: - Datagrams

  mutating func receive(_ packet: ByteBuffer, isGenuine: Bool) {
    let source = script.element(of: Self.places)
    let before = Standing(subject)
    let actions = turn { $0.receive(packet.readableBytesView, from: source, at: $1, into: &$2) }
    if !isGenuine {
      check(actions == 0, "something is done for bytes that nobody sealed")
      check(Standing(subject) == before, "bytes that nobody sealed change something")
    }
  }

  mutating func receiveChanged() {
    guard !seen.isEmpty else { return }
    let original = script.element(of: seen)
    var packet = original
    let place = script.byte() << 8 | script.byte()
    let change = UInt8(script.byte())
    switch script.byte() % 3 {
    case 0:
      let index = place % packet.readableBytes
      let byte: UInt8 = packet.getInteger(at: index) ?? 0
      packet.setInteger(byte ^ max(1, change), at: index)
    case 1: packet = packet.getSlice(at: 0, length: place % packet.readableBytes) ?? ByteBuffer()
    default: packet.writeInteger(change)
    }
    receive(packet, isGenuine: !isSealed)
  }

  mutating func deliver() {
    let isLast = script.byte() % 4 == 0
    if !toPeer.isEmpty {
      let packet = isLast ? toPeer.removeLast() : toPeer.removeFirst()
      var actions: [Action] = []
      peer.receive(packet.readableBytesView, from: Self.own, at: now, into: &actions)
      takeFromPeer(actions)
    }
    guard !toSubject.isEmpty else { return }
    let packet = isLast ? toSubject.removeLast() : toSubject.removeFirst()
    turn { $0.receive(packet.readableBytesView, from: Self.other, at: $1, into: &$2) }
  }

  mutating func note(_ packet: ByteBuffer) {
    if seen.count == 32 { seen.removeFirst() }
    seen.append(packet)
  }

  // MARK: - Streams

  mutating func acceptOrEnd() {
    let choice = script.byte()
    if choice % 2 == 0 || streams.isEmpty {
      lastStream += 2
      let id = StreamID(lastStream)
      streams.append((id, StreamEnvelope(number: lastStream + 1, isOpener: true)))
      let source = script.element(of: Self.places)
      turn { $0.stream(.accepted(from: source), id, at: $1, into: &$2) }
      return
    }
    let id = streams[script.byte() % streams.count].id
    let ends = [StreamEnd.refused, .reset, .ended, .timedOut, .unreachable]
    let end = script.element(of: ends)
    if choice % 4 == 1, id.isOwn {
      turn { $0.stream(.connected, id, at: $1, into: &$2) }
    } else {
      streams.removeAll { $0.id == id }
      turn { $0.stream(.closed(end), id, at: $1, into: &$2) }
    }
  }

  mutating func frame() {
    guard !streams.isEmpty else { return }
    let index = script.byte() % streams.count
    let id = streams[index].id
    let choice = script.byte() % 4
    if choice == 0 {
      let bytes = ByteBuffer(bytes: script.take(script.byte()))
      let before = (subject.viewHash, subject.claim)
      turn { $0.stream(.frame(bytes.readableBytesView), id, at: $1, into: &$2) }
      check(!isSealed || before == (subject.viewHash, subject.claim), "a frame that nobody sealed")
      return
    }
    // The side that accepted a stream speaks when it was asked something.
    guard !isSealed || streams[index].envelope.isOpener || streams[index].envelope.received > 0
    else { return }
    let body = choice == 1 ? ByteBuffer(bytes: script.take(script.byte())) : body(ofDatagram: false)
    let frame = insider.seal(body, on: &streams[index].envelope)
    turn { $0.stream(.frame(frame.readableBytesView), id, at: $1, into: &$2) }
  }

  // MARK: - The rest of the process

  mutating func hint() {
    let member = name("n\(script.byte() % 6)")
    let place = script.element(of: Self.places)
    if script.byte() % 2 == 0 {
      turn { $0.hint(.connectionFailed, about: member, at: $1, into: &$2) }
    } else {
      turn { $0.refused(by: place, at: $1, into: &$2) }
    }
  }

  mutating func command() {
    let command: Command
    switch script.byte() % 8 {
    case 0: command = .leave
    case 1, 2: command = .setKeyring(Self.rings[script.byte() % Self.rings.count])
    case 3, 4: command = .join([script.element(of: Self.places), script.element(of: Self.places)])
    default:
      let pairs = [(name: "load", value: String(script.byte()))]
      command = .setMetadata((try? Metadata(pairs: pairs)) ?? Metadata())
    }
    turn { $0.perform(command, at: $1, into: &$2) }
  }

  // MARK: - What the nodes want

  mutating func take(_ actions: [Action]) {
    check(actions.count <= 8192, "too much at once")
    for (index, action) in actions.enumerated() {
      switch action {
      case .send(let packet, let place), .sendAsking(let packet, let place):
        check(packet.readableBytes <= Codec.datagramBytesMax, "a datagram is too large")
        check(place.isUnicast, "a datagram goes to all of a network")
        note(packet)
        overhear(packet)
        if place == Self.other, toPeer.count < 64 { toPeer.append(packet) }
      case .openStream(let id, let place):
        check(id.isOwn && place.isUnicast, "a stream is not its own")
        lastStream += 2
        streams.append((id, StreamEnvelope(number: lastStream, isOpener: false)))
      case .write(let id, let frame): take(frame, of: id)
      case .closeStream(let id): streams.removeAll { $0.id == id }
      case .emit(let event): witness.hear(event)
      case .persist(let snapshot):
        check(snapshot.generation >= witness.generation, "a generation is forgotten")
        check(snapshot.peers.count <= Snapshot.peersMax, "too many peers are remembered")
      case .stop: check(index == actions.count - 1, "something comes after the end")
      }
    }
  }

  /// Each datagram is sealed once, and can be read.
  mutating func overhear(_ packet: ByteBuffer) {
    let body = try? insider.open(packet.readableBytesView)
    check(body != nil, "a datagram that cannot be opened")
    switch body.flatMap({ try? Codec.decode($0) })?.message {
    case .ping(let ping): asked.append(ping.sequence)
    case .pingRequest(let request): asked.append(request.sequence)
    case nil: check(false, "a datagram that cannot be read")
    default: break
    }
    if asked.count > 8 { asked.removeFirst() }
  }

  mutating func take(_ frame: ByteBuffer, of id: StreamID) {
    check(frame.readableBytes <= Codec.frameBytesMax, "a frame is too large")
    guard let index = streams.firstIndex(where: { $0.id == id }) else { return }
    let body = try? insider.open(frame.readableBytesView, on: &streams[index].envelope)
    check(body != nil, "a frame that cannot be opened")
    check(body.flatMap { try? Codec.decode($0) } != nil, "a frame that cannot be read")
  }

  mutating func takeFromPeer(_ actions: [Action]) {
    for action in actions {
      switch action {
      case .send(let packet, let place), .sendAsking(let packet, let place):
        note(packet)
        if place == Self.own, toSubject.count < 64 { toSubject.append(packet) }
      case .openStream(let id, _):
        var more: [Action] = []
        peer.stream(.closed(.timedOut), id, at: now, into: &more)
        takeFromPeer(more)
      default: break
      }
    }
  }
}
