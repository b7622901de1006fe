// The Engine's own counters, read by `/metrics`.
import Synchronization

final class Meters: Sendable {
  let records = Atomic<Int>(0)
  let streamsCreated = Atomic<Int>(0)
  let streamsDeleted = Atomic<Int>(0)
}
