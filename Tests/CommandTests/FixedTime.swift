// A clock that stands still.
import Engine
import Wire

struct FixedTime: TimeSource {
  var now: Timestamp { Timestamp(milliseconds: 0) }
  var monotonic: Duration { .zero }
}
