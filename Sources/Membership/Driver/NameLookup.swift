// Where to look for others: addresses, and names that are looked up as long as nobody is found there.
import Glibc
import NIOCore

/// HOST:PORT as an operator writes it; an address of IPv6 in brackets.
public struct JoinTarget: Hashable, Sendable, CustomStringConvertible {
  public let host: String
  public let port: UInt16

  public init?(host: String, port: Int) {
    guard let port = UInt16(exactly: port), port > 0, !host.isEmpty else { return nil }
    self.host = host
    self.port = port
  }

  /// nil for a name.
  public var endpoint: Endpoint? {
    (try? SocketAddress(ipAddress: host, port: Int(port))).flatMap { Endpoint($0) }
  }

  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

enum NameLookup {
  /// All addresses of the name, in the system's order of preference; none if it is unknown. Blocks.
  static func endpoints(of target: JoinTarget) -> [Endpoint] {
    var hints = addrinfo()
    hints.ai_socktype = CInt(SOCK_DGRAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(target.host, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var endpoints: [Endpoint] = []
    var next = list
    while let entry = next {
      next = entry.pointee.ai_next
      guard let address = entry.pointee.ai_addr else { continue }
      let found: SocketAddress? =
        switch CInt(entry.pointee.ai_family) {
        case AF_INET:
          address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { SocketAddress($0.pointee) }
        case AF_INET6:
          address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
            // Without its zone and flow, which tell other machines nothing.
            SocketAddress($0.pointee)
          }
        default: nil
        }
      guard var found else { continue }
      found.port = Int(target.port)
      if let endpoint = Endpoint(found), !endpoints.contains(endpoint) {
        endpoints.append(endpoint)
      }
    }
    return endpoints
  }
}
