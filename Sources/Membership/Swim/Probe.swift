// A probe under way: whom it asks, what came back, and when it is to be decided.

struct Probe: Sendable {
  /// Pings of one probe are told apart by the lowest bits of their sequence, so that each answer gives a true round
  /// trip (Karn's rule, RFC 6298 §3, without its loss of samples).
  static let attemptBits: UInt32 = 3
  static let attemptsMax = 6
  /// In place of an attempt: what helpers are asked.
  static let helpersAttempt: UInt32 = 7

  let target: MemberID
  let endpoint: Endpoint
  let claim: Claim
  let startedAt: Instant
  let verdictAt: Instant
  /// Because of evidence: it asks by all means at once.
  var isUrgent: Bool
  /// How many pings were sent, and when the last one.
  var attempts = 0
  var attemptAt: Instant
  var nextAttemptAt: Instant
  var helpers: [MemberID] = []
  var hasAskedHelpers = false
  /// Which helpers said that they had no answer.
  var nacks: [MemberID] = []
  var stream: StreamID?
  var isRefusedByDatagram = false
  var isRefusedByStream = false
  /// A stream ended before it brought an answer: a process that is just ending, or starting.
  var hasBrokenStream = false

  var isRefused: Bool { isRefusedByDatagram && isRefusedByStream }
  var dueAt: Instant { min(nextAttemptAt, verdictAt) }
}

/// Somebody doubted a member.
struct Hint: Sendable {
  let member: MemberID
  let at: Instant
}

/// One probe a member at most.
struct ProbeTable: Sendable {
  static let countMax = 64
  /// The highest bit marks relayed pings, the lowest count attempts.
  private static let numberMask: UInt32 = 0x7fff_ffff >> Probe.attemptBits

  private var probes: [UInt32: Probe] = [:]
  /// In the order of their beginning; few.
  private var numbers: [UInt32] = []
  private var numberOf: [MemberID: UInt32] = [:]
  private var lastNumber: UInt32

  init(after number: UInt32) { lastNumber = number & Self.numberMask }

  var count: Int { numbers.count }
  var isFull: Bool { numbers.count >= Self.countMax }

  subscript(number: UInt32) -> Probe? { probes[number] }
  func number(for target: MemberID) -> UInt32? { numberOf[target] }

  mutating func nextNumber() -> UInt32 {
    lastNumber = (lastNumber + 1) & Self.numberMask
    return lastNumber
  }

  mutating func insert(_ probe: Probe) -> UInt32 {
    let number = nextNumber()
    probes[number] = probe
    numbers.append(number)
    numberOf[probe.target] = number
    return number
  }

  mutating func update(_ number: UInt32, _ change: (inout Probe) -> Void) {
    guard probes[number] != nil else { return }
    change(&probes[number]!)
  }

  mutating func remove(_ number: UInt32) -> Probe? {
    guard let probe = probes.removeValue(forKey: number) else { return nil }
    numbers.removeAll { $0 == number }
    numberOf[probe.target] = nil
    return probe
  }

  func numbers(at endpoint: Endpoint) -> [UInt32] {
    numbers.filter { probes[$0]!.endpoint == endpoint }
  }

  static func sequence(_ number: UInt32, attempt: UInt32) -> UInt32 {
    number << Probe.attemptBits | attempt
  }
}
