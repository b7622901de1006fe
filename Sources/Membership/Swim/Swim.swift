// One node's membership: what it knows of the others, and what it does about it. No clock, sockets or chance of its
// own.
import NIOCore
import Wire

/// SWIM (Das, Gupta, Motivala, DSN 2002) with Lifeguard (Dadgar, Phillips, Currey, DSN 2018) and what
/// docs/membership.md describes beside them. Each input may add actions, which the shell carries out in their order.
///
/// Two times run in here. `clock` is the shell's; records carry it. `now` leaves out the time in which the node stood
/// still (`Stalls.swift`); whatever is waited for goes by that.
public struct Swim: Sendable {
  public let configuration: SwimConfiguration
  public internal(set) var counters = SwimCounters()
  /// Set once it left or was superseded; it does nothing any more.
  public internal(set) var isStopped = false
  /// The last one told; nil before the first.
  public internal(set) var view: View?

  // What it knows.
  var roster: Roster
  var schedule = ProbeSchedule()
  /// One for each suspect.
  var suspicions: [MemberID: Suspicion] = [:]
  var dissemination: Dissemination
  var stable: StableView
  /// Since when the digest of the records is what it is.
  var digestChangedAt: Instant

  // How it fares.
  var health = LocalHealth()
  var roundTrips = RoundTrip()
  var clock: Instant
  var now: Instant
  /// All time in which it stood still: `clock` − `now`.
  var stalled = Duration.zero
  /// Until then it accuses nobody, for it stood still.
  var mutedUntil: Instant

  // What is under way.
  var probes: ProbeTable
  var relays: [UInt32: Relay] = [:]
  var nextRelay: UInt32
  var hints: [Hint] = []
  var streams = StreamTable()
  var contacts: [Contact] = []
  /// When views were exchanged with somebody for the first time.
  var joinedAt: Instant?
  var joinedThrough: Endpoint?
  var lastExchangeAt: Instant?
  var ringChangedAt: Instant?
  var watch = Watch()
  var contest: Contest?
  var departure: Departure?
  var lastGossipAt: Instant?
  var hasUrgentNews = false
  let startedAt: Instant

  // What it works with.
  var envelope: Envelope
  var random: Random
  var timers = Timers()
  var actions: [Action] = []
  var scratch = ByteBuffer()
  var picks: [[UInt8]] = []

  /// - Parameters:
  ///   - profile: Its keys are taken from the key ring.
  ///   - generation: Of this life: the greater of what is stored plus one and the wall clock's milliseconds. It is
  ///     stored before this is called.
  ///   - keyring: None for a cluster that speaks in clear.
  ///   - label: Names the cluster; others are not understood.
  ///   - peers: Where to look for others: those that the operator named, and those remembered.
  ///   - seed: Of all chance; another one for each life.
  ///   - session: Of the seals; never the same twice with one key.
  public init(
    _ configuration: SwimConfiguration, id: MemberID, profile: Profile, generation: UInt64,
    keyring: Keyring?, label: String, peers: [Endpoint], seed: UInt64, session: UInt64,
    at now: Instant, into actions: inout [Action]
  ) {
    self.configuration = configuration
    clock = now
    self.now = now
    startedAt = now
    mutedUntil = now
    digestChangedAt = now
    envelope = Envelope(keyring: keyring, label: label, session: session)
    random = Random(seed: seed)
    // Answers that somebody recorded in an earlier life answer nothing in this one.
    probes = ProbeTable(after: UInt32(truncatingIfNeeded: random.next()))
    nextRelay = UInt32(truncatingIfNeeded: random.next()) & ~Relay.sequenceBit
    var profile = profile
    profile.keys = keyring?.ids ?? []
    let generation = min(generation, Codec.generationMax)
    let claim = Claim(generation: generation, incarnation: 0, status: .alive)
    roster = Roster(own: Member(id: id, claim: claim, profile: profile, since: now))
    dissemination = Dissemination(members: 1)
    let others = peers.filter { $0 != profile.endpoint }
    stable = StableView(isJoining: configuration.awaitsPeers || !others.isEmpty, at: now)

    guard begin(at: now, &actions) else { return }
    tellOwn()
    // So that those that start together do not probe in step.
    timers[.period] = now + .nanoseconds(Int64(random.below(Int(probePeriod.nanoseconds))))
    addContacts(others, areOriginal: true)
    end(&actions)
  }

  // MARK: - Inputs

  /// A datagram. Anything at all may come.
  public mutating func receive(
    _ bytes: ByteBufferView, from source: Endpoint, at now: Instant, into actions: inout [Action]
  ) {
    guard begin(at: now, &actions) else { return }
    take(bytes, from: source)
    end(&actions)
  }

  public mutating func stream(
    _ event: StreamEvent, _ stream: StreamID, at now: Instant, into actions: inout [Action]
  ) {
    guard begin(at: now, &actions) else { return }
    take(event, of: stream)
    end(&actions)
  }

  /// Something happened that makes one doubt that the member is there.
  public mutating func hint(
    _ evidence: Evidence, about member: MemberID, at now: Instant, into actions: inout [Action]
  ) {
    guard begin(at: now, &actions) else { return }
    if has(.evidence), isFirstHint(about: member) { examine(member) }
    end(&actions)
  }

