// Decides which requests go out now and which wait: so many in all, so many to one origin, turns between origins.

/// A value; it starts nothing itself.
struct OutboundDesk {
  enum Arrival { case start, wait, busy }

  private final class Origin {
    var inFlight = 0
    var waiting: [OutboundCall] = []
    /// Of `waiting`; those before it have gone.
    var first = 0
    /// Whether it stands in `turns`.
    var hasTurn = false
    var isIdle: Bool { inFlight == 0 && first == waiting.count }
  }

  private let callsMax: Int
  private let callsPerOriginMax: Int
  private let waitingMax: Int
  private var origins: [String: Origin] = [:]
  /// Origins kept when those without work were last dropped.
  private var originsKept = 0
  /// Origins that have something waiting and may have more in flight.
  private var turns: [Origin] = []
  private var firstTurn = 0
  private(set) var inFlight = 0
  private(set) var waiting = 0

  init(callsMax: Int, callsPerOriginMax: Int, waitingMax: Int) {
    self.callsMax = callsMax
    self.callsPerOriginMax = callsPerOriginMax
    self.waitingMax = waitingMax
  }

  mutating func arrive(_ call: OutboundCall) -> Arrival {
    let origin = origin(of: call)
    if inFlight < callsMax, origin.inFlight < callsPerOriginMax,
      origin.first == origin.waiting.count,
      firstTurn == turns.count
    {
      origin.inFlight += 1
      inFlight += 1
      return .start
    }
    guard waiting < waitingMax else { return .busy }
    origin.waiting.append(call)
    waiting += 1
    giveTurn(origin)
    return .wait
  }

  /// The answer to `call` is there, or it was given up: its place is free.
  mutating func ended(_ call: OutboundCall) {
    let origin = origin(of: call)
    precondition(origin.inFlight > 0 && inFlight > 0, "nothing ends that has not begun")
    origin.inFlight -= 1
    inFlight -= 1
    giveTurn(origin)
  }

  /// One that waited and is to start now.
  mutating func next() -> OutboundCall? {
    while inFlight < callsMax, firstTurn < turns.count {
      let origin = turns[firstTurn]
      firstTurn += 1
      if firstTurn == turns.count {
        turns.removeAll(keepingCapacity: true)
        firstTurn = 0
      }
      origin.hasTurn = false
      guard origin.first < origin.waiting.count else { continue }
      let call = origin.waiting[origin.first]
      origin.first += 1
      // Moved down now and then, so that what has gone does not stay.
      if origin.first == origin.waiting.count || origin.first >= 1024 {
        origin.waiting.removeFirst(origin.first)
        origin.first = 0
      }
      origin.inFlight += 1
      inFlight += 1
      waiting -= 1
      giveTurn(origin)
      return call
    }
    return nil
  }

  /// Whether it waited, and does no more.
  mutating func withdraw(_ call: OutboundCall) -> Bool {
    guard let origin = origins[call.request.target.origin],
      let place = origin.waiting[origin.first...].firstIndex(where: { $0 === call })
    else { return false }
    origin.waiting.remove(at: place)
    waiting -= 1
    return true
  }

  mutating func withdrawAll() -> [OutboundCall] {
    let all = origins.values.flatMap { $0.waiting[$0.first...] }
    origins = origins.filter { $0.value.inFlight > 0 }
    for origin in origins.values {
      origin.waiting = []
      origin.first = 0
      origin.hasTurn = false
    }
    turns = []
    firstTurn = 0
    waiting = 0
    return all
  }

  private mutating func giveTurn(_ origin: Origin) {
    guard !origin.hasTurn, origin.first < origin.waiting.count,
      origin.inFlight < callsPerOriginMax
    else { return }
    origin.hasTurn = true
    turns.append(origin)
  }

  private mutating func origin(of call: OutboundCall) -> Origin {
    let name = call.request.target.origin
    if let origin = origins[name] { return origin }
    if origins.count >= 2 * originsKept + 1024 {
      origins = origins.filter { !$0.value.isIdle }
      originsKept = origins.count
    }
    let origin = Origin()
    origins[name] = origin
    return origin
  }
}
