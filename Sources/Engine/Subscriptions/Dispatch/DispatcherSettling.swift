// What consumers say of what they were given.
import Wire

extension Dispatcher {
  static let tooManyDeliveries = "max_deliveries"

  /// A request's words, in the order ack, term, extend, nak, so that a key's nak does not undo an ack beside it.
  /// Answers are in the order ack, nak, extend, term.
  ///
  /// `ok` of an ack and a term holds once what `takeChanges` gives next is durable. An id twice is stale the second
  /// time.
  mutating func settle(_ request: Settlement, now: Instants) -> [SettleStatus] {
    var answers = [SettleStatus](repeating: .stale, count: request.count)
    for (place, id) in request.ack.enumerated() {
      guard let (seat, offset) = find(id) else { continue }
      acknowledge(offset, in: seat)
      answers[place] = .ok
    }
    let terms = request.ack.count + request.nak.count + request.extend.count
    for (place, term) in request.term.enumerated() {
      guard let (seat, offset) = find(term.id) else { continue }
      leaveLease(offset, in: seat)
      condemn(offset, in: seat, reason: term.reason, isLost: false, now)
      answers[terms + place] = .ok
    }
    let extensions = request.ack.count + request.nak.count
    var apart: Apart?
    for (place, more) in request.extend.enumerated() {
      guard let (seat, offset) = find(more.id) else { continue }
      extend(offset, in: seat, by: more.by, &apart, now)
      answers[extensions + place] = .ok
    }
    for (place, nak) in request.nak.enumerated() {
      guard let (seat, offset) = find(nak.id) else { continue }
      lose(record: offset, in: seat, .failed(delay: nak.delay?.nanoseconds), now)
      answers[request.ack.count + place] = .ok
    }
    return answers
  }

  /// A word on all that a lease holds still; false: there is no such lease any more.
  mutating func settleUnit(_ lease: UInt64, _ verdict: UnitVerdict, now: Instants) -> Bool {
    guard let index = leases.index(of: lease) else { return false }
    let unit = leases[index].unit
    let runs = leases[index].runs
    switch verdict {
    case .delivered:
      if unit != 0 { end(unit: unit - 1) }
      eachMember(of: runs, in: .inFlight, holder: index) { core, seat, offset in
        core.acknowledge(offset, in: seat)
      }
    case .retry(let after, let countsAsFailure):
      let delay = max(0, after.nanoseconds)
      lose(lease: index, countsAsFailure ? .failed(delay: delay) : .back(delay: delay), now)
    case .exhausted(let reason):
      if unit != 0 {
        units[unit - 1].deliveries += 1
        units[unit - 1].failures += 1
        exhaust(unit: index, reason: reason, now)
        return true
      }
      eachMember(of: runs, in: .inFlight, holder: index) { core, seat, offset in
        core.leaveLease(offset, in: seat)
        core.condemn(offset, in: seat, reason: reason, isLost: false, now)
      }
    case .split:
      guard unit != 0 else {
        lose(lease: index, .failed(delay: 0), now)
        return true
      }
      units[unit - 1].deliveries += 1
      units[unit - 1].failures += 1
      split(index, now)
    }
    return true
  }

  /// What the lease holds never reached its consumer: for others at once, as if it had never been delivered.
  mutating func giveBack(_ lease: UInt64, now: Instants) {
    guard let index = leases.index(of: lease) else { return }
    lose(lease: index, .back(delay: 0), now)
  }

  /// The same for some of what leases hold, e.g. what is too much for one answer. A unit loses members so in the turn
  /// that formed it only.
  mutating func giveBack(_ ids: [AckID], now: Instants) {
    for id in ids {
      guard let (seat, offset) = find(id, inUnits: true) else { continue }
      leaveUnit(offset, in: seat)
      lose(record: offset, in: seat, .back(delay: 0), now)
    }
  }