  /// The other machine refused a datagram that was sent by `.sendAsking` (ICMP: port unreachable).
  public mutating func refused(
    by endpoint: Endpoint, at now: Instant, into actions: inout [Action]
  ) {
    guard begin(at: now, &actions) else { return }
    noteRefusal(ofDatagramsAt: endpoint)
    end(&actions)
  }

  /// Does what is due.
  public mutating func advance(to now: Instant, into actions: inout [Action]) {
    guard begin(at: now, &actions) else { return }
    while !isStopped, let alarm = timers.takeAlarm(at: self.now) { ring(alarm) }
    while !isStopped, let wake = timers.takeWake(at: self.now) { answer(wake) }
    end(&actions)
  }

  public mutating func perform(
    _ command: Command, at now: Instant, into actions: inout [Action]
  ) {
    guard begin(at: now, &actions) else { return }
    switch command {
    case .leave: leave()
    case .setMetadata(let metadata): renew { $0.metadata = metadata }
    case .setKeyring(let keyring): rotate(to: keyring)
    case .join(let endpoints): addContacts(endpoints)
    }
    end(&actions)
  }

  // MARK: - Turns

  /// When `advance` has something to do. In the past only if it has.
  public var nextDeadline: Instant? { isStopped ? nil : timers.earliest.map { $0 + stalled } }

  private mutating func begin(at time: Instant, _ actions: inout [Action]) -> Bool {
    guard !isStopped else { return false }
    swap(&self.actions, &actions)
    let last = now
    clock = max(clock, time)
    now = clock - stalled
    noticeStall(since: last)
    return true
  }

  private mutating func end(_ actions: inout [Action]) {
    if !isStopped {
      gossipIfNew()
      if departure == nil { timers[.view] = stable.deadline }
      while let first = timers.first, isStale(first) { timers.dropFirst() }
      if timers.count > timersMax { timers.keep(timers.wakes.map { !isStale($0) }) }
    }
    swap(&self.actions, &actions)
  }

  /// A flood of streams that end at once, or of answered probes, leaves timers behind; there are a few for each thing
  /// that is waited for.
  private var timersMax: Int {
    1024 + 16 * (probes.count + relays.count + suspicions.count + streams.count)
  }

  private mutating func ring(_ alarm: Alarm) {
    switch alarm {
    case .period: beginPeriod()
    case .gossip: gossip()
    case .contacts: contactPeers()
    case .review: review()
    case .lifelines: adjustRing()
    case .watch: askSuccessor()
    case .show: show()
    case .view: publishView()
    case .contest: pursueContest()
    case .leaving: pursueDeparture()
    case .snapshot: persist()
    case .expiry: forgetExpired()
    }
  }

  private mutating func answer(_ wake: Wake) {
    switch wake {
    case .probe(let number): pursueProbe(number)
    case .relay(let number): pursueRelay(number)
    case .suspicion(let suspect): pursueSuspicion(of: suspect)
    case .stream(let stream): expire(stream)
    }
  }

  private func isStale(_ wake: Wake) -> Bool {
    switch wake {
    case .probe(let number): probes[number] == nil
    case .relay(let number): relays[number] == nil
    case .suspicion(let suspect): suspicions[suspect] == nil
    case .stream(let stream): streams[stream] == nil
    }
  }

  func has(_ mechanism: Mechanisms) -> Bool { configuration.mechanisms.contains(mechanism) }
}

// MARK: - Reading

extension Swim {
  public var id: MemberID { roster.own.id }
  /// This node's record of itself.
  public var own: Member { roster.own }
  public var claim: Claim { roster.own.claim }
  /// All records, the own first, the dead and the left among them.
  public var members: some Sequence<Member> { roster.members }
  public var memberCount: Int { roster.count }
  public func count(_ status: Status) -> Int { roster.count(status) }
  /// O(1). The own record for the own id.
  public func member(_ id: MemberID) -> Member? { roster[id] }
  /// Equal hashes, equal records.
  public var viewHash: UInt64 { roster.digest.hash }
  /// 0, in good health, to 8.
  public var localHealthScore: Int { health.score }
  /// Smoothed, of direct pings; nil before the first answer.
  public var roundTrip: Duration? { roundTrips.estimate }
  public var queuedRumours: Int { dissemination.count }
  public var openStreams: Int { streams.count }
  public var openProbes: Int { probes.count }
  /// Timers, for tests of what is bounded.
  package var timerCount: Int { timers.count }

  /// For simulations: takes the records for known, without events or gossip, and its joining for done.
  package mutating func adopt(_ rumours: [Rumour], at time: Instant) {
    for rumour in rumours where roster[rumour.id] == nil {
      guard let change = roster.merge(rumour, at: time) else { continue }
      if change.after.status.isPresent {
        schedule.insert(rumour.id, in: roster, random: &random)
      }
    }
    dissemination = Dissemination(members: roster.presentCount)
    digestChangedAt = now
    joinedAt = now - Self.settledMin * 2
    stable.joined()
    ringChanged()
  }
}
