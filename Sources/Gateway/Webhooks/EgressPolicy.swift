// Which addresses requests of others may make this server dial: public ones, and ranges that the operator allows.

/// Decides on the very address that is about to be dialled; so names, redirects and answers of the DNS that change
/// (rebinding) need no thought here.
public struct EgressPolicy: Sendable, Equatable {
  /// Dialled whatever they are.
  public var allowed: [AddressRange]

  public init(allowing allowed: [AddressRange] = []) { self.allowed = allowed }

  /// What kind of address it is that may not be dialled, as in "loopback"; nil if it may.
  public func refusal(of address: IPAddress) -> String? {
    if allowed.contains(where: { $0.contains(address) }) { return nil }
    // What an address of IPv6 carries of IPv4 is where the packets go.
    if let embedded = Self.embeddedIPv4(of: address) { return refusal(of: embedded) }
    let ranges = address.isIPv6 ? Self.ipv6 : Self.ipv4
    if let found = ranges.first(where: { $0.range.contains(address) }) { return found.kind }
    if address.isIPv6, !Self.globalUnicast.contains(address) { return "reserved" }
    return nil
  }

  static let wayOut = "the server's operator opens ranges by --webhook-allow"

  /// What people are told of a refusal, and what they can do.
  static func words(for address: IPAddress, _ kind: String) -> String {
    "\(address) is \(kind), not public, and not allowed here; \(wayOut)"
  }

  private static func embeddedIPv4(of address: IPAddress) -> IPAddress? {
    guard address.isIPv6 else { return nil }
    if mapped.contains(address) || translated.contains(address) { return address.lowIPv4 }
    if sixToFour.contains(address) {
      return IPAddress(ipv4: UInt32(truncatingIfNeeded: address.high >> 16))
    }
    return nil
  }

  /// RFC 4291 §2.5.5.2; a socket of IPv6 that connects there speaks IPv4.
  private static let mapped = AddressRange(special: "::ffff:0:0/96")
  /// RFC 6052: where a network without IPv4 finds a NAT64.
  private static let translated = AddressRange(special: "64:ff9b::/96")
  /// RFC 3056.
  private static let sixToFour = AddressRange(special: "2002::/16")
  /// All that has been given out to networks so far: RFC 4291 §2.4, IANA's "IPv6 Global Unicast Address Assignments".
  private static let globalUnicast = AddressRange(special: "2000::/3")

  typealias Special = (range: AddressRange, kind: String)

  /// IANA's "IPv4 Special-Purpose Address Registry" (RFC 6890 and later) with all that it does not call globally
  /// reachable, and the few anycast addresses in 192.0.0.0/24, which no webhook is behind; multicast and class E from
  /// "IPv4 Address Space".
  static let ipv4: [Special] = [
    (AddressRange(special: "0.0.0.0/8"), "unspecified"),  // RFC 791: this network
    (AddressRange(special: "10.0.0.0/8"), "private"),  // RFC 1918
    (AddressRange(special: "100.64.0.0/10"), "shared"),  // RFC 6598: carriers' NAT
    (AddressRange(special: "127.0.0.0/8"), "loopback"),  // RFC 1122
    // RFC 3927; in clouds it is here that machines are given their secrets.
    (AddressRange(special: "169.254.0.0/16"), "link-local"),
    (AddressRange(special: "172.16.0.0/12"), "private"),  // RFC 1918
    (AddressRange(special: "192.0.0.0/24"), "reserved"),  // RFC 6890: protocol assignments
    (AddressRange(special: "192.0.2.0/24"), "documentation"),  // RFC 5737
    (AddressRange(special: "192.88.99.0/24"), "reserved"),  // RFC 7526: what was 6to4's relay
    (AddressRange(special: "192.168.0.0/16"), "private"),  // RFC 1918
    (AddressRange(special: "198.18.0.0/15"), "benchmarking"),  // RFC 2544
    (AddressRange(special: "198.51.100.0/24"), "documentation"),  // RFC 5737
    (AddressRange(special: "203.0.113.0/24"), "documentation"),  // RFC 5737
    (AddressRange(special: "224.0.0.0/4"), "multicast"),  // RFC 5771
    (AddressRange(special: "255.255.255.255/32"), "broadcast"),  // RFC 919
    (AddressRange(special: "240.0.0.0/4"), "reserved"),  // RFC 1112
    // In nobody's registry, but Azure's hypervisor answers here, to its own machines only ("What is IP address
    // 168.63.129.16?", learn.microsoft.com).
    (AddressRange(special: "168.63.129.16/32"), "link-local"),
  ]

  /// IANA's "IPv6 Special-Purpose Address Registry", by the same rule. What lies outside 2000::/3 is refused anyway;
  /// it stands here to be called by its name.
  static let ipv6: [Special] = [
    (AddressRange(special: "::/128"), "unspecified"),  // RFC 4291
    (AddressRange(special: "::1/128"), "loopback"),  // RFC 4291
    // RFC 8215: a NAT64 of the network's own; where in it IPv4 lies is not known.
    (AddressRange(special: "64:ff9b:1::/48"), "private"),
    (AddressRange(special: "100::/64"), "discard"),  // RFC 6666
    (AddressRange(special: "2001::/32"), "tunnel"),  // RFC 4380: Teredo
    (AddressRange(special: "2001:2::/48"), "benchmarking"),  // RFC 5180
    // RFC 2928 and its sub-ranges: ORCHID, ORCHIDv2, drones, anycast of PCP, TURN and AMT: no web server is there.
    (AddressRange(special: "2001::/23"), "reserved"),
    (AddressRange(special: "2001:db8::/32"), "documentation"),  // RFC 3849
    (AddressRange(special: "3fff::/20"), "documentation"),  // RFC 9637
    (AddressRange(special: "5f00::/16"), "reserved"),  // RFC 9602: segment routing
    (AddressRange(special: "fc00::/7"), "private"),  // RFC 4193
    (AddressRange(special: "fe80::/10"), "link-local"),  // RFC 4291
    (AddressRange(special: "fec0::/10"), "private"),  // RFC 3879: what was site-local
    (AddressRange(special: "ff00::/8"), "multicast"),  // RFC 4291
  ]
}
