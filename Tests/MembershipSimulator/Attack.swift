// Bytes from strangers: noise, pieces and damaged copies of real packets, other clusters' packets. They change nothing.
import Membership
import NIOCore
import Wire

/// All of a core that bytes could change, as far as it can be seen from outside.
private struct Fingerprint: Equatable {
  let claim: Claim
  let viewHash: UInt64
  let records: Int
  let queuedRumours: Int
  let openStreams: Int
  let localHealthScore: Int
  let view: UInt64?
  let nextDeadline: Instant?

  init(_ swim: Swim) {
    claim = swim.claim
    viewHash = swim.viewHash
    records = swim.memberCount
    queuedRumours = swim.queuedRumours
    openStreams = swim.openStreams
    localHealthScore = swim.localHealthScore
    view = swim.view?.id
    nextDeadline = swim.nextDeadline
  }
}

extension Cluster {
  private static let promise = "bytes from strangers change nothing"

  /// Only when no timer is due: what a timer does is not the bytes' doing.
  func attack(_ process: Process, _ random: inout Random) {
    let now = process.clock.instant(at: world.now)
    guard process.isRunning, process.busyUntil <= world.now,
      process.swim.nextDeadline.map({ now < $0 }) ?? true
    else { return }
    let bytes = forge(&random)
    promises.counts.attacks += 1
    if random.oneIn(4) { return attackByStream(process, bytes) }
    let from = hosts[random.below(hosts.count)].endpoint
    let before = Fingerprint(process.swim)
    var actions: [Action] = []
    process.swim.receive(bytes.readableBytesView, from: from, at: now, into: &actions)
    judge(process, before, actions, bytes)
  }

  private func attackByStream(_ process: Process, _ bytes: ByteBuffer) {
    let now = process.clock.instant(at: world.now)
    let id = process.takeAcceptedID()
    let before = Fingerprint(process.swim)
    var actions: [Action] = []
    process.swim.stream(
      .accepted(from: hosts[0].endpoint), id, at: now, into: &actions)
    process.swim.stream(.frame(bytes.readableBytesView), id, at: now, into: &actions)
    var closed = false
    for action in actions {
      if case .closeStream(id) = action { closed = true }
    }
    if !closed { process.swim.stream(.closed(.reset), id, at: now, into: &actions) }
    judge(process, before, actions.filter { !isClose($0, of: id) }, bytes)
  }

  private func isClose(_ action: Action, of stream: StreamID) -> Bool {
    if case .closeStream(stream) = action { true } else { false }
  }

  private func judge(
    _ process: Process, _ before: Fingerprint, _ actions: [Action], _ bytes: ByteBuffer
  ) {
    let after = Fingerprint(process.swim)
    if before != after {
      world.violate(
        Self.promise,
        "\(promises.name(process)) was \(before), is \(after) after \(bytes.readableBytes) bytes")
    } else if let action = actions.first {
      world.violate(
        Self.promise, "\(promises.name(process)) answers \(bytes.readableBytes) bytes: \(action)")
    }
  }

  private func forge(_ random: inout Random) -> ByteBuffer {
    guard !overheard.isEmpty, !random.oneIn(5) else { return noise(&random) }
    let real = overheard[random.below(overheard.count)].bytes
    var bytes = Array(real.readableBytesView)
    if bug == .checksumForgotten || bug == .windowForgotten {
      return Rewriter.forged(real, bug == .windowForgotten ? keysEver : nil, &random)
    }
    switch random.below(4) {
    case 0: bytes.removeLast(1 + random.below(bytes.count))
    case 1: bytes.append(contentsOf: (0...random.below(40)).map { _ in UInt8(random.below(256)) })
    case 2: return foreign(&random)
    default:
      for _ in 0...random.below(3) {
        bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
      }
      // Two flips of one bit are none.
      if bytes == Array(real.readableBytesView) { bytes[0] ^= 0x80 }
    }
    return ByteBuffer(bytes: bytes)
  }

  /// A good packet of a cluster with another label.
  private func foreign(_ random: inout Random) -> ByteBuffer {
    var envelope = Envelope(keyring: keysEver, label: "another", session: random.next())
    let seat = promises.seats[random.below(promises.seats.count)]
    var body = ByteBuffer()
    Codec.encode(.gossip(Gossip(from: seat.id)), into: &body)
    return envelope.seal(body)
  }

  private func noise(_ random: inout Random) -> ByteBuffer {
    ByteBuffer(bytes: (0..<random.below(1400)).map { _ in UInt8(random.below(256)) })
  }
}
