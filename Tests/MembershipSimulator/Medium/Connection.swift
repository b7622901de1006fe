// A stream between two processes as kernels keep it: bytes in order, however late, and the end of either side.
import Membership
import NIOCore

final class Connection {
  /// Kernels send again after 200 ms, then twice as late each time.
  static let resendFirst: Int64 = 200_000_000
  static let resendMost: Int64 = 5_000_000_000
  /// And give up: Linux after about 15 minutes, a user's patience earlier.
  static let patience: Int64 = 30_000_000_000
  /// The driver's own limit for a connect.
  static let connectTimeout: Int64 = 1_000_000_000

  enum Item {
    case frame(ByteBuffer)
    case end(StreamEnd)
  }

  struct End {
    var process: Process
    var stream: StreamID
    var isOpen = true
  }

  /// One direction: what its sender wrote and its receiver has not got.
  struct Line {
    var items: [Item] = []
    /// How many of `items`, from the front, are through.
    var done = 0
    /// The agenda has an entry for the first of `items`.
    var isArmed = false
    /// Since when the first item is not getting through.
    var stuckSince: Int64?
    var resendAfter = Connection.resendFirst

    var first: Item? { done < items.count ? items[done] : nil }

    mutating func removeFirst() {
      done += 1
      if done == items.count {
        items.removeAll(keepingCapacity: true)
        done = 0
      }
      stuckSince = nil
      resendAfter = Connection.resendFirst
    }

    mutating func removeAll() {
      items = []
      done = 0
    }
  }

  let hosts: (opener: Int, acceptor: Int)
  /// The opener's, and the acceptor's once it is there.
  var ends: [End]
  /// From the opener, to the opener.
  var lines = [Line(), Line()]
  var isEstablished = false

  init(opener: Process, stream: StreamID, to host: Int) {
    hosts = (opener.host, host)
    ends = [End(process: opener, stream: stream)]
  }

  func host(of side: Int) -> Int { side == 0 ? hosts.opener : hosts.acceptor }
}
