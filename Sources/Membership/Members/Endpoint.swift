// Where a member is reached: an address of IPv4 or IPv6 and the port of both its sockets.
import Glibc
import NIOCore

/// `127.0.0.1:7000` or `[::1]:7000`. An IPv4 address that is written as one of IPv6 (`::ffff:…`, RFC 4291 §2.5.5.2) is
/// the IPv4 address: packets from there come from the same socket. No zones of link-local addresses: what one
/// machine calls `eth0` tells another nothing.
public struct Endpoint: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The 128 bits of IPv6, most significant first; IPv4 as mapped into it.
  public let high: UInt64
  public let low: UInt64
  /// 1...65535.
  public let port: UInt16

  /// nil for port 0.
  public init?(high: UInt64, low: UInt64, port: UInt16) {
    guard port > 0 else { return nil }
    self.high = high
    self.low = low
    self.port = port
  }

  /// nil for port 0. `ipv4` as a number: 127.0.0.1 is 0x7f000001.
  public init?(ipv4: UInt32, port: UInt16) {
    self.init(high: 0, low: Self.mapped << 32 | UInt64(ipv4), port: port)
  }

  /// nil for what is no address with a port of 1...65535, and for names: those are the shell's to look up.
  public init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...]
    guard digits.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }),
      let port = UInt16(digits)
    else { return nil }
    var host = text[..<colon]
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if isBracketed { host = host.dropFirst().dropLast() }
    guard host.contains(":") == isBracketed,
      let address = try? SocketAddress(ipAddress: String(host), port: Int(port))
    else { return nil }
    self.init(address)
  }

  /// nil for other families and for port 0.
  public init?(_ address: SocketAddress) {
    switch address {
    case .v4(let box):
      self.init(
        ipv4: UInt32(bigEndian: box.address.sin_addr.s_addr),
        port: UInt16(bigEndian: box.address.sin_port))
    case .v6(let box):
      let (high, low) = withUnsafeBytes(of: box.address.sin6_addr) {
        (
          UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
          UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
      }
      self.init(high: high, low: low, port: UInt16(bigEndian: box.address.sin6_port))
    case .unixDomainSocket: return nil
    }
  }

  public var socketAddress: SocketAddress {
    if let ipv4 {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = ipv4.bigEndian
      address.sin_port = port.bigEndian
      return SocketAddress(address)
    }
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    withUnsafeMutableBytes(of: &address.sin6_addr) {
      $0.storeBytes(of: high.bigEndian, as: UInt64.self)
      $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
    address.sin6_port = port.bigEndian
    return SocketAddress(address)
  }

  /// As a number; nil for an address of IPv6.
  public var ipv4: UInt32? {
    high == 0 && low >> 32 == Self.mapped ? UInt32(truncatingIfNeeded: low) : nil
  }

  /// Whether packets can be sent there to reach one machine: not "any address", not multicast or broadcast. Nobody may
  /// tell a cluster to send its probes to all machines of a network.
  public var isUnicast: Bool {
    if let ipv4 {
      return ipv4 >> 24 != 0 && ipv4 < 0xe000_0000  // RFC 1122 §3.2.1.3, RFC 5771, RFC 919
    }
    return high | low != 0 && high >> 56 != 0xff  // RFC 4291 §2.5.2, §2.7
  }

  public static func < (left: Endpoint, right: Endpoint) -> Bool {
    if left.high != right.high { return left.high < right.high }
    if left.low != right.low { return left.low < right.low }
    return left.port < right.port
  }

  public var description: String {
    if let ipv4 {
      return "\(ipv4 >> 24).\(ipv4 >> 16 & 255).\(ipv4 >> 8 & 255).\(ipv4 & 255):\(port)"
    }
    return "[\(socketAddress.ipAddress ?? "::")]:\(port)"
  }

  private static let mapped: UInt64 = 0xffff
}
