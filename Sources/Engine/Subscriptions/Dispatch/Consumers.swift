// Who takes records, how many each may have, and which leases are whose.

struct Consumer {
  var generation: UInt32
  var isHere = false
  var share: Int?
  var isWaiting = false
  var inFlight = 0
  /// Its leases, oldest first; indices and one.
  var firstLease: UInt32 = 0
  var lastLease: UInt32 = 0

  /// Counts in the fair share.
  var isActive: Bool { isHere && (isWaiting || inFlight > 0) }
}

struct Consumers {
  private var seats: [Consumer] = []
  private var free: [UInt32] = []
  private(set) var activeCount = 0

  mutating func join(share: Int?) -> ConsumerID {
    let index: UInt32
    if let reused = free.popLast() {
      index = reused
    } else {
      index = UInt32(seats.count)
      seats.append(Consumer(generation: 0))
    }
    let generation = seats[Int(index)].generation + 1
    seats[Int(index)] = Consumer(generation: generation, isHere: true, share: share)
    return ConsumerID(index: index, generation: generation)
  }

  mutating func leave(_ id: ConsumerID) {
    change(id.index) {
      precondition($0.inFlight == 0, "in flight \($0.inFlight)")
      $0.isHere = false
    }
    free.append(id.index)
  }

  func isHere(_ id: ConsumerID) -> Bool {
    seats.indices.contains(Int(id.index)) && seats[Int(id.index)].isHere
      && seats[Int(id.index)].generation == id.generation
  }

  subscript(index: UInt32) -> Consumer { seats[Int(index)] }

  func id(_ index: UInt32) -> ConsumerID {
    ConsumerID(index: index, generation: seats[Int(index)].generation)
  }

  mutating func change(_ index: UInt32, _ body: (inout Consumer) -> Void) {
    let wasActive = seats[Int(index)].isActive
    body(&seats[Int(index)])
    activeCount += (seats[Int(index)].isActive ? 1 : 0) - (wasActive ? 1 : 0)
  }

  /// Its part of `total` if everybody who is active has as much.
  func fairShare(of index: UInt32, total: Int) -> Int {
    let count = max(1, activeCount + (seats[Int(index)].isActive ? 0 : 1))
    return (total + count - 1) / count
  }

  mutating func adopt(_ lease: UInt32, _ leases: inout Leases) {
    let owner = Int(leases[lease].consumer)
    let last = seats[owner].lastLease
    leases[lease].previousOfConsumer = last
    leases[lease].nextOfConsumer = 0
    if last == 0 {
      seats[owner].firstLease = lease + 1
    } else {
      leases[last - 1].nextOfConsumer = lease + 1
    }
    seats[owner].lastLease = lease + 1
  }

  mutating func disown(_ lease: UInt32, _ leases: inout Leases) {
    let owner = Int(leases[lease].consumer)
    let previous = leases[lease].previousOfConsumer
    let next = leases[lease].nextOfConsumer
    if previous == 0 {
      seats[owner].firstLease = next
    } else {
      leases[previous - 1].nextOfConsumer = next
    }
    if next == 0 {
      seats[owner].lastLease = previous
    } else {
      leases[next - 1].previousOfConsumer = previous
    }
  }
}