  /// The same for all but the first `countKept` picks of a lease's pieces, which nobody has settled or lost yet.
  mutating func giveBackRest(_ lease: UInt64, keep countKept: Int, now: Instants) {
    guard let index = leases.index(of: lease) else { return }
    // Pieces stand in the order in which their tracks were first asked, so that no track is cut off every time.
    let runs = leases[index].runs
    var seats: [Int] = []
    for run in 0..<runs.count where !seats.contains(Int(runs[run].seat)) {
      seats.append(Int(runs[run].seat))
    }
    // A unit's stand in one order for ever.
    if leases[index].unit != 0 { seats.sort { tracks[$0].id < tracks[$1].id } }
    var offsets: [[UInt64]] = seats.map { _ in [] }
    eachMember(of: runs, in: .inFlight, holder: index) { _, seat, offset in
      offsets[seats.firstIndex(of: seat)!].append(offset)
    }
    var countLeft = countKept
    var rest: [(seat: Int, offset: UInt64)] = []
    for (seat, offsets) in zip(seats, offsets) {
      rest += offsets.dropFirst(countLeft).map { (seat, $0) }
      countLeft = max(0, countLeft - offsets.count)
    }
    for (seat, offset) in rest.reversed() {
      leaveUnit(offset, in: seat)
      lose(record: offset, in: seat, .back(delay: 0), now)
    }
  }

  private func find(_ id: AckID, inUnits: Bool = false) -> (seat: Int, offset: UInt64)? {
    guard id.epoch == epoch, let seat = seat(of: TrackID(id.track)) else { return nil }
    let offset = id.offset.rawValue
    guard tracks[seat].holds(offset) else { return nil }
    let slot = tracks[seat].slots[tracks[seat].index(offset)]
    guard slot.state == .inFlight else { return nil }
    guard leases[slot.holder].serial == id.lease, inUnits || leases[slot.holder].unit == 0 else {
      return nil
    }
    return (seat, offset)
  }

  private mutating func acknowledge(_ offset: UInt64, in seat: Int) {
    slotSteps &+= 1
    leaveLease(offset, in: seat)
    tracks[seat].slots[tracks[seat].index(offset)].state = .settling
    if tracks[seat].acked.isEmpty { ackedSeats.append(seat) }
    tracks[seat].acked.append(offset)
  }

  /// A lease made of those of another one that have the same new deadline.
  private struct Apart {
    var serial: UInt64
    var by: Duration
    var index: UInt32
  }

  private mutating func extend(
    _ offset: UInt64, in seat: Int, by: Duration, _ apart: inout Apart?, _ now: Instants
  ) {
    guard policy.ackDeadline != nil else { return }
    let old = tracks[seat].slots[tracks[seat].index(offset)].holder
    let due = now.monotonic.nanoseconds.later(by: max(0, by.nanoseconds))
    if let apart, apart.index == old, apart.by == by { return }
    if leases[old].live == 1 {
      if apart?.index == old { apart = nil }
      leases.unschedule(old)
      schedule(old, due, nextInSequence())
      return
    }
    let serial = leases[old].serial
    let index: UInt32
    if let apart, apart.serial == serial, apart.by == by {
      index = apart.index
    } else {
      index = leases.make(serial: serial, consumer: leases[old].consumer)
      consumers.adopt(index, &leases)
      schedule(index, due, nextInSequence())
      apart = Apart(serial: serial, by: by, index: index)
    }
    leases[old].live -= 1
    leases[index].live += 1
    leases[index].runs.add(seat: UInt32(seat), offset: offset)
    tracks[seat].slots[tracks[seat].index(offset)].holder = index
  }

  /// The record is in no lease any more; the last one that leaves ends it.
  mutating func leaveLease(_ offset: UInt64, in seat: Int) {
    let index = tracks[seat].slots[tracks[seat].index(offset)].holder
    tracks[seat].inFlight -= 1
    inFlightTotal -= 1
    consumers.change(leases[index].consumer) { $0.inFlight -= 1 }
    leases[index].live -= 1
    if leases[index].live == 0 {
      consumers.disown(index, &leases)
      leases.unschedule(index)
      leases.end(index)
    }
  }

  /// The record is in no unit any more, if it was, but still in the lease.
  func unit(of offset: UInt64, in seat: Int) -> UInt32? {
    let slot = tracks[seat].slots[tracks[seat].index(offset)]
    guard slot.state == .inFlight, case let unit = leases[slot.holder].unit, unit != 0 else {
      return nil
    }
    return unit - 1
  }

  mutating func leaveUnit(_ offset: UInt64, in seat: Int) {
    guard let unit = unit(of: offset, in: seat) else { return }
    shrink(unit: unit, by: tracks[seat].id, offset)
    memberLeft(unit)
  }
}
