// Clock, sockets, epoll and /proc: the few calls every load program makes.
import CLinux
import Glibc

/// Nanoseconds of the monotonic clock.
@inline(__always)
func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A connected, non-blocking TCP socket to 127.0.0.1 without Nagle's delay.
func connectLoopback(port: Int) -> CInt {
  let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { fail("socket: errno \(errno)") }
  let result = withLoopback(port: port) { connect(descriptor, $0, $1) }
  guard result == 0 else { fail("connect to port \(port): errno \(errno)") }
  makeQuick(descriptor)
  return descriptor
}

/// Without Nagle's delay, and non-blocking.
func makeQuick(_ descriptor: CInt) {
  var one: CInt = 1
  setsockopt(
    descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
  guard fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else { fail("fcntl: errno \(errno)") }
}

/// A non-blocking TCP socket that listens on 127.0.0.1.
func listenLoopback(port: Int) -> CInt {
  let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { fail("socket: errno \(errno)") }
  var one: CInt = 1
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<CInt>.size))
  let result = withLoopback(port: port) { bind(descriptor, $0, $1) }
  guard result == 0, listen(descriptor, 1024) == 0 else { fail("port \(port): errno \(errno)") }
  guard fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else { fail("fcntl: errno \(errno)") }
  return descriptor
}

private func withLoopback(
  port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
) -> CInt {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = UInt16(port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  let size = socklen_t(MemoryLayout<sockaddr_in>.size)
  return withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, size) }
  }
}

/// Waits until `descriptor` can be read, or written if asked; false after `milliseconds` (-1: never).
@discardableResult
func waitReady(_ descriptor: CInt, writing: Bool = false, milliseconds: CInt = -1) -> Bool {
  var entry = pollfd(
    fd: descriptor, events: Int16(POLLIN | (writing ? POLLOUT : 0)), revents: 0)
  return poll(&entry, 1, milliseconds) > 0
}

/// Writes all of `bytes` to a non-blocking socket, waiting as needed.
func writeAll(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) {
  var sent = 0
  while sent < bytes.count {
    let count = send(
      descriptor, bytes.baseAddress! + sent, bytes.count - sent, CInt(MSG_NOSIGNAL))
    if count > 0 {
      sent += count
    } else if errno == EAGAIN {
      var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      poll(&entry, 1, -1)
    } else if errno != EINTR {
      fail("send: errno \(errno)")
    }
  }
}

/// Level-triggered epoll; each descriptor carries the index its program knows it by.
final class Poller {
  private let descriptor = epoll_create1(0)
  private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: 1024)

  func add(_ target: CInt, index: Int, writing: Bool = false) {
    control(EPOLL_CTL_ADD, target, index, writing)
  }
  func change(_ target: CInt, index: Int, writing: Bool) {
    control(EPOLL_CTL_MOD, target, index, writing)
  }

  private func control(_ operation: CInt, _ target: CInt, _ index: Int, _ writing: Bool) {
    var event = epoll_event()
    event.events = EPOLLIN.rawValue | (writing ? EPOLLOUT.rawValue : 0)
    event.data.u64 = UInt64(index)
    guard epoll_ctl(descriptor, operation, target, &event) == 0 else {
      fail("epoll_ctl: errno \(errno)")
    }
  }

  /// Calls `body` with the index of each ready descriptor; returns how many there were.
  @inline(__always)
  func wait(milliseconds: CInt, _ body: (_ index: Int, _ isWritable: Bool) -> Void) -> Int {
    let count = epoll_wait(descriptor, events, 1024, milliseconds)
    guard count > 0 else { return 0 }
    for position in 0..<Int(count) {
      let event = events[position]
      body(Int(event.data.u64), event.events & EPOLLOUT.rawValue != 0)
    }
    return Int(count)
  }
}

/// CPU time and memory of other processes, from /proc.
enum ProcessUsage {
  /// User and system seconds of all threads, dead ones too; in steps of a hundredth.
  static func cpuSeconds(_ processes: [Int]) -> Double {
    var ticks = 0
    for process in processes {
      // The name in parentheses may hold spaces: fields count from behind it.
      let text = contents("/proc/\(process)/stat")
      guard let name = text.lastIndex(of: ")") else { fail("process \(process) is gone") }
      let fields = text[text.index(after: name)...].split(separator: " ")
      ticks += Int(fields[11])! + Int(fields[12])!
    }
    return Double(ticks) / Double(sysconf(CInt(_SC_CLK_TCK)))
  }

  static func residentBytes(_ processes: [Int]) -> Int {
    var bytes = 0
    for process in processes {
      let fields = contents("/proc/\(process)/statm").split(separator: " ")
      guard fields.count > 1, let pages = Int(fields[1]) else {
        fail("process \(process) is gone")
      }
      bytes += pages * Int(sysconf(CInt(_SC_PAGESIZE)))
    }
    return bytes
  }

  /// This process's own user and system seconds.
  static func ownSeconds() -> Double {
    var usage = rusage()
    getrusage(CInt(RUSAGE_SELF.rawValue), &usage)
    let whole = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
    return Double(whole) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
  }

  private static func contents(_ path: String) -> String {
    guard let file = fopen(path, "r") else { fail("\(path): errno \(errno)") }
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = fread(&buffer, 1, buffer.count, file)
    return String(decoding: buffer[..<count], as: UTF8.self)
  }
}

/// What is measured between the end of the warm-up and the deadline.
struct Window {
  let processes: [Int]
  let warmedAt: UInt64
  let endsAt: UInt64
  private(set) var isOpen = false
  private var openedAt: UInt64 = 0
  private var serverBefore = 0.0
  private var ownBefore = 0.0

  init(_ options: Options) {
    processes = options.processes()
    warmedAt = now() + options.seconds("warmup", 1)
    endsAt = warmedAt + options.seconds("seconds", 5)
  }

  /// True when the measurement begins with this call.
  @inline(__always)
  mutating func opens(at time: UInt64) -> Bool {
    guard !isOpen, time >= warmedAt else { return false }
    isOpen = true
    openedAt = time
    serverBefore = ProcessUsage.cpuSeconds(processes)
    ownBefore = ProcessUsage.ownSeconds()
    return true
  }

  /// Adds seconds and CPU to `report`; returns both.
  func close(into report: inout Report) -> (seconds: Double, serverSeconds: Double) {
    let seconds = Double(now() - openedAt) / 1e9
    let server = ProcessUsage.cpuSeconds(processes) - serverBefore
    report.add("seconds", seconds)
    report.add("server_cpu_seconds", server)
    report.add("load_cpu_seconds", ProcessUsage.ownSeconds() - ownBefore)
    return (seconds, server)
  }
}
