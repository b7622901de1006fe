// What a message costs the dispatcher: the same with few and with many unacknowledged, with few and with many keys.
import Testing
import Wire

@testable import Engine

struct DispatcherWorkTests {
  /// Slots and queue entries looked at for each of 2,000 messages that come, are taken and acknowledged in tens, and
  /// committed, while `inFlight` others are out.
  private func steps(inFlight: Int, ordering: DispatchPolicy.Ordering, keys: Int) -> Int {
    var policy = DispatchPolicy()
    policy.ordering = ordering
    policy.maxInFlight = inFlight + 2000
    var core = Dispatcher(
      policy, epoch: 1, state: DispatchState(places: [.zero]), firstLease: 1, now: moment(0))
    let worker = core.join(share: nil)
    var random = Random(seed: 1)
    func feed(_ count: Int) {
      guard let place = core.fetchPlace(TrackID(0))?.place else { return }
      let hashes = (0..<count).map { _ in UInt64(1 + random.below(keys)) }
      core.arrived(
        TrackID(0), place..<(place + count), keys: ordering == .key ? hashes : [], now: moment(0))
    }
    // So many that stay out; of another key each, so that they hold nobody up.
    feed(inFlight)
    while core.inFlight < inFlight,
      core.take(worker, max: inFlight - core.inFlight, asUnit: false, now: moment(0)) != nil
    {}
    let before = core.steps
    for _ in 0..<200 {
      feed(10)
      let lease = core.take(worker, max: 10, asUnit: false, now: moment(0))
      let ids = (lease?.pieces ?? []).flatMap { piece in
        piece.picks.map {
          AckID(
            track: piece.track.rawValue, offset: $0.offset, lease: lease!.serial, epoch: 1)
        }
      }
      _ = core.settle(Settlement(ack: ids), now: moment(0))
      if core.takeChanges() != nil { core.committed(now: moment(0)) }
    }
    return core.steps - before
  }

  @Test func `a message costs as much with 100,000 in flight as with 100`() {
    for ordering in [DispatchPolicy.Ordering.none, .key] {
      let few = steps(inFlight: 100, ordering: ordering, keys: 1 << 40)
      let many = steps(inFlight: 100_000, ordering: ordering, keys: 1 << 40)
      #expect(few <= 2000 * 6)
      #expect(many <= few + 100, "\(few) and \(many)")
    }
  }

  @Test func `a slot takes 32 bytes`() {
    #expect(MemoryLayout<Slot>.stride == 32)
  }
}
