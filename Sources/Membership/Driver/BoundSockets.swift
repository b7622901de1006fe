// A member's two sockets, bound before anything runs: UDP and TCP on one port.
import Glibc
import NIOCore

/// Why there is no socket.
public struct SocketFailure: Error, CustomStringConvertible, Sendable {
  public enum Kind: String, Sendable {
    case datagrams = "UDP"
    case streams = "TCP"
  }
  public var kind: Kind
  public var code: CInt
  public var description: String { "\(kind.rawValue): \(String(cString: strerror(code)))" }
}

/// Closes them unless they are taken.
public struct BoundSockets: ~Copyable {
  /// -1 when taken.
  private var datagrams: CInt
  private var listener: CInt
  /// With the port that was picked, if 0 was asked for.
  public let address: SocketAddress

  /// Binds both. For port 0 the system picks one that is free for both.
  public init(_ wanted: SocketAddress) throws(SocketFailure) {
    // A port that is free for UDP may be taken for TCP; that so many are in a row does not happen.
    var attemptsLeft = (wanted.port ?? 0) == 0 ? 32 : 1
    while true {
      attemptsLeft -= 1
      let datagrams = try openSocket(.datagrams, wanted)
      do throws(SocketFailure) {
        try bindSocket(datagrams, .datagrams, wanted)
        var address = wanted
        address.port = try boundPort(datagrams)
        let listener = try openSocket(.streams, wanted)
        do throws(SocketFailure) {
          try bindSocket(listener, .streams, address)
          try check(.streams) { listen(listener, 128) }
        } catch {
          close(listener)
          throw error
        }
        self.datagrams = datagrams
        self.listener = listener
        self.address = address
        return
      } catch {
        close(datagrams)
        guard error.code == EADDRINUSE, attemptsLeft > 0 else { throw error }
      }
    }
  }

  deinit {
    if datagrams >= 0 { close(datagrams) }
    if listener >= 0 { close(listener) }
  }

  mutating func take() -> (datagrams: CInt, listener: CInt) {
    defer { (datagrams, listener) = (-1, -1) }
    return (datagrams, listener)
  }
}

/// A socket for datagrams that hears only `peer`, and is told when nothing listens there.
func connectedDatagramSocket(from local: SocketAddress, to peer: SocketAddress)
  throws(SocketFailure) -> CInt
{
  let descriptor = try openSocket(.datagrams, peer)
  do throws(SocketFailure) {
    var source = local
    source.port = 0
    try bindSocket(descriptor, .datagrams, source)
    try check(.datagrams) {
      peer.withSockAddr { connect(descriptor, $0, socklen_t($1)) }
    }
  } catch {
    close(descriptor)
    throw error
  }
  return descriptor
}

private func openSocket(_ kind: SocketFailure.Kind, _ address: SocketAddress)
  throws(SocketFailure) -> CInt
{
  let type = kind == .datagrams ? SOCK_DGRAM : SOCK_STREAM
  let flags = SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
  let isIPv6 = address.protocol == .inet6
  return try check(kind) { socket(isIPv6 ? AF_INET6 : AF_INET, CInt(type.rawValue | flags), 0) }
}

private func bindSocket(
  _ descriptor: CInt, _ kind: SocketFailure.Kind, _ address: SocketAddress
) throws(SocketFailure) {
  if kind == .streams {
    // Connections of the life before may still be in TIME_WAIT.
    try set(descriptor, kind, SOL_SOCKET, SO_REUSEADDR, 1)
  } else {
    // A burst of a large cluster's packets; the system may grant less.
    try set(descriptor, kind, SOL_SOCKET, SO_RCVBUF, 1 << 20)
  }
  // "Any address" of IPv6 is any of IPv4, too, whatever the machine's default.
  if address.protocol == .inet6 {
    try set(descriptor, kind, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 0)
  }
  try check(kind) { address.withSockAddr { bind(descriptor, $0, socklen_t($1)) } }
}

private func set(
  _ descriptor: CInt, _ kind: SocketFailure.Kind, _ level: CInt, _ name: CInt, _ value: CInt
) throws(SocketFailure) {
  var value = value
  try check(kind) {
    setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<CInt>.size))
  }
}

private func boundPort(_ descriptor: CInt) throws(SocketFailure) -> Int {
  var address = sockaddr_in6()
  var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
  try check(.datagrams) {
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        getsockname(descriptor, $0, &length)
      }
    }
  }
  // Both families have the port in the same place.
  return Int(UInt16(bigEndian: address.sin6_port))
}

@discardableResult
private func check(_ kind: SocketFailure.Kind, _ call: () -> CInt) throws(SocketFailure) -> CInt {
  while true {
    let result = call()
    if result >= 0 { return result }
    if errno != EINTR { throw SocketFailure(kind: kind, code: errno) }
  }
}
