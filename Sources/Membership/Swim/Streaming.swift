// Streams: opened, accepted, closed, and what each frame means on a stream of its kind.
import NIOCore

extension Swim {
  /// nil if too many are open.
  mutating func open(_ role: Stream.Role, to endpoint: Endpoint) -> StreamID? {
    guard role.isLifeline || streams.openedCount < Stream.openedMax else {
      counters.refused[.limit] += 1
      return nil
    }
    let id = streams.nextOpened()
    insert(
      Stream(
        endpoint: endpoint, role: role,
        seal: StreamEnvelope(number: id.rawValue, isOpener: true), isConnected: false,
        dueAt: now + Stream.patience), as: id)
    actions.append(.openStream(id, to: endpoint))
    return id
  }

  private mutating func insert(_ stream: Stream, as id: StreamID) {
    streams.insert(stream, as: id)
    if let dueAt = stream.dueAt { timers.add(.stream(id), at: dueAt) }
  }

  mutating func close(_ id: StreamID) {
    guard streams.remove(id) != nil else { return }
    actions.append(.closeStream(id))
  }

  mutating func take(_ event: StreamEvent, of id: StreamID) {
    switch event {
    case .accepted(let source): accept(id, from: source)
    case .connected: begin(id)
    case .frame(let bytes): take(bytes, on: id)
    case .closed(let end):
      if let stream = streams.remove(id) { noteEnd(of: stream, end) }
    }
  }

  private mutating func accept(_ id: StreamID, from source: Endpoint) {
    guard streams.acceptedCount < Stream.acceptedMax, departure == nil else {
      counters.refused[.limit] += 1
      return actions.append(.closeStream(id))
    }
    insert(
      Stream(
        endpoint: source, role: .accepted,
        seal: StreamEnvelope(number: id.rawValue, isOpener: false), isConnected: true,
        dueAt: now + Stream.patience), as: id)
  }

  /// It is connected: the first frame says what it is for.
  private mutating func begin(_ id: StreamID) {
    guard let stream = streams[id], id.isOwn, !stream.isConnected else { return }
    streams.update(id) { $0.isConnected = true }
    switch stream.role {
    case .contact, .exchange: offerView(on: id)
    case .ping(let number): pingByStream(probe: number, on: id)
    case .lifeline:
      streams.update(id) { $0.dueAt = nil }
      write(.hello(Hello(from: self.id, generation: claim.generation)), on: id)
    case .accepted, .answering, .held, .done: break
    }
  }

  private mutating func pingByStream(probe number: UInt32, on id: StreamID) {
    guard let probe = probes[number] else { return close(id) }
    let ping = Ping(
      sequence: ProbeTable.sequence(number, attempt: Probe.helpersAttempt), from: self.id,
      generation: claim.generation, target: probe.target,
      targetGeneration: probe.claim.generation, view: mark)
    write(.ping(ping), rumours: accusation(of: probe.target), on: id)
  }

  private mutating func take(_ bytes: ByteBufferView, on id: StreamID) {
    counters.framesReceived += 1
    counters.frameBytesReceived += UInt64(bytes.count)
    let packet: Packet
    do {
      guard let body = try streams.open(bytes, on: id, by: &envelope) else { return }
      packet = try Codec.decode(body)
    } catch let error as OpenError {
      return refuse(id, error.reason)
    } catch {
      return refuse(id, .malformed)
    }
    counters.received[packet.message.kind] += 1
    take(packet, on: id)
  }

  private mutating func refuse(_ id: StreamID, _ reason: PacketRefusal) {
    counters.refused[reason] += 1
    guard let stream = streams[id] else { return }
    close(id)
    if id.isOwn { noteEnd(of: stream, .reset) }
  }

  private mutating func take(_ packet: Packet, on id: StreamID) {
    guard let stream = streams[id] else { return }
    switch (stream.role, packet.message) {
    case (.accepted, .ping(let ping)):
      guard ping.target == self.id else { return refuse(id, .unexpected) }
      let isBehind = hear(packet.rumours, from: nil)
      streams.update(id) { $0.role = .done }
      let ack = Ack(
        sequence: ping.sequence, from: self.id, generation: claim.generation, view: mark)
      write(.ack(ack), rumours: lessons(for: ping, isBehind: isBehind), on: id)
      compare(ping.view, of: ping.from)
    case (.accepted, .hello(let hello)): hold(id, for: hello)
    case (.accepted, .offer(let offer)): answer(offer, packet.rumours, on: id)
    case (.answering, .rest(let rest)):
      _ = hear(packet.rumours, from: nil, inView: true)
      guard rest.isLast else { return }
      close(id)
      noteJoined(through: nil)
    case (.contact, .answer(let answer)), (.exchange, .answer(let answer)):
      take(answer, packet.rumours, on: id)
    case (.ping, .ack(let ack)):
      _ = hear(packet.rumours, from: nil)
      take(ack, from: nil)
    case (.held, .bye):
      // It closes it now, unless its machine is gone just then.
      streams.update(id) {
        $0.role = .done
        $0.dueAt = now + Stream.patience
      }
      timers.add(.stream(id), at: now + Stream.patience)
    case (.held, .gossip), (.lifeline, .gossip):
      _ = hear(packet.rumours, from: nil)
    default: refuse(id, .unexpected)
    }
  }

  /// One of each member: an older one is of a way, or a life, that broke unseen.
  private mutating func hold(_ id: StreamID, for hello: Hello) {
    let older = streams.ids {
      if case .held(by: hello.from, _) = $0.role { true } else { false }
    }
    for id in older { close(id) }
    streams.update(id) { $0.role = .held(by: hello.from, generation: hello.generation) }
  }

  /// Nobody waits on a stream for ever, but on the lifelines of members.
  mutating func expire(_ id: StreamID) {
    guard let stream = streams[id], let dueAt = stream.dueAt else { return }
    guard dueAt <= now else { return timers.add(.stream(id), at: dueAt) }
    if case .held(let member, _) = stream.role, roster[member]?.status.isPresent == true {
      return streams.update(id) { $0.dueAt = nil }
    }
    close(id)
    if id.isOwn { noteEnd(of: stream, .timedOut) }
  }

  /// It ended without this node's doing, and is gone from the table.
  private mutating func noteEnd(of stream: Stream, _ end: StreamEnd) {
    switch stream.role {
    case .contact: noteContact(stream.endpoint, succeeded: false)
    case .exchange: counters.syncsFailed += 1
    case .ping(let number): noteEnd(end, ofStreamOf: number)
    case .lifeline(let member, let generation), .held(let member, let generation):
      noteLifelineEnd(of: member, generation, end, wasConnected: stream.isConnected)
    case .accepted, .answering, .done: break
    }
  }

  /// All that hang on a member that is gone.
  mutating func closeStreams(with member: MemberID) {
    for id in streams.ids(where: { $0.role.member == member }) { close(id) }
  }
}
