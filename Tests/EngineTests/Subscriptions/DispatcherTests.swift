// The dispatcher by example: what each promise of it looks like.
import Testing
import Wire

@testable import Engine

func moment(_ milliseconds: Int64) -> Instants {
  Instants(
    monotonic: .milliseconds(milliseconds), wall: Timestamp(milliseconds: 1_000_000 + milliseconds))
}

/// A dispatcher of one shard with what its shell would keep.
final class Desk {
  var core: Dispatcher
  var now = moment(0)
  var places: [Offset]

  init(
    _ policy: DispatchPolicy, keys: [UInt64], state: DispatchState = DispatchState(places: [.zero])
  ) {
    core = Dispatcher(policy, epoch: 7, state: state, firstLease: 1, now: now)
    places = state.tracks.map(\.floor)
    feed(keys)
  }

  func feed(_ keys: [UInt64]) {
    guard let place = core.fetchPlace(TrackID(0))?.place else { return }
    core.arrived(
      TrackID(0), place..<(place + keys.count), keys: core.policy.ordering == .key ? keys : [],
      now: now)
  }

  func commit() {
    if core.takeChanges() != nil { core.committed(now: now) }
  }

  func wait(_ milliseconds: Int64) {
    now = moment(now.monotonic.milliseconds + milliseconds)
    core.tick(now: now)
  }

  func take(_ consumer: ConsumerID, _ max: Int, asUnit: Bool = false) -> [AckID] {
    core.take(consumer, max: max, asUnit: asUnit, now: now)?.ids ?? []
  }

  func lease(_ consumer: ConsumerID, _ max: Int, asUnit: Bool = false) -> DispatchLease? {
    core.take(consumer, max: max, asUnit: asUnit, now: now)
  }

  func ack(_ ids: [AckID]) -> [SettleStatus] { settle(Settlement(ack: ids)) }

  func settle(_ request: Settlement) -> [SettleStatus] { core.settle(request, now: now) }

  func settle(_ lease: DispatchLease, _ verdict: UnitVerdict) -> Bool {
    core.settleUnit(lease.serial, verdict, now: now)
  }

  func burials() -> [Condemned] { core.nextBurials(max: 4) }
}

extension DispatchLease {
  var ids: [AckID] {
    pieces.flatMap { piece in
      piece.picks.map {
        AckID(track: piece.track.rawValue, offset: $0.offset, lease: serial, epoch: 7)
      }
    }
  }
  var offsets: [UInt64] { pieces.flatMap { $0.picks.map(\.offset.rawValue) } }
  var deliveries: [Int] { pieces.flatMap { $0.picks.map(\.delivery) } }
}

extension [AckID] {
  var offsets: [UInt64] { map(\.offset.rawValue) }
}

private func policy(_ change: (inout DispatchPolicy) -> Void = { _ in }) -> DispatchPolicy {
  var policy = DispatchPolicy()
  change(&policy)
  return policy
}

struct DispatcherTests {
  @Test func `an acknowledged record is settled at the commit and never comes again`() {
    let desk = Desk(policy(), keys: [0, 0, 0])
    let worker = desk.core.join(share: nil)
    let ids = desk.take(worker, 2)
    #expect(ids.offsets == [0, 1])
    #expect(desk.ack([ids[1], ids[0], ids[0]]) == [.ok, .ok, .stale])
    #expect(desk.core.summary.tracks[0].floor == .zero)
    desk.commit()
    #expect(desk.core.summary.tracks[0].floor == Offset(2))
    desk.wait(100_000)
    #expect(desk.take(worker, 10).offsets == [2])
  }

  @Test func `the next of a key waits until those before it are settled, durably`() {
    let desk = Desk(policy(), keys: [1, 2, 1, 1])
    let one = desk.core.join(share: nil)
    let two = desk.core.join(share: nil)
    let first = desk.take(one, 1)
    #expect(first.offsets == [0])
    #expect(desk.take(two, 10).offsets == [1])
    #expect(desk.ack(first) == [.ok])
    #expect(desk.take(two, 10) == [])
    desk.commit()
    #expect(desk.take(two, 10).offsets == [2, 3])
  }

  @Test func `losing one of a key takes back those after it, which is no failure of theirs`() {
    let desk = Desk(policy { $0.maxDeliveries = 2 }, keys: [1, 1, 1, 2])
    let one = desk.core.join(share: nil)
    let ids = desk.take(one, 10)
    #expect(ids.offsets == [0, 1, 2, 3])
    let answers = desk.settle(Settlement(nak: [.init(ids[1])]))
    #expect(answers == [.ok])
    #expect(desk.ack([ids[2], ids[0], ids[3]]) == [.stale, .ok, .ok])
    #expect(desk.take(one, 10) == [])
    desk.commit()
    let again = desk.lease(one, 10)
    #expect(again?.offsets == [1, 2])
    #expect(again?.deliveries == [2, 2])
    #expect(again?.pieces[0].picks.map(\.failures) == [1, 0])
  }

