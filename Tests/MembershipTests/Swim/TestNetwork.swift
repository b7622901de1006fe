// A few nodes on a network of virtual time: datagrams and streams with a delay, lost, cut, refused, as a seed has it.
import NIOCore
import Wire

@testable import Membership

final class TestNetwork {
  struct Node {
    let id: MemberID
    let endpoint: Endpoint
    var swim: Swim?
    /// Counts lives, so that nothing of an earlier one arrives.
    var life = 0
    var frozenUntil: Instant?
    var waiting: [Delivery] = []
    var events: [(at: Instant, event: Event)] = []
    var snapshots: [Snapshot] = []
    var stopped: StopReason?
    var nextAccepted: UInt64 = 1
  }

  enum Delivery {
    case datagram(ByteBuffer, from: Endpoint)
    case stream(StreamEvent, StreamID)
    case refused(Endpoint)
  }

  private enum Due {
    case deliver(Delivery, to: Int, life: Int)
    case wake(Int)
    case connect(from: Int, life: Int, StreamID, to: Endpoint)
    case call(() -> Void)
  }

  /// One end of a stream, and the other.
  private struct End: Hashable {
    let node: Int
    let life: Int
    let stream: StreamID
  }

  private(set) var now = Instant(nanoseconds: 1_700_000_000_000_000_000)
  private(set) var nodes: [Node] = []
  var configuration = SwimConfiguration()
  var keyring: Keyring?
  /// Of datagrams that get lost.
  var loss = 0.0
  var delay = Duration.microseconds(200)
  /// Whether nothing, not even a datagram, gets from one node to another.
  var isCut: (Int, Int) -> Bool = { _, _ in false }
  var isCutForDatagrams: (Int, Int) -> Bool = { _, _ in false }
  /// Sees every datagram that arrives somewhere.
  var tap: ((ByteBuffer, _ from: Endpoint, _ to: Int) -> Void)?
  private(set) var datagramBytesMaxSeen = 0
  private(set) var datagramsSent = 0
  private(set) var bytesSent = 0

  private var random: Random
  private var heap: [(at: Instant, order: Int, due: Due)] = []
  private var order = 0
  private var pairs: [End: End] = [:]
  private var ends: [End] = []

  init(seed: UInt64) { random = Random(seed: seed) }

  static func id(_ index: Int) -> MemberID { MemberID("n\(index)")! }
  static func endpoint(_ index: Int) -> Endpoint {
    Endpoint(ipv4: 0x7f00_0001, port: UInt16(7000 + index))!
  }

  // MARK: - Nodes

  /// Starts a node; `index` says its id and, unless told otherwise, its address.
  @discardableResult
  func start(
    _ index: Int, id: MemberID? = nil, peers: [Endpoint] = [], generation: UInt64? = nil,
    metadata: Metadata = Metadata(), configuration: SwimConfiguration? = nil
  ) -> Int {
    let at = nodes.count
    nodes.append(Node(id: id ?? Self.id(index), endpoint: Self.endpoint(index)))
    restart(
      at, peers: peers, generation: generation, metadata: metadata, configuration: configuration)
    return at
  }

  func restart(
    _ index: Int, peers: [Endpoint], generation: UInt64? = nil, metadata: Metadata = Metadata(),
    configuration: SwimConfiguration? = nil
  ) {
    precondition(nodes[index].swim == nil, "it runs")
    nodes[index].life += 1
    nodes[index].stopped = nil
    var actions: [Action] = []
    let swim = Swim(
      configuration ?? self.configuration, id: nodes[index].id,
      profile: Profile(endpoint: nodes[index].endpoint, metadata: metadata),
      generation: generation ?? UInt64(now.nanoseconds / 1_000_000), keyring: keyring,
      label: "test", peers: peers, seed: random.next(), session: random.next(), at: now,
      into: &actions)
    nodes[index].swim = swim
    carryOut(actions, of: index)
  }

