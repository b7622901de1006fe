// Addresses of IPv4 and IPv6 as numbers, and the ranges (CIDR) they lie in.
import Glibc

public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
  /// The 128 bits of IPv6, most significant first; of IPv4 the 32 bits in `low`.
  let high: UInt64
  let low: UInt64
  let isIPv6: Bool

  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
    isIPv6 = true
  }

  init(ipv4 bits: UInt32) {
    high = 0
    low = UInt64(bits)
    isIPv6 = false
  }

  /// "127.0.0.1" or "::1", nothing but the usual spellings: no brackets, zones, hexadecimal or missing parts.
  public init?(_ text: String) {
    var ipv4 = in_addr()
    if inet_pton(AF_INET, text, &ipv4) == 1 {
      self.init(ipv4: UInt32(bigEndian: ipv4.s_addr))
      return
    }
    var ipv6 = in6_addr()
    guard inet_pton(AF_INET6, text, &ipv6) == 1 else { return nil }
    self.init(ipv6)
  }

  private init(_ ipv6: in6_addr) {
    (high, low) = withUnsafeBytes(of: ipv6) {
      (
        UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
        UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      )
    }
    isIPv6 = true
  }

  /// What `connect` would dial; nil for any family but the two.
  init?(_ address: UnsafePointer<sockaddr>, bytes: Int) {
    let raw = UnsafeRawPointer(address)
    switch CInt(address.pointee.sa_family) {
    case AF_INET where bytes >= MemoryLayout<sockaddr_in>.size:
      let bits = raw.loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
      self.init(ipv4: UInt32(bigEndian: bits))
    case AF_INET6 where bytes >= MemoryLayout<sockaddr_in6>.size:
      self.init(raw.loadUnaligned(as: sockaddr_in6.self).sin6_addr)
    default: return nil
    }
  }

  /// The lower 32 bits, as an address of IPv4.
  var lowIPv4: IPAddress { IPAddress(ipv4: UInt32(truncatingIfNeeded: low)) }

  public var description: String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
      if isIPv6 {
        var parts = (high.bigEndian, low.bigEndian)
        inet_ntop(AF_INET6, &parts, text.baseAddress, socklen_t(text.count))
      } else {
        var bits = UInt32(low).bigEndian
        inet_ntop(AF_INET, &bits, text.baseAddress, socklen_t(text.count))
      }
      return String(cString: text.baseAddress!)
    }
  }
}

/// All addresses of one family that begin with the same bits.
public struct AddressRange: Hashable, Sendable, CustomStringConvertible {
  let first: IPAddress
  let prefixBits: Int

  /// "10.0.0.0/8" or "fc00::/7"; nil for anything else: a prefix must be given, and no bit beyond it set.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(String(parts[0])),
      let bits = Int(parts[1]), parts[1] == String(bits), bits >= 0,
      bits <= (address.isIPv6 ? 128 : 32)
    else { return nil }
    first = address
    prefixBits = bits
    let (high, low) = mask
    guard address.high & ~high == 0, address.low & ~low & Self.familyBits(address) == 0 else {
      return nil
    }
  }

  /// A range of the house's own tables.
  init(special text: StaticString) {
    guard let range = AddressRange("\(text)") else {
      preconditionFailure("\(text) is no range of addresses")
    }
    self = range
  }

  func contains(_ address: IPAddress) -> Bool {
    guard address.isIPv6 == first.isIPv6 else { return false }
    let (high, low) = mask
    return address.high & high == first.high && address.low & low == first.low
  }

  public var description: String { "\(first)/\(prefixBits)" }

  private var mask: (high: UInt64, low: UInt64) {
    func ones(_ count: Int) -> UInt64 {
      count <= 0 ? 0 : count >= 64 ? .max : ~(UInt64.max >> UInt64(count))
    }
    return first.isIPv6
      ? (ones(prefixBits), ones(prefixBits - 64)) : (0, ones(prefixBits + 32) & 0xFFFF_FFFF)
  }

  private static func familyBits(_ address: IPAddress) -> UInt64 {
    address.isIPv6 ? .max : 0xFFFF_FFFF
  }
}