  @Test func `a deadline that passes gives the record to others after its back-off`() {
    let desk = Desk(
      policy {
        $0.ackDeadline = .seconds(3)
        $0.backoff = [.seconds(1), .seconds(5)]
      }, keys: [1, 0])
    let one = desk.core.join(share: nil)
    let ids = desk.take(one, 2)
    #expect(desk.core.nextDue == .seconds(3))
    desk.wait(2999)
    #expect(
      desk.settle(Settlement(extend: [.init(ids[1], by: .seconds(3))])) == [.ok]
    )
    desk.wait(1)
    #expect(desk.ack([ids[0]]) == [.stale])
    #expect(desk.take(one, 2) == [])
    desk.wait(1000)
    #expect(desk.take(one, 2).offsets == [0])
    #expect(desk.ack([ids[1]]) == [.ok])
  }

  @Test func `after its last delivery a record is buried once, and its key goes on before`() {
    let desk = Desk(
      policy {
        $0.maxDeliveries = 1
        $0.buries = true
      }, keys: [1, 1])
    let one = desk.core.join(share: nil)
    let ids = desk.take(one, 1)
    _ = desk.settle(Settlement(nak: [.init(ids[0])]))
    #expect(desk.burials() == [])
    #expect(desk.take(one, 1) == [])
    desk.commit()
    let letters = desk.burials()
    #expect(letters.map(\.offset) == [.zero])
    #expect(letters.map(\.reason) == ["max_deliveries"])
    #expect(desk.burials() == [])
    desk.core.burialsFailed()
    #expect(desk.burials() == letters)
    let next = desk.take(one, 1)
    #expect(next.offsets == [1])
    #expect(desk.ack(next) == [.ok])
    desk.commit()
    #expect(desk.core.summary.tracks[0].floor == .zero)
    desk.core.buried(0, at: BurialPlace(shard: 0, offset: Offset(9)))
    desk.commit()
    #expect(desk.core.summary.tracks[0].floor == Offset(2))
    #expect(desk.core.history.buriedCount == 1)
  }

  @Test func `what a consumer had is for others at once when it leaves`() {
    let desk = Desk(policy { $0.ordering = .none }, keys: [0, 0, 0])
    let one = desk.core.join(share: 2)
    let two = desk.core.join(share: nil)
    #expect(desk.take(one, 10).offsets == [0, 1])
    #expect(desk.take(two, 10).offsets == [2])
    desk.core.leave(one, countsAsFailure: true, now: desk.now)
    #expect(desk.take(two, 10).offsets == [0, 1])
  }

  @Test func `who is active shares what may be in flight`() {
    let desk = Desk(policy { $0.maxInFlight = 10 }, keys: Array(repeating: 0, count: 40))
    let one = desk.core.join(share: nil)
    let two = desk.core.join(share: nil)
    #expect(desk.core.credit(of: one) == 10)
    desk.core.setWaiting(true, one)
    desk.core.setWaiting(true, two)
    #expect(desk.take(one, 100).count == 5)
    #expect(desk.take(two, 100).count == 5)
    #expect(desk.core.hunger == 0)
  }

  @Test func `a unit comes again as it was, and is split before anything is given up`() {
    let desk = Desk(
      policy {
        $0.ackDeadline = nil; $0.maxDeliveries = nil; $0.buries = true
      }, keys: [1, 1, 2])
    let hook = desk.core.join(share: nil)
    let first = desk.lease(hook, 2, asUnit: true)
    #expect(first?.offsets == [0, 1])
    #expect(first?.isNewUnit == true)
    desk.commit()
    #expect(
      desk.settle(first!, .retry(after: .seconds(5), countsAsFailure: true)))
    desk.wait(5000)
    let again = desk.lease(hook, 2, asUnit: true)
    #expect(again?.offsets == [0, 1])
    #expect(again?.unit == first?.unit)
    #expect(again?.isNewUnit == false)
    #expect(again?.deliveries == [2, 2])
    #expect(desk.settle(again!, .exhausted(reason: "500")))
    let alone = desk.lease(hook, 2, asUnit: true)
    #expect(alone?.offsets == [0])
    #expect(alone?.unit == nil)
    #expect(desk.settle(alone!, .exhausted(reason: "500")))
    desk.commit()
    #expect(desk.burials().map(\.offset) == [.zero])
    #expect(desk.lease(hook, 2, asUnit: true)?.offsets == [1])
    #expect(desk.lease(hook, 2, asUnit: true)?.offsets == [2])
  }

  @Test func `what was trimmed is a gap, and who has it cannot settle it`() {
    let desk = Desk(policy(), keys: [1, 1, 0, 0])
    let one = desk.core.join(share: nil)
    let ids = desk.take(one, 2)
    desk.core.missing(TrackID(0), below: Offset(10), now: desk.now)
    #expect(desk.ack(ids) == [.stale, .stale])
    #expect(desk.core.history.gapRecords == 10)
    #expect(desk.core.fetchPlace(TrackID(0))?.place == Offset(10))
    #expect(desk.core.inFlight == 0)
  }

  @Test func `what a journal holds is what goes on after a restart`() {
    let start = DispatchState(places: [.zero])
    let desk = Desk(policy { $0.backoff = [.seconds(9)] }, keys: [1, 1, 0, 0, 0], state: start)
    let one = desk.core.join(share: nil)
    let ids = desk.take(one, 5)
    _ = desk.settle(Settlement(ack: [ids[2], ids[4]], nak: [.init(ids[0])]))
    var replay = DispatchReplay(start)
    replay.apply(desk.core.takeChanges()!)
    desk.core.committed(now: desk.now)
    #expect(replay.state == desk.core.state(now: desk.now))
    let next = Desk(desk.core.policy, keys: [1, 1, 0, 0, 0], state: replay.state)
    let two = next.core.join(share: nil)
    #expect(next.take(two, 5).offsets == [3])
    next.wait(9000)
    #expect(next.lease(two, 5)?.deliveries == [2, 2])
  }

  @Test func `a unit shows its members in the same order at every attempt`() {
    let desk = Desk(
      policy { $0.ackDeadline = nil }, keys: [0, 0],
      state: DispatchState(places: [.zero, .zero]))
    let hook = desk.core.join(share: nil)
    // The first shard's record is the second to be taken.
    #expect(desk.take(hook, 1).count == 1)
    desk.core.arrived(TrackID(1), .zero..<Offset(2), keys: [0, 0], now: desk.now)
    var orders: Set<[TrackID]> = []
    for _ in 0..<4 {
      guard let lease = desk.lease(hook, 3, asUnit: true) else { break }
      orders.insert(lease.pieces.map(\.track))
      desk.commit()
      let isKnown = desk.core.settleUnit(
        lease.serial, .retry(after: .zero, countsAsFailure: false), now: desk.now)
      #expect(isKnown)
    }
    #expect(orders == [[TrackID(0), TrackID(1)]])
  }

  @Test func `giving a record up takes those of its key behind it from nobody`() {
    let desk = Desk(policy { $0.buries = true }, keys: [7, 7, 7, 7])
    let one = desk.core.join(share: nil)
    let ids = desk.take(one, 3)
    let request = Settlement(term: [.init(ids[0], reason: "x"), .init(ids[1], reason: "y")])
    #expect(desk.core.settle(request, now: desk.now) == [.ok, .ok])
    desk.commit()
    #expect(desk.core.take(one, max: 9, asUnit: false, now: desk.now) == nil)
    #expect(desk.core.settle(Settlement(ack: [ids[2]]), now: desk.now) == [.ok])
    desk.commit()
    #expect(desk.take(one, 9).offsets == [3])
  }

  @Test func `a replay of what failed goes through these only, and then away`() {
    let desk = Desk(policy { $0.maxDeliveries = 1 }, keys: [0, 0, 0, 0])
    let one = desk.core.join(share: nil)
    let ids = desk.take(one, 4)
    _ = desk.core.settle(
      Settlement(
        ack: [ids[0], ids[2]], term: [.init(ids[1], reason: "x"), .init(ids[3], reason: "y")]),
      now: desk.now)
    desk.commit()
    let failed = desk.core.history.failed(inShard: 0, within: .zero..<Offset(4))
    #expect(failed == OffsetRanges(offsets: [1, 3]))
    let track = desk.core.addReplay(shardIndex: 0, offsets: .zero..<Offset(4), only: failed)
    desk.commit()
    #expect(desk.core.fetchPlace(track)?.place == Offset(1))
    desk.core.arrived(track, Offset(1)..<Offset(4), keys: [0, 0, 0], now: desk.now)
    let again = desk.take(one, 9)
    #expect(again.offsets == [1, 3])
    #expect(desk.ack(again) == [.ok, .ok])
    desk.commit()
    #expect(desk.core.trackIDs == [TrackID(0)])
    #expect(desk.core.history.failed(inShard: 0, within: .zero..<Offset(4)).isEmpty)
  }
}