  /// The process is gone, and the kernel closes its sockets.
  func kill(_ index: Int) {
    nodes[index].swim = nil
    nodes[index].waiting = []
    nodes[index].frozenUntil = nil
    for end in ends where end.node == index {
      guard let other = pairs[end] else { continue }
      forget(end)
      deliver(.stream(.closed(.ended), other.stream), to: other)
    }
  }

  func freeze(_ index: Int, for duration: Duration) {
    nodes[index].frozenUntil = now + duration
    at(now + duration) { [unowned self] in
      guard let end = self.nodes[index].frozenUntil, end <= self.now else { return }
      self.nodes[index].frozenUntil = nil
      let waiting = self.nodes[index].waiting
      self.nodes[index].waiting = []
      for delivery in waiting { self.take(delivery, at: index) }
      self.push(.wake(index), at: self.now)
    }
  }

  func at(_ time: Instant, _ body: @escaping () -> Void) { push(.call(body), at: time) }

  func perform(_ command: Command, on index: Int) {
    input(index) { swim, now, actions in swim.perform(command, at: now, into: &actions) }
  }

  func hint(about id: MemberID, on index: Int) {
    input(index) { swim, now, actions in
      swim.hint(.connectionFailed, about: id, at: now, into: &actions)
    }
  }

  /// Any bytes from anywhere.
  func inject(_ bytes: ByteBuffer, from source: Endpoint, to index: Int) -> [Action] {
    var seen: [Action] = []
    input(index) { swim, now, actions in
      swim.receive(bytes.readableBytesView, from: source, at: now, into: &actions)
      seen = actions
    }
    return seen
  }

  /// Records that come to it by no packet.
  func adopt(_ rumours: [Rumour], on index: Int) {
    input(index) { swim, now, _ in swim.adopt(rumours, at: now) }
  }

  /// Streams from somewhere, which say nothing.
  func open(_ count: Int, at index: Int) {
    for number in 0..<count {
      take(
        .stream(.accepted(from: Self.endpoint(900)), StreamID(UInt64(number) * 2 + 1_000_001)),
        at: index)
    }
  }

  /// A stream from somewhere on which that is said, in clear, and nothing after it.
  func open(_ number: Int, saying messages: [Message], at index: Int) {
    var envelope = Envelope(keyring: nil, label: "test", session: 99)
    var seal = StreamEnvelope(number: 2, isOpener: true)
    let stream = StreamID(UInt64(number) * 2 + 2_000_001)
    take(.stream(.accepted(from: Self.endpoint(900)), stream), at: index)
    for message in messages {
      var body = ByteBuffer()
      Codec.encode(message, into: &body)
      let frame = envelope.seal(body, on: &seal)
      take(.stream(.frame(frame.readableBytesView), stream), at: index)
    }
  }

  func openAndClose(_ count: Int, at index: Int) {
    for number in 0..<count {
      let stream = StreamID(UInt64(number) * 2 + 1_000_001)
      take(.stream(.accepted(from: Self.endpoint(900)), stream), at: index)
      take(.stream(.closed(.ended), stream), at: index)
    }
  }

  // MARK: - Time

  func run(for duration: Duration) {
    let end = now + duration
    while let first = heap.first, first.at <= end { step() }
    now = end
  }

  /// Whether it came true within that time.
  func run(atMost duration: Duration, until condition: () -> Bool) -> Bool {
    let end = now + duration
    while !condition() {
      guard let first = heap.first, first.at <= end else {
        now = end
        return condition()
      }
      step()
    }
    return true
  }

