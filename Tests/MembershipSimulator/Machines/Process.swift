// One life of one member: the core itself, and what a kernel and a driver would keep for it.
import Membership
import NIOCore

/// What reaches a process from outside.
enum Input {
  case datagram(ByteBuffer, from: Endpoint)
  case refused(Endpoint)
  case accepted(StreamID, from: Endpoint)
  case connected(StreamID)
  case frame(StreamID, ByteBuffer)
  case closed(StreamID, StreamEnd)

  var code: UInt64 {
    switch self {
    case .datagram: 1
    case .refused: 2
    case .accepted: 3
    case .connected: 4
    case .frame: 5
    case .closed: 6
    }
  }

  var bytes: Int {
    switch self {
    case .datagram(let bytes, _), .frame(_, let bytes): bytes.readableBytes
    default: 0
    }
  }
}

final class Process {
  /// What a socket's buffer holds of a process that does not read: about 200 KB of small datagrams.
  static let backlogMax = 256
  /// What a kernel accepts for it meanwhile; to more it does not answer.
  static let backlogStreamsMax = 128

  /// Counts lives over the whole simulation.
  let number: Int
  /// The member's place in the simulation's list.
  let member: Int
  let host: Int
  let endpoint: Endpoint
  let clock: LocalClock
  let bornAt: Int64
  var swim: Swim
  var saboteur: Saboteur?

  var isRunning = true
  /// Made to stand still, or slow: what others think of it is its own fault.
  var isStressed = false
  /// Stopped as SIGSTOP does: bytes queue up, timers do not fire.
  var isFrozen = false
  var frozenAt: Int64 = 0
  var thawedAt: Int64 = -1
  /// What it had accused of when it stood still last.
  var accusationsBefore: UInt64 = 0
  var backlog: [Input] = []
  private(set) var backlogDatagrams = 0
  private(set) var backlogStreams = 0
  /// Each input takes up to so long, and those behind it wait.
  var lag: Int64 = 0
  var busyUntil: Int64 = 0
  var isTimerQueued = false
  /// When it did anything last.
  var lastStepAt: Int64 = 0
  /// When the agenda wakes it; `.max` if not at all.
  var wakeAt = Int64.max
  /// When it was told to leave.
  var leavingAt: Int64?

  /// Its streams: connection and side.
  var streams: [StreamID: (connection: Connection, side: Int)] = [:]
  private var streamsAccepted: UInt64 = 0

  var observation: Observation?
  var traffic = Traffic()

  init(
    number: Int, member: Int, host: Int, endpoint: Endpoint, clock: LocalClock, bornAt: Int64,
    swim: Swim
  ) {
    self.number = number
    self.member = member
    self.host = host
    self.endpoint = endpoint
    self.clock = clock
    self.bornAt = bornAt
    self.swim = swim
  }

  func takeAcceptedID() -> StreamID {
    streamsAccepted += 1
    return StreamID(2 * streamsAccepted - 1)
  }

  /// Keeps what comes while nobody reads.
  func queue(_ input: Input) {
    if case .datagram = input {
      guard backlogDatagrams < Self.backlogMax else { return }
      backlogDatagrams += 1
    }
    if case .accepted = input { backlogStreams += 1 }
    backlog.append(input)
  }

  func takeBacklog() -> [Input] {
    let inputs = backlog
    backlog = []
    backlogDatagrams = 0
    backlogStreams = 0
    return inputs
  }
}

/// What a process sent and got.
struct Traffic {
  var datagrams = 0
  var bytes = 0
  /// Since the current second of the simulation began.
  var second: Int64 = -1
  var datagramsInSecond = 0
  var datagramsInSecondMost = 0

  mutating func count(_ size: Int, at now: Int64) {
    datagrams += 1
    bytes += size
    let second = now / 1_000_000_000
    if second != self.second {
      self.second = second
      datagramsInSecond = 0
    }
    datagramsInSecond += 1
    datagramsInSecondMost = max(datagramsInSecondMost, datagramsInSecond)
  }
}
