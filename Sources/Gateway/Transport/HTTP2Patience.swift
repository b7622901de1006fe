// How many idle frames an HTTP/2 peer may send: a bucket that honest work fills and floods empty.
import CNghttp2

/// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, unknown frames and empty DATA each cost a point; requests, data
/// and the passing of time earn them. An honest peer sends a few for each frame of data; a flood sends nothing else
/// (CVE-2019-9511 … -9518).
struct HTTP2Patience {
  private static let pointsMax = 4000
  private static let pointsAtStart = 2000
  private static let pointsPerTick = 50

  private var points = pointsAtStart
  private var tick: UInt64

  init(tick: UInt64) { self.tick = tick }

  var isExhausted: Bool { points < 0 }

  mutating func received(type: UInt8, bytes: Int, endsStream: Bool, tick now: UInt64) {
    if now != tick {
      earn(Int(min(now - tick, 100)) * Self.pointsPerTick)
      tick = now
    }
    switch nghttp2_frame_type(UInt32(type)) {
    case NGHTTP2_HEADERS: earn(2)
    case NGHTTP2_DATA:
      if bytes > 0 || endsStream { earn(2) } else { spend(1) }
    default: spend(1)
    }
  }

  /// DATA invites WINDOW_UPDATE frames for the stream and for the connection.
  mutating func sent(type: UInt8) {
    if nghttp2_frame_type(UInt32(type)) == NGHTTP2_DATA { earn(3) }
  }

  mutating func spend(_ count: Int) { points -= count }

  private mutating func earn(_ count: Int) {
    // What is exhausted stays so, until the session has seen it.
    if points >= 0 { points = min(points + count, Self.pointsMax) }
  }
}