  private func step() {
    let (at, _, due) = pop()
    now = max(now, at)
    switch due {
    case .call(let body): body()
    case .wake(let index):
      guard nodes[index].frozenUntil == nil, let swim = nodes[index].swim,
        let deadline = swim.nextDeadline, deadline <= now
      else { return }
      input(index) { swim, now, actions in swim.advance(to: now, into: &actions) }
    case .connect(let index, let life, let stream, let endpoint):
      connect(index, life, stream, to: endpoint)
    case .deliver(let delivery, let index, let life):
      guard nodes[index].life == life, nodes[index].swim != nil else { return }
      if nodes[index].frozenUntil != nil {
        nodes[index].waiting.append(delivery)
      } else {
        take(delivery, at: index)
      }
    }
  }

  private func take(_ delivery: Delivery, at index: Int) {
    input(index) { swim, now, actions in
      switch delivery {
      case .datagram(let bytes, let source):
        swim.receive(bytes.readableBytesView, from: source, at: now, into: &actions)
      case .stream(let event, let stream):
        swim.stream(event, stream, at: now, into: &actions)
      case .refused(let endpoint): swim.refused(by: endpoint, at: now, into: &actions)
      }
    }
  }

  private func input(_ index: Int, _ body: (inout Swim, Instant, inout [Action]) -> Void) {
    guard nodes[index].swim != nil else { return }
    var actions: [Action] = []
    body(&nodes[index].swim!, now, &actions)
    carryOut(actions, of: index)
  }

  // MARK: - Actions

  private func carryOut(_ actions: [Action], of index: Int) {
    for action in actions {
      switch action {
      case .send(let bytes, let to): send(bytes, from: index, to: to, isAsking: false)
      case .sendAsking(let bytes, let to): send(bytes, from: index, to: to, isAsking: true)
      case .openStream(let stream, let to):
        push(
          .connect(from: index, life: nodes[index].life, stream, to: to), at: now + delay)
      case .write(let stream, let frame):
        guard let other = pairs[End(node: index, life: nodes[index].life, stream: stream)]
        else { continue }
        if !isCut(index, other.node) {
          deliver(.stream(.frame(frame.readableBytesView), other.stream), to: other)
        }
      case .closeStream(let stream):
        let end = End(node: index, life: nodes[index].life, stream: stream)
        guard let other = pairs[end] else { continue }
        forget(end)
        deliver(.stream(.closed(.ended), other.stream), to: other)
      case .emit(let event): nodes[index].events.append((now, event))
      case .persist(let snapshot): nodes[index].snapshots.append(snapshot)
      case .stop(let reason):
        nodes[index].stopped = reason
        kill(index)
        return
      }
    }
    if let deadline = nodes[index].swim?.nextDeadline {
      push(.wake(index), at: max(now, deadline))
    }
  }

  private func running(at endpoint: Endpoint) -> Int? {
    nodes.lastIndex { $0.endpoint == endpoint && $0.swim != nil }
  }

  private func send(_ bytes: ByteBuffer, from index: Int, to endpoint: Endpoint, isAsking: Bool) {
    datagramBytesMaxSeen = max(datagramBytesMaxSeen, bytes.readableBytes)
    datagramsSent += 1
    bytesSent += bytes.readableBytes
    if Double(random.below(1_000_000)) < loss * 1_000_000 { return }
    guard let to = running(at: endpoint) else {
      if isAsking {
        push(
          .deliver(.refused(endpoint), to: index, life: nodes[index].life),
          at: now + delay * 2)
      }
      return
    }
    guard !isCut(index, to), !isCutForDatagrams(index, to) else { return }
    tap?(bytes, nodes[index].endpoint, to)
    let wobble = Duration.microseconds(Int64(random.below(100)))
    push(
      .deliver(
        .datagram(bytes, from: nodes[index].endpoint), to: to, life: nodes[to].life),
      at: now + delay + wobble)
  }

