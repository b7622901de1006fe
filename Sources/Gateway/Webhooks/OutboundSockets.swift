// The sockets that libcurl waits for, in an epoll set that is told only what has really changed.
import CCurl
import CPlatform
import Engine
import Glibc

/// Belongs to its loop's thread.
///
/// A request on a kept connection makes libcurl drop its socket and want it again. Wishes are therefore only noted, and
/// compared with what epoll knows before the next wait: mostly nothing has changed. An idle socket stays in the set
/// until it speaks.
final class OutboundSockets {
  private struct Place {
    /// In epoll's bits.
    var wanted: UInt32 = 0
    var known: UInt32 = 0
    /// Opened by us, so that its closing passes through `close`; others are libcurl's own pipes.
    var isOurs = false
    var isNoted = false
  }

  private static let readable = EPOLLIN.rawValue
  private static let writable = EPOLLOUT.rawValue

  private let epoll: CInt
  private let wakeUp: CInt
  private var places: [Place] = []
  /// Sockets to be looked at before the next wait.
  private var noted: [CInt] = []
  private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: eventsMax)
  private static let eventsMax = 256
  /// Connections tried so far.
  private(set) var opened: UInt64 = 0

  init(wakeUp: CInt) {
    self.wakeUp = wakeUp
    epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
    precondition(epoll >= 0, "no epoll: errno \(errno)")
    var event = epoll_event(events: Self.readable, data: epoll_data(fd: wakeUp))
    precondition(epoll_ctl(epoll, EPOLL_CTL_ADD, wakeUp, &event) == 0, "epoll: errno \(errno)")
  }

  deinit {
    Glibc.close(epoll)
    events.deallocate()
  }

  /// A socket for libcurl, or -1.
  func open(_ family: CInt, _ type: CInt, _ transport: CInt) -> CInt {
    let flags = CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
    let socket = Glibc.socket(family, type | flags, transport)
    guard socket >= 0 else { return socket }
    opened += 1
    withPlace(socket) { $0 = Place(isOurs: true, isNoted: $0.isNoted) }
    return socket
  }

  func close(_ socket: CInt) -> CInt {
    withPlace(socket) { $0 = Place(isNoted: $0.isNoted) }
    return Glibc.close(socket)
  }

  /// Notes what libcurl waits for: one of CURL_POLL_….
  func wish(_ wish: CInt, for socket: CInt) {
    let wanted =
      switch wish {
      case CURL_POLL_IN: Self.readable
      case CURL_POLL_OUT: Self.writable
      case CURL_POLL_INOUT: Self.readable | Self.writable
      default: UInt32(0)
      }
    let isGone = withPlace(socket) { place in
      place.wanted = wanted
      if wanted == 0, !place.isOurs {
        // Closed behind our back from now on: its number may come back as another file.
        place.known = 0
        return true
      }
      if !place.isNoted, place.wanted != place.known {
        place.isNoted = true
        noted.append(socket)
      }
      return false
    }
    if isGone { epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nil) }
  }

  func isWanted(_ socket: CInt) -> Bool {
    if places[Int(socket)].wanted != 0 { return true }
    // An idle connection that speaks or ends: libcurl will see when it wants to use it.
    forget(socket)
    return false
  }

  /// Tells epoll what has changed.
  func apply() {
    for socket in noted {
      let place = places[Int(socket)]
      places[Int(socket)].isNoted = false
      if place.wanted == place.known { continue }
      if place.wanted == 0 {
        // Kept as it is, unless it would be ready all the time.
        if place.known & Self.writable != 0 { forget(socket) }
        continue
      }
      var event = epoll_event(events: place.wanted, data: epoll_data(fd: socket))
      let change = place.known == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD
      if epoll_ctl(epoll, change, socket, &event) != 0 {
        // A number that was closed and opened again behind our back.
        let other = errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD
        let result = epoll_ctl(epoll, other, socket, &event)
        precondition(result == 0, "epoll: socket \(socket), errno \(errno)")
      }
      places[Int(socket)].known = place.wanted
    }
    noted.removeAll(keepingCapacity: true)
  }

  struct Event {
    var socket: CInt
    /// CURL_CSELECT_…; libcurl finds out itself what is wrong with a socket.
    var mask: CInt
  }

  /// Waits until a socket is ready or that time has come; nil: as long as it takes.
  func wait(until due: Duration?) -> [Event] {
    var milliseconds: CInt = -1
    if let due {
      let left = due - SystemTime().monotonic
      // Rounded up: to be early means to be called again.
      milliseconds = left <= .zero ? 0 : CInt(min(left / .milliseconds(1), 60_000)) + 1
    }
    let count = epoll_wait(epoll, events, CInt(Self.eventsMax), milliseconds)
    precondition(count >= 0 || errno == EINTR, "epoll_wait: errno \(errno)")
    guard count > 0 else { return [] }
    return (0..<Int(count)).map { index in
      let event = events[index]
      let troubled = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
      var mask: CInt = 0
      if troubled || event.events & Self.readable != 0 { mask |= CURL_CSELECT_IN }
      if troubled || event.events & Self.writable != 0 { mask |= CURL_CSELECT_OUT }
      return Event(socket: event.data.fd, mask: mask)
    }
  }

  private func forget(_ socket: CInt) {
    epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nil)
    places[Int(socket)].known = 0
  }

  @discardableResult
  private func withPlace<Result>(_ socket: CInt, _ body: (inout Place) -> Result) -> Result {
    while places.count <= Int(socket) { places.append(Place()) }
    return body(&places[Int(socket)])
  }
}
