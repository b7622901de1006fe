// Tells systemd, if it started this process, that it is ready or stopping (sd_notify(3), without its library).
import Glibc

struct ServiceManager {
  /// The path of the socket in NOTIFY_SOCKET; nil if nobody asked to be told.
  let socketPath: String?

  init(environment: [String: String]) { socketPath = environment["NOTIFY_SOCKET"] }

  func tellReady() { tell("READY=1") }
  func tellStopping() { tell("STOPPING=1") }

  private func tell(_ state: String) {
    var address = sockaddr_un()
    let capacity = MemoryLayout.size(ofValue: address.sun_path)
    guard var path = socketPath.map({ Array($0.utf8) }), !path.isEmpty, path.count < capacity else {
      return
    }
    // A leading @ stands for Linux's abstract name space, whose names begin with NUL.
    if path[0] == UInt8(ascii: "@") { path[0] = 0 }
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
    let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + path.count)
    let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    let bytes = Array(state.utf8)
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        // Nothing is to be done about a manager that does not listen.
        _ = sendto(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL), address, length)
      }
    }
  }
}