  private func connect(_ index: Int, _ life: Int, _ stream: StreamID, to endpoint: Endpoint) {
    let own = End(node: index, life: life, stream: stream)
    guard nodes[index].life == life, nodes[index].swim != nil else { return }
    guard let to = running(at: endpoint) else {
      return deliver(.stream(.closed(.refused), stream), to: own)
    }
    guard !isCut(index, to), !isCut(to, index) else {
      return push(
        .deliver(.stream(.closed(.timedOut), stream), to: index, life: life),
        at: now + .seconds(1))
    }
    let other = End(
      node: to, life: nodes[to].life, stream: StreamID(nodes[to].nextAccepted))
    nodes[to].nextAccepted += 2
    pairs[own] = other
    pairs[other] = own
    ends += [own, other]
    deliver(.stream(.accepted(from: nodes[index].endpoint), other.stream), to: other)
    deliver(.stream(.connected, stream), to: own)
  }

  private func forget(_ end: End) {
    guard let other = pairs.removeValue(forKey: end) else { return }
    pairs[other] = nil
    ends.removeAll { $0 == end || $0 == other }
  }

  private func deliver(_ delivery: Delivery, to end: End) {
    push(.deliver(delivery, to: end.node, life: end.life), at: now + delay)
  }

  // MARK: - The heap

  private func push(_ due: Due, at time: Instant) {
    heap.append((time, order, due))
    order += 1
    var child = heap.count - 1
    while child > 0, isBefore(child, (child - 1) / 2) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private func pop() -> (at: Instant, order: Int, due: Due) {
    heap.swapAt(0, heap.count - 1)
    let first = heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && isBefore(child, least) { least = child }
      if least == parent { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }

  private func isBefore(_ left: Int, _ right: Int) -> Bool {
    (heap[left].at, heap[left].order) < (heap[right].at, heap[right].order)
  }
}

// MARK: - What tests ask

extension TestNetwork {
  /// Nodes 0..<count, each joining through the first, all started within a moment; then left alone for a while.
  static func cluster(
    of count: Int, seed: UInt64, settle: Duration = .seconds(5),
    prepare: (TestNetwork) -> Void = { _ in }
  ) -> TestNetwork {
    let network = TestNetwork(seed: seed)
    prepare(network)
    for index in 0..<count { network.start(index, peers: index == 0 ? [] : [endpoint(0)]) }
    network.run(for: settle)
    return network
  }

  var running: [Int] { nodes.indices.filter { nodes[$0].swim != nil } }

  func swim(_ index: Int) -> Swim { nodes[index].swim! }

  func status(of member: Int, at observer: Int) -> Status? {
    nodes[observer].swim?.member(nodes[member].id)?.status
  }

  /// Whether every running node, but those that are left out, holds the member for that.
  func all(hold member: Int, _ status: Status, but excluded: Set<Int> = []) -> Bool {
    running.allSatisfy {
      $0 == member || excluded.contains($0) || self.status(of: member, at: $0) == status
    }
  }

  func hasEqualRecords() -> Bool {
    Set(running.map { nodes[$0].swim!.viewHash }).count == 1
  }

  /// Whether everybody's last view is of just these.
  func allView(_ members: [Int]) -> Bool {
    let ids = members.map { nodes[$0].id }.sorted()
    return members.allSatisfy { nodes[$0].swim?.view?.members == ids }
  }

  /// What a node told of another, in words.
  func story(of member: Int, at observer: Int, since: Instant? = nil) -> [String] {
    let id = nodes[member].id
    return nodes[observer].events.filter { $0.at >= since ?? $0.at }.compactMap {
      switch $0.event {
      case .joined(let member): member.id == id ? "joined" : nil
      case .suspected(let member, _): member.id == id ? "suspected" : nil
      case .refuted(let member): member.id == id ? "refuted" : nil
      case .died(let member): member.id == id ? "died" : nil
      case .left(let member): member.id == id ? "left" : nil
      case .updated(let member): member.id == id ? "updated" : nil
      case .view, .superseded: nil
      }
    }
  }

  func views(at observer: Int, since: Instant) -> [View] {
    nodes[observer].events.filter { $0.at >= since }.compactMap {
      if case .view(let view) = $0.event { view } else { nil }
    }
  }
}
